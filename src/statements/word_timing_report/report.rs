//! What is wrong with the times of the words of one recording.
//!
//! Times are compared as whole nanoseconds, so that a word that begins when the one before it
//! ends (1.19 + 0.18 and 1.37) neither overlaps it nor leaves a gap.

/// When a word is spoken, in finite seconds; None where that is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Word {
    pub onset: Option<f64>,
    pub duration: Option<f64>,
}

/// What counts as a problem.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    media_end: Option<i128>,
    max_gap: i128,
    tolerance: i128,
}

impl Limits {
    /// All in seconds; the gap and the tolerance are not negative.
    pub fn new(media_end: Option<f64>, max_gap: f64, tolerance: f64) -> Self {
        Self {
            media_end: media_end.map(nanoseconds),
            max_gap: nanoseconds(max_gap),
            tolerance: nanoseconds(tolerance),
        }
    }

    /// The end of the media in seconds.
    pub fn media_end(&self) -> Option<f64> {
        self.media_end.map(seconds)
    }
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    MissingOnset,
    MissingDuration,
    NegativeDuration,
    BeforeStart,
    PastEnd,
    OutOfOrder,
    Overlap,
    Gap,
}

impl Kind {
    /// As the column `problem` has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::MissingOnset => "missing_onset",
            Kind::MissingDuration => "missing_duration",
            Kind::NegativeDuration => "negative_duration",
            Kind::BeforeStart => "before_start",
            Kind::PastEnd => "past_end",
            Kind::OutOfOrder => "out_of_order",
            Kind::Overlap => "overlap",
            Kind::Gap => "gap",
        }
    }
}

/// One problem. Words are indices.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub kind: Kind,
    /// None for the silence after the last word.
    pub word: Option<usize>,
    pub onset: Option<f64>,
    pub offset: Option<f64>,
    pub other: Option<usize>,
    pub other_onset: Option<f64>,
    /// How large the problem is.
    pub seconds: Option<f64>,
}

/// A word whose onset is known, in nanoseconds.
#[derive(Clone, Copy)]
struct Placed {
    word: usize,
    onset: i128,
    /// None where the duration is not known.
    end: Option<i128>,
}

impl Placed {
    /// Where it ends as far as other words are concerned: not before it begins.
    fn reach(&self) -> i128 {
        self.end.unwrap_or(self.onset).max(self.onset)
    }
}

/// All problems of `words`, which stand in the order of their rows: those of words without
/// an onset first, then by onset, and the silence at the end last.
///
/// - A word overlaps, or follows after a gap, the one before it that ends last.
/// - A word is out of order if the row before it has a later onset.
pub fn problems(words: &[Word], limits: &Limits) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut placed = Vec::with_capacity(words.len());
    for (word, times) in words.iter().enumerate() {
        match times.onset {
            None => found.push(Problem {
                kind: Kind::MissingOnset,
                word: Some(word),
                onset: None,
                offset: None,
                other: None,
                other_onset: None,
                seconds: None,
            }),
            Some(onset) => {
                let onset = nanoseconds(onset);
                let end = times.duration.map(|d| onset + nanoseconds(d));
                placed.push(Placed { word, onset, end });
            }
        }
    }
    let mut before: Vec<Option<Placed>> = vec![None; words.len()];
    for pair in placed.windows(2) {
        before[pair[1].word] = Some(pair[0]);
    }
    placed.sort_by_key(|p| p.onset);

    let mut last: Option<Placed> = None; // the one that ends last so far
    for word in placed {
        let mut add = |kind, other: Option<Placed>, size: Option<i128>| {
            found.push(problem(kind, Some(word), other, size));
        };
        match word.end.map(|end| end - word.onset) {
            None => add(Kind::MissingDuration, None, None),
            Some(duration) if duration < 0 => add(Kind::NegativeDuration, None, Some(-duration)),
            Some(_) => {}
        }
        if -word.onset > limits.tolerance {
            add(Kind::BeforeStart, None, Some(-word.onset));
        }
        if let Some(end) = limits.media_end
            && word.reach() - end > limits.tolerance
        {
            add(Kind::PastEnd, None, Some(word.reach() - end));
        }
        if let Some(previous) = before[word.word]
            && previous.onset - word.onset > limits.tolerance
        {
            add(
                Kind::OutOfOrder,
                Some(previous),
                Some(previous.onset - word.onset),
            );
        }
        let reached = last.map_or(0, |l| l.reach());
        if let Some(other) = last {
            let shared = word.reach().min(reached) - word.onset;
            if shared > limits.tolerance {
                add(Kind::Overlap, Some(other), Some(shared));
            }
        }
        if word.onset - reached > limits.max_gap {
            add(Kind::Gap, last, Some(word.onset - reached));
        }
        if last.is_none_or(|l| word.reach() >= l.reach()) {
            last = Some(word);
        }
    }
    let reached = last.map_or(0, |l| l.reach());
    if let Some(end) = limits.media_end
        && end - reached > limits.max_gap
    {
        found.push(problem(Kind::Gap, None, last, Some(end - reached)));
    }
    found
}

fn problem(kind: Kind, word: Option<Placed>, other: Option<Placed>, size: Option<i128>) -> Problem {
    Problem {
        kind,
        word: word.map(|w| w.word),
        onset: word.map(|w| seconds(w.onset)),
        offset: word.and_then(|w| w.end).map(seconds),
        other: other.map(|o| o.word),
        other_onset: other.map(|o| seconds(o.onset)),
        seconds: size.map(seconds),
    }
}

/// Finite seconds as whole nanoseconds; what is absurdly large is the largest there is, so that
/// sums of them stay in range.
fn nanoseconds(seconds: f64) -> i128 {
    i128::from((seconds * 1e9).round() as i64)
}

fn seconds(nanoseconds: i128) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests;
