//! Pictures that ffmpeg decodes, where it is on the PATH: what it is asked.
//!
//! One ffmpeg gives both the pictures and the time of each, so the n-th time is that of the n-th picture;
//! times from the container would not do, for a coded picture is not always one that is shown.
//! Nothing is dropped or repeated to fit a frame rate, and times are neither shifted nor rounded: they
//! are integers of the stream's own time base, edit lists applied.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use super::run::Run;
use crate::readers::ffmpeg::{Output, Program, QUIET, input};

/// A video stream that ffmpeg reads.
#[derive(Debug, Clone)]
pub struct External {
    path: PathBuf,
    /// The stream's number among all of the file's.
    index: u64,
    /// A tick is numerator/denominator seconds.
    pub time_base: (i64, i64),
    /// Width and height as stored.
    pub size: (u32, u32),
    /// Clockwise quarter turns for showing; `None` if it is no such turn.
    pub turns: Option<u8>,
    /// Whether ffmpeg can begin in the middle and gives the times that it would give from the start.
    pub is_seekable: bool,
    /// Whether each coded picture is one that is shown.
    pub is_countable: bool,
}

/// ffmpeg is sent to so many seconds before the picture that is wanted: it looks for the last refresh that is
/// decoded, not shown, before a time, and a picture may be decoded 16 pictures before it is shown.
pub const LEAD: u8 = 1;

