//! Pictures that ffmpeg decodes, where it is on the PATH.
//!
//! It is asked twice: once for the time of each picture, once for the pictures. Both times it
//! decodes with the same arguments, so the n-th time is that of the n-th picture; times
//! from the container alone would not do, for a coded packet is not always a picture. Nothing is
//! dropped or repeated to fit a frame rate, and times are neither shifted nor rounded: they
//! are integers of the stream's own time base, edit lists applied.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::readers::ffmpeg::{Output, Program, QUIET, input};
use crate::readers::mp4::{Shown, Timeline};

/// A video stream that ffmpeg reads.
#[derive(Debug)]
pub struct External {
    path: PathBuf,
    /// The stream's number among all of the file's.
    index: u64,
    /// A tick is numerator/denominator seconds.
    time_base: (i64, i64),
    /// Width and height as stored.
    pub size: (u32, u32),
    /// Clockwise quarter turns for showing; `None` if it is no such turn.
    pub turns: Option<u8>,
}

/// The most that ffprobe may say about a file's streams.
const MAX_PROBE: usize = 4 << 20;

impl External {
    /// Stream `number` of the file's video streams; the first where it is `None`. `why` says why the
    /// file is not read in the process.
    pub fn open(path: &Path, number: Option<usize>, why: &str) -> Result<Self, String> {
        let also = |message: String| format!("{why}; {message}");
        let mut arguments: Vec<OsString> = QUIET.map(OsString::from).to_vec();
        for argument in [
            "-select_streams",
            "v",
            "-show_entries",
            "stream=index,width,height,time_base:stream_disposition=attached_pic:stream_side_data=rotation",
            "-of",
            "json",
        ] {
            arguments.push(argument.into());
        }
        arguments.push(input(path));
        // Said once: that it is not there begins with why it would be needed.
        let text = match Program::Ffprobe.find() {
            None => return Err(Program::Ffmpeg.absent(why)),
            Some(_) => Program::Ffprobe
                .start(why, arguments)
                .and_then(|output| output.text(MAX_PROBE))
                .map_err(also)?,
        };
        let said: Value = serde_json::from_str(&text)
            .map_err(|e| also(format!("what ffprobe says about it is not understood: {e}")))?;
        let none = vec![];
        let mut streams = said["streams"]
            .as_array()
            .unwrap_or(&none)
            .iter()
            // A cover is not a film.
            .filter(|s| s["disposition"]["attached_pic"].as_i64() != Some(1));
        let stream = streams.nth(number.unwrap_or(0)).ok_or_else(|| {
            also(match number {
                Some(number) => format!("it has no video stream {number}"),
                None => "it has no video stream".to_string(),
            })
        })?;
        Self::parse(path, stream)
            .ok_or_else(|| also("ffprobe does not say how large its pictures are".to_string()))
    }

    fn parse(path: &Path, stream: &Value) -> Option<Self> {
        let side = |name: &str| {
            let side = u32::try_from(stream[name].as_u64()?).ok()?;
            (1..=super::wanted::MAX_SIDE as u32)
                .contains(&side)
                .then_some(side)
        };
        let (numerator, denominator) = stream["time_base"].as_str()?.split_once('/')?;
        let positive = |text: &str| text.parse().ok().filter(|n: &i64| *n > 0);
        let rotation = stream["side_data_list"]
            .as_array()
            .and_then(|list| list.iter().find_map(|data| data["rotation"].as_f64()))
            .unwrap_or(0.0);
        Some(Self {
            path: path.to_path_buf(),
            index: stream["index"].as_u64()?,
            time_base: (positive(numerator)?, positive(denominator)?),
            size: (side("width")?, side("height")?),
            turns: quarter_turns(rotation),
        })
    }

    /// When each picture is shown: decodes all of them.
    pub fn timeline(&self) -> Result<Timeline, String> {
        let (numerator, denominator) = self.time_base;
        let mut shown: Vec<Shown> = vec![];
        for line in BufReader::new(self.start(&["-f", "framecrc"])?).lines() {
            let line = line.map_err(|e| e.to_string())?;
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            // Stream, decoding time, presentation time, duration, size, checksum.
            let mut fields = line.split(',').map(|field| field.trim().parse::<i64>());
            let (Some(Ok(time)), Some(Ok(duration))) = (fields.nth(2), fields.next()) else {
                return Err(format!(
                    "what ffmpeg says about its times is not understood: {line}"
                ));
            };
            let start = time
                .checked_mul(numerator)
                .ok_or_else(|| format!("picture {} has no time stamp", shown.len()))?;
            let count = shown.len();
            if let Some(last) = shown.last_mut() {
                if last.start > start {
                    return Err(format!(
                        "the time stamps of its pictures do not rise: picture {} is shown at {} s, the one before at {} s",
                        count,
                        start as f64 / denominator as f64,
                        last.start as f64 / denominator as f64
                    ));
                }
                last.end = start;
            }
            shown.push(Shown {
                sample: shown.len(),
                start,
                end: start.saturating_add(duration.max(0).saturating_mul(numerator)),
            });
        }
        Ok(Timeline {
            ticks_per_second: denominator,
            shown,
        })
    }

