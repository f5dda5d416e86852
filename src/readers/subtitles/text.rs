//! SubRip and WebVTT: blocks of lines, each with a pair of times and a text.

use std::io::BufRead;
use std::io::{BufReader, Read};

use super::{Cue, markup};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    SubRip,
    WebVtt,
}

/// The cues of a text file, one by one. Messages of errors name the line.
pub struct Cues<R> {
    lines: BufReader<R>,
    syntax: Syntax,
    /// Lines read so far.
    line: usize,
    failed: bool,
}

/// No subtitle has a line as long as this; a file that does is something else.
const MAX_LINE: u64 = 1 << 20;

/// Nor as many bytes on the screen.
const MAX_TEXT: usize = 1 << 20;

impl<R: Read> Cues<R> {
    pub fn new(lines: BufReader<R>, syntax: Syntax) -> Self {
        Self {
            lines,
            syntax,
            line: 0,
            failed: false,
        }
    }

    /// The next line without its end.
    fn line(&mut self) -> Result<Option<String>, String> {
        let mut bytes = Vec::new();
        let mut lines = self.lines.by_ref().take(MAX_LINE);
        let have = lines
            .read_until(b'\n', &mut bytes)
            .map_err(|e| e.to_string())?;
        self.line += 1;
        if have == 0 {
            return Ok(None);
        }
        if have as u64 == MAX_LINE {
            return Err(self.error("the line is longer than a megabyte; these are no subtitles"));
        }
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
        String::from_utf8(bytes).map(Some).map_err(|_| {
            self.error(
                "it is not UTF-8 text; if it is Latin-1, `iconv -f LATIN1 -t UTF-8 a.srt > b.srt` \
                 converts it",
            )
        })
    }

    fn skip_block(&mut self) -> Result<(), String> {
        while self.line()?.is_some_and(|line| !line.trim().is_empty()) {}
        Ok(())
    }

    fn cue(&mut self) -> Result<Option<Cue>, String> {
        let Some(times) = self.times()? else {
            return Ok(None);
        };
        let (onset, duration) = self.span(&times)?;
        let mut text = String::new();
        while let Some(line) = self.line()? {
            if line.trim().is_empty() {
                break;
            }
            if line.contains("-->") {
                return Err(self.error(
                    "a cue begins within the text of another; put an empty \
                     line between them",
                ));
            }
            if text.len() + line.len() > MAX_TEXT {
                return Err(self.error(
                    "the text of the cue is longer than a megabyte; these are no subtitles",
                ));
            }
            text.push_str(&line);
            text.push('\n');
        }
        let text = match self.syntax {
            Syntax::SubRip => markup::subrip(&text),
            Syntax::WebVtt => markup::webvtt(&text),
        };
        Ok(Some(Cue {
            onset,
            duration,
            text,
        }))
    }

    /// Goes to the next cue and gives its line of times.
    fn times(&mut self) -> Result<Option<String>, String> {
        loop {
            let Some(line) = self.line()? else {
                return Ok(None);
            };
            let head = line.trim();
            if head.is_empty() {
                continue;
            }
            if head.contains("-->") {
                return Ok(Some(line));
            }
            let word = head.split_whitespace().next().unwrap_or(head);
            let is_number = head.bytes().all(|b| b.is_ascii_digit());
            let other = match self.syntax {
                Syntax::WebVtt if self.line == 1 => true,
                Syntax::WebVtt => matches!(word, "NOTE" | "STYLE" | "REGION"),
                Syntax::SubRip if !is_number => {
                    let shown: String = head.chars().take(60).collect();
                    return Err(self.error(format!(
                        "a cue's number or its times (00:00:01,000 --> 00:00:02,500) should be \
                         here, not {shown:?}; an empty line must not stand inside a text"
                    )));
                }
                Syntax::SubRip => false,
            };
            if other {
                self.skip_block()?;
                continue;
            }
            // The cue's number or name; its times must follow.
            return match self.line()? {
                Some(line) if line.contains("-->") => Ok(Some(line)),
                _ => Err(self.error(
                    "the times of a cue should be here, such as 00:00:01,000 --> 00:00:02,500",
                )),
            };
        }
    }

    /// Onset and duration in seconds.
    fn span(&self, times: &str) -> Result<(f64, f64), String> {
        let (start, rest) = times.split_once("-->").unwrap_or((times, ""));
        // Settings such as position:10% follow the end.
        let end = rest.split_whitespace().next().unwrap_or("");
        let time = |stamp: &str| {
            milliseconds(stamp).ok_or_else(|| {
                self.error(format!(
                    "{stamp:?} is no time; times are hours:minutes:seconds,milliseconds, \
                     such as 00:01:02,500"
                ))
            })
        };
        let (start, end) = (time(start.trim())?, time(end)?);
        match end.checked_sub(start) {
            Some(length) => Ok((start as f64 / 1000.0, length as f64 / 1000.0)),
            None => Err(self.error(format!("the cue ends before it begins: {}", times.trim()))),
        }
    }

    fn error(&self, message: impl std::fmt::Display) -> String {
        format!("line {}: {message}", self.line)
    }
}

impl<R: Read> Iterator for Cues<R> {
    type Item = Result<Cue, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let cue = self.cue();
        self.failed = cue.is_err();
        cue.transpose()
    }
}

/// `[hours:]minutes:seconds[.,]fraction` in milliseconds; one to three digits of
/// a second's fraction, or none.
fn milliseconds(stamp: &str) -> Option<u64> {
    let (clock, fraction) = stamp.split_once([',', '.']).unwrap_or((stamp, "0"));
    let digits = |s: &str, most: usize| -> Option<u64> {
        let fits = (1..=most).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| s.parse().ok()).flatten()
    };
    let mut parts = clock.rsplit(':');
    let seconds = digits(parts.next()?, 2)?;
    let minutes = digits(parts.next()?, 2)?;
    let hours = parts.next().map_or(Some(0), |h| digits(h, 6))?;
    if parts.next().is_some() || seconds > 59 || minutes > 59 {
        return None;
    }
    let thousandths = digits(fraction, 3)? * 10u64.pow(3 - fraction.len() as u32);
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(milliseconds("00:00:00,210"), Some(210));
        assert_eq!(milliseconds("01:02:03.004"), Some(3_723_004));
        assert_eq!(milliseconds("02:03.5"), Some(123_500));
        assert_eq!(milliseconds("123:00:00"), Some(442_800_000));
        for bad in [
            "",
            "1",
            "1:2:3:4",
            "00:60:00",
            "00:00:61,0",
            "0:0:1,",
            "0:0:1,1234",
            "0:-1:0",
            "0:0:1;5",
            "::",
        ] {
            assert_eq!(milliseconds(bad), None, "{bad}");
        }
    }
}