/// What ffmpeg is needed for, where it was there a moment ago.
const WHY: &str = "it is not decoded in the process";

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
            "format=format_name:stream=index,codec_name,codec_tag,width,height,time_base\
             :stream_disposition=attached_pic:stream_side_data=rotation",
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
        let format = said["format"]["format_name"].as_str().unwrap_or("");
        Self::parse(path, format, stream)
            .ok_or_else(|| also("ffprobe does not say how large its pictures are".to_string()))
    }

    fn parse(path: &Path, format: &str, stream: &Value) -> Option<Self> {
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
        let is_seekable = is_seekable(format, stream["codec_tag"].as_str().unwrap_or(""));
        Some(Self {
            path: path.to_path_buf(),
            index: stream["index"].as_u64()?,
            time_base: (positive(numerator)?, positive(denominator)?),
            size: (side("width")?, side("height")?),
            turns: quarter_turns(rotation),
            is_seekable,
            is_countable: is_seekable
                && COUNTABLE.contains(&stream["codec_name"].as_str().unwrap_or("")),
        })
    }

    /// The time of a time stamp, which is in 1/denominator seconds here and below.
    pub fn seconds(&self, start: i64) -> f64 {
        start as f64 / self.time_base.1 as f64
    }

    /// The last time stamp that is not later than a time.
    pub fn stamp(&self, time: f64) -> i64 {
        let (numerator, denominator) = self.time_base;
        let tick = (time * denominator as f64 / numerator as f64).floor() as i64;
        let stamp = |tick: i64| tick.saturating_mul(numerator);
        match tick.saturating_add(1) {
            next if self.seconds(stamp(next)) <= time => stamp(next),
            _ => stamp(tick),
        }
    }

    /// Begins to decode at the start, or before the time stamp `from`, which is at [`LEAD`] or later: at a picture
    /// that refers to none before it. Pictures are given from the time stamp `pictures` on, or none.
    pub fn play(&self, from: Option<i64>, pictures: Option<i64>) -> Result<Run, String> {
        let (width, height) = self.size;
        let bytes = width as usize * height as usize * 3;
        let arguments = self.arguments(from, pictures);
        let pictures = pictures.map(|first| (bytes, first));
        Run::start(WHY, arguments, pictures, self.time_base)
    }

    /// Begins to read when the coded pictures are shown, as the container has it.
    pub fn packets(&self) -> Result<Output, String> {
        let mut arguments: Vec<OsString> = QUIET.map(OsString::from).to_vec();
        for argument in [
            "-select_streams",
            &self.index.to_string(),
            "-show_entries",
            "packet=pts,size,flags",
            "-of",
            "csv=p=0",
        ] {
            arguments.push(argument.into());
        }
        arguments.push(input(&self.path));
        Program::Ffprobe.start(WHY, arguments)
    }

    fn arguments(&self, from: Option<i64>, pictures: Option<i64>) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["-nostdin".into()];
        arguments.extend(QUIET.map(OsString::from));
        // The turn is ours: then one that is no quarter changes no size here or there.
        arguments.extend(["-copyts", "-noautorotate"].map(OsString::from));
        let mut filters: Vec<String> = vec![];
        if let Some(from) = from {
            // The nearest microsecond: ffmpeg makes it a tick again.
            let denominator = i128::from(self.time_base.1);
            let micros = (i128::from(from) * 1_000_000 + denominator / 2) / denominator;
            let micros = micros - i128::from(LEAD) * 1_000_000;
            let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
            // Else it counts from the first time stamp, and leaves out pictures itself.
            arguments.extend(["-seek_timestamp", "1", "-noaccurate_seek"].map(OsString::from));
            arguments.extend(["-ss".into(), format!("{whole}.{rest:06}").into()]);
            // What a decoder makes of pictures before the first that stands alone is left out.
            filters.push("select='key*eq(pict_type,I)+not(isnan(prev_selected_pts))'".to_string());
        }
        arguments.extend(["-i".into(), input(&self.path)]);

        // The times, with checksums of next to nothing: cropping copies no pixel.
        let corner = "crop='min(iw,16)':'min(ih,16)':0:0:exact=1".to_string();
        self.add_output(&mut arguments, &[&filters[..], &[corner]].concat());
        let to = match pictures {
            Some(_) => "pipe:2",
            None => "pipe:1",
        };
        // A line is written when it is known, and in one piece.
        arguments.extend(["-flush_packets", "1", "-f", "framecrc", to].map(OsString::from));

        if let Some(first) = pictures {
            if first > i64::MIN {
                // Converting a picture takes as long as decoding it. Half a tick allows for rounding.
                let (numerator, denominator) = self.time_base;
                let least = (first as f64 - numerator as f64 / 2.0) / denominator as f64;
                filters.push(format!("select='gte(t,{least})'"));
            }
            self.add_output(&mut arguments, &filters);
            // Chroma repeated and all sums exact, as it is done in the process.
            let exact = "accurate_rnd+full_chroma_int+neighbor";
            arguments.extend(["-pix_fmt", "rgb24", "-sws_flags", exact].map(OsString::from));
            arguments.extend(["-f", "rawvideo", "pipe:1"].map(OsString::from));
        }
        arguments
    }

    /// What both outputs have in common.
    fn add_output(&self, arguments: &mut Vec<OsString>, filters: &[String]) {
        let (numerator, denominator) = self.time_base;
        arguments.extend(["-map".into(), format!("0:{}", self.index).into()]);
        arguments.extend(every_picture().map(OsString::from));
        let time_base = format!("{numerator}:{denominator}");
        arguments.extend(["-enc_time_base".into(), time_base.into()]);
        if !filters.is_empty() {
            arguments.extend(["-vf".into(), filters.join(",").into()]);
        }
    }
}

/// The option for neither dropping nor repeating pictures: it was renamed in 5.1, and the old name is going.
fn every_picture() -> [&'static str; 2] {
    // Asked once, not for each file.
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

/// MP4 and Matroska have an index and a time stamp for each picture. Elsewhere a time stamp is found by
/// trial, or depends on those before it. So it does in what was put from AVI into Matroska as it
/// was, which keeps a tag.
fn is_seekable(format: &str, tag: &str) -> bool {
    match format.split(',').next() {
        Some("mov") => true,
        Some("matroska") => tag == "0x0000",
        _ => false,
    }
}

/// Codings, as ffprobe names them, whose coded pictures in MP4 or Matroska are all shown. VP8 has some
/// that are not, MPEG-4 some that say "as before".
const COUNTABLE: [&str; 9] = [
    "h264", "hevc", "vp9", "av1", "prores", "mjpeg", "dnxhd", "ffv1", "huffyuv",
];

/// `rotation` is as ffprobe gives it: degrees anticlockwise.
fn quarter_turns(rotation: f64) -> Option<u8> {
    let clockwise = (-rotation).rem_euclid(360.0);
    [0.0, 90.0, 180.0, 270.0]
        .iter()
        .position(|turn| *turn == clockwise)
        .map(|turns| turns as u8)
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
