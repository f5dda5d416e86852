//! The values in one of Praat's text files.
//!
//! Praat reads numbers, texts in double quotes and flags in angle brackets that stand free,
//! between white space, in their order; everything else (`xmin =`, `intervals [3]:`) is there for
//! people, so that the long and the short format are one. `!` begins a comment, up to the
//! end of the line.

/// A value that stands free.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Number(f64),
    Text(String),
    Flag(String),
}

/// Values, one after the other. Messages of errors name the line.
pub struct Values<'a> {
    rest: &'a str,
    /// The line of `rest`, from 1, and that of the last value's start.
    next_line: usize,
    line: usize,
}

impl<'a> Values<'a> {
    pub fn new(text: &'a str) -> Self {
        Values {
            rest: text,
            next_line: 1,
            line: 1,
        }
    }

    /// The next value; None at the end.
    pub fn next(&mut self) -> Result<Option<Value>, String> {
        let mut after_equals = false;
        loop {
            self.take_while(char::is_whitespace);
            self.line = self.next_line;
            let Some(first) = self.rest.chars().next() else {
                return Ok(None);
            };
            if first == '!' {
                self.take_while(|c| c != '\n' && c != '\r');
                continue;
            }
            if first == '"' {
                return self.text().map(|text| Some(Value::Text(text)));
            }
            let word = self.take_while(|c| !c.is_whitespace());
            if first == '<' && word.len() > 1 && word.ends_with('>') {
                return Ok(Some(Value::Flag(word[1..word.len() - 1].to_string())));
            }
            if first.is_ascii_digit() || matches!(first, '+' | '-' | '.') {
                return match word.parse::<f64>() {
                    Ok(number) if number.is_finite() => Ok(Some(Value::Number(number))),
                    _ => Err(self.error(format!("{} is no number", shown(word)))),
                };
            }
            if after_equals {
                return Err(self.error(format!(
                    "{} stands for a value; it is no number, and a text has quotes",
                    shown(word)
                )));
            }
            after_equals = word == "=";
        }
    }

    /// The text in quotes that begins here; a quote in it is doubled.
    fn text(&mut self) -> Result<String, String> {
        let mut text = String::new();
        self.skip('"');
        loop {
            let part = self.take_while(|c| c != '"');
            text.push_str(part);
            if !self.skip('"') {
                return Err(self.error(
                    "the text that begins here has no closing quote; the file is cut off, or a \
                     quote in a label is not doubled (\"\")",
                ));
            }
            if !self.skip('"') {
                break;
            }
            text.push('"');
        }
        Ok(match text.contains('\r') {
            true => text.replace("\r\n", "\n").replace('\r', "\n"),
            false => text,
        })
    }

    fn skip(&mut self, character: char) -> bool {
        let rest = self.rest.strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_while(&mut self, is_inside: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_inside(c));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        // Of the three ends of lines, "\r\n" is one.
        let ends = taken.matches(['\n', '\r']).count() - taken.matches("\r\n").count();
        self.next_line += ends;
        self.rest = rest;
        taken
    }

    /// An error at the last value.
    pub fn error(&self, message: impl std::fmt::Display) -> String {
        format!("line {}: {message}", self.line)
    }
}

/// A piece of a file for a message.
pub fn shown(text: &str) -> String {
    let mut start: String = text.chars().take(40).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Value>, String> {
        let mut values = Values::new(text);
        let mut all = Vec::new();
        while let Some(value) = values.next()? {
            all.push(value);
        }
        Ok(all)
    }

    #[test]
    fn what_stands_free() {
        let text = "tiers? <exists> ! 7 \"x\"\nsize = 2\r\nitem [3]:\n  name = \"a \"\"b\"\"\nc\" -1.5e-3 .5 infinity nan a=4";
        let want = [
            Value::Flag("exists".to_string()),
            Value::Number(2.0),
            Value::Text("a \"b\"\nc".to_string()),
            Value::Number(-0.0015),
            Value::Number(0.5),
        ];
        assert_eq!(all(text).unwrap(), want);
        assert_eq!(
            all("\"\" \"\"\"\"").unwrap(),
            [Value::Text(String::new()), Value::Text("\"".to_string())]
        );
        assert_eq!(all("! only this").unwrap(), []);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, message) in [
            ("1\n\n2,5", "line 3: \"2,5\" is no number"),
            ("1\r\r\n1e999", "line 3: \"1e999\" is no number"),
            ("a\nxmin = abc", "line 2: \"abc\" stands for a value"),
            ("1\n\"ab\ncd", "line 2: the text that begins here"),
            ("--undefined--", "line 1: \"--undefined--\" is no number"),
        ] {
            let error = all(text).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