    /// The pictures, from the first on.
    pub fn pictures(&self) -> Result<Pictures, String> {
        // Chroma repeated and all sums exact, as it is done in the process.
        let format = [
            "-pix_fmt",
            "rgb24",
            "-sws_flags",
            "accurate_rnd+full_chroma_int+neighbor",
            "-f",
            "rawvideo",
        ];
        let (width, height) = self.size;
        Ok(Pictures {
            output: self.start(&format)?,
            width,
            height,
            next: 0,
            rgb: vec![0; width as usize * height as usize * 3],
        })
    }

    fn start(&self, format: &[&str]) -> Result<Output, String> {
        let (numerator, denominator) = self.time_base;
        let mut arguments: Vec<OsString> = vec!["-nostdin".into()];
        arguments.extend(QUIET.map(OsString::from));
        // The turn is ours: then one that is no quarter changes no size here or there.
        arguments.extend(["-copyts", "-noautorotate", "-i"].map(OsString::from));
        arguments.push(input(&self.path));
        let [vsync, passthrough] = every_picture();
        for argument in [
            "-map",
            &format!("0:{}", self.index),
            vsync,
            passthrough,
            "-enc_time_base",
            &format!("{numerator}:{denominator}"),
        ] {
            arguments.push(argument.into());
        }
        arguments.extend(format.iter().map(OsString::from));
        arguments.push("pipe:1".into());
        Program::Ffmpeg.start("it is not decoded in the process", arguments)
    }
}

/// The option for neither dropping nor repeating pictures: it was renamed in 5.1, and the old name is going.
fn every_picture() -> [&'static str; 2] {
    // Asked once: each file is read twice.
    static IS_OLD: OnceLock<bool> = OnceLock::new();
    let is_old = IS_OLD.get_or_init(|| {
        let version = Program::Ffmpeg
            .start("", ["-version"])
            .and_then(|output| output.text(MAX_PROBE));
        version.as_deref().is_ok_and(is_before_5_1)
    });
    match is_old {
        true => ["-vsync", "passthrough"],
        false => ["-fps_mode", "passthrough"],
    }
}

/// Builds from the repository have no such number, and are newer.
fn is_before_5_1(version: &str) -> bool {
    let numbers = version.strip_prefix("ffmpeg version ").unwrap_or("");
    let mut numbers = numbers
        .trim_start_matches('n')
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), minor) => (major, minor.unwrap_or(0)) < (5, 1),
        _ => false,
    }
}

/// `rotation` is as ffprobe gives it: degrees anticlockwise.
fn quarter_turns(rotation: f64) -> Option<u8> {
    let clockwise = (-rotation).rem_euclid(360.0);
    [0.0, 90.0, 180.0, 270.0]
        .iter()
        .position(|turn| *turn == clockwise)
        .map(|turns| turns as u8)
}

/// A running ffmpeg that writes picture after picture.
pub struct Pictures {
    output: Output,
    pub width: u32,
    pub height: u32,
    /// The number of the next picture in the stream.
    next: usize,
    rgb: Vec<u8>,
}

impl Pictures {
    /// The picture of a number; they are asked for in order, each as often as one likes.
    pub fn picture(&mut self, number: usize) -> Result<&[u8], String> {
        while self.next <= number {
            self.output
                .read_exact(&mut self.rgb)
                .map_err(|e| match e.kind() {
                    std::io::ErrorKind::UnexpectedEof => {
                        "ffmpeg gave it a time and no picture; has the file changed meanwhile?"
                            .to_string()
                    }
                    _ => e.to_string(),
                })?;
            self.next += 1;
        }
        Ok(&self.rgb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (version, old) in [
            ("ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright", true),
            ("ffmpeg version 5.0.1 Copyright", true),
            ("ffmpeg version 5.1.9-0+deb12u1 Copyright", false),
            ("ffmpeg version n7.1 Copyright", false),
            ("ffmpeg version 8.0 Copyright", false),
            ("ffmpeg version N-120000-gabcdef Copyright", false),
            ("", false),
        ] {
            assert_eq!(is_before_5_1(version), old, "{version}");
        }
    }

    #[test]
    fn turns() {
        assert_eq!(
            [0.0, -90.0, 90.0, 180.0, -180.0, -270.0, 45.0].map(quarter_turns),
            [Some(0), Some(1), Some(3), Some(2), Some(2), Some(3), None]
        );
    }
}
