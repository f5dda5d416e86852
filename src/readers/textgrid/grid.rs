//! What the values of a TextGrid say: tiers, and their labels.
//!
//! ```text
//!   "ooTextFile"  "TextGrid"  start  end  <exists>  number of tiers
//!     "IntervalTier"  name  start  end  number of intervals
//!       start  end  label
//!     "TextTier"      name  start  end  number of points
//!       time  label
//! ```

use super::values::{Value, Values, shown};

/// What a tier's labels are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Interval,
    Point,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Interval => "interval",
            Kind::Point => "point",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Tier {
    pub name: String,
    pub kind: Kind,
    pub labels: Vec<Label>,
}

/// A label with its time in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    pub onset: f64,
    pub duration: f64,
    pub text: String,
}

/// The tiers of a file. Messages of errors name the line.
pub fn parse(text: &str) -> Result<Vec<Tier>, String> {
    let mut values = Values::new(text);
    header(&mut values)?;
    number(&mut values, "the grid's start")?;
    number(&mut values, "the grid's end")?;
    let tiers = match values.next()? {
        Some(Value::Flag(flag)) if flag == "exists" => count(&mut values, "tiers")?,
        Some(Value::Flag(flag)) if flag == "absent" => 0,
        other => return Err(unexpected(&values, "<exists> or <absent>", other.as_ref())),
    };
    // As many as the file claims may be more than there is memory.
    let mut all = Vec::new();
    for index in 1..=tiers {
        all.push(tier(&mut values, index, tiers)?);
    }
    match values.next()? {
        None => Ok(all),
        other => Err(unexpected(
            &values,
            &format!("the end of the file, after {tiers} tiers,"),
            other.as_ref(),
        )),
    }
}

fn header(values: &mut Values) -> Result<(), String> {
    let none = |values: &Values| {
        values.error(
            "this is no TextGrid; one begins with File type = \"ooTextFile\", and then \
             Object class = \"TextGrid\"",
        )
    };
    match values.next() {
        // Praat once wrote which format follows.
        Ok(Some(Value::Text(kind))) if kind.starts_with("ooTextFile") => {}
        Ok(Some(Value::Text(kind))) if kind.contains("chronological TextGrid") => {
            return Err(values.error(
                "this is a chronological TextGrid, which is not read; in Praat, open it and choose \
                 Save > Save as text file",
            ));
        }
        _ => return Err(none(values)),
    }
    match values.next() {
        Ok(Some(Value::Text(class))) if class == "TextGrid" => Ok(()),
        Ok(Some(Value::Text(class))) => Err(values.error(format!(
            "this file has an object of Praat's class {}, not a TextGrid",
            shown(&class)
        ))),
        _ => Err(none(values)),
    }
}

fn tier(values: &mut Values, index: u64, of: u64) -> Result<Tier, String> {
    let wanted = format!("tier {index} of {of}, \"IntervalTier\" or \"TextTier\",");
    let kind = match values.next()? {
        Some(Value::Text(class)) if class == "IntervalTier" => Kind::Interval,
        Some(Value::Text(class)) if class == "TextTier" => Kind::Point,
        other => return Err(unexpected(values, &wanted, other.as_ref())),
    };
    let name = text(values, "the tier's name")?;
    number(values, "the tier's start")?;
    number(values, "the tier's end")?;
    let what = match kind {
        Kind::Interval => "intervals",
        Kind::Point => "points",
    };
    let labels = count(values, what)?;
    let mut tier = Tier {
        name,
        kind,
        labels: Vec::new(),
    };
    for label in 1..=labels {
        let place = |part: &str| {
            let name = shown(&tier.name);
            format!(
                "{part} of {} {label} of {labels} in tier {name}",
                kind.name()
            )
        };
        let onset = number(values, &place("the time"))?;
        let duration = match kind {
            Kind::Point => 0.0,
            Kind::Interval => number(values, &place("the end"))? - onset,
        };
        if duration < 0.0 {
            let message = format!("{} is before its start, {onset}", place("the end"));
            return Err(values.error(message));
        }
        let text = text(values, &place("the label"))?;
        tier.labels.push(Label {
            onset,
            duration,
            text,
        });
    }
    Ok(tier)
}

fn number(values: &mut Values, what: &str) -> Result<f64, String> {
    match values.next()? {
        Some(Value::Number(number)) => Ok(number),
        other => Err(unexpected(
            values,
            &format!("{what}, a number,"),
            other.as_ref(),
        )),
    }
}

fn text(values: &mut Values, what: &str) -> Result<String, String> {
    match values.next()? {
        Some(Value::Text(text)) => Ok(text),
        other => Err(unexpected(
            values,
            &format!("{what}, a text in quotes,"),
            other.as_ref(),
        )),
    }
}

fn count(values: &mut Values, what: &str) -> Result<u64, String> {
    let number = number(values, &format!("the number of {what}"))?;
    match (0.0..=1e15).contains(&number) && number.fract() == 0.0 {
        true => Ok(number as u64),
        false => Err(values.error(format!(
            "the number of {what} is {number}, which is no count"
        ))),
    }
}

fn unexpected(values: &Values, wanted: &str, found: Option<&Value>) -> String {
    let found = match found {
        None => return values.error(format!("{wanted} should be here, but the file ends")),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Text(text)) => shown(text),
        Some(Value::Flag(flag)) => format!("<{flag}>"),
    };
    values.error(format!(
        "{wanted} should be here, not {found}; is a number of tiers, intervals or points wrong?"
    ))
}
