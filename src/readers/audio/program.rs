//! Sound in codings that are not decoded here, decoded by ffmpeg where it is on the PATH.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::super::ffmpeg::{Output, Program as Tool, QUIET, input};

/// One sound stream of a file, decoded by ffmpeg as it is read.
pub struct Program {
    path: PathBuf,
    stream: usize,
    sample_rate: u32,
    channels: usize,
    /// None before the first read.
    output: Option<Output>,
    bytes: Vec<u8>,
}

/// Samples of all channels that are read at once.
const BLOCK: usize = 1 << 15;

impl Program {
    /// Asks ffprobe about the stream. `why` says what ffmpeg is needed for.
    ///
    /// # Errors
    /// When there is no ffmpeg, or it does not know the sound.
    pub fn open(path: &Path, stream: usize, why: &str) -> Result<Self, String> {
        let mut arguments: Vec<OsString> = QUIET[1..].iter().map(OsString::from).collect();
        arguments.extend([
            "-select_streams".into(),
            format!("a:{stream}").into(),
            "-show_entries".into(),
            "stream=sample_rate,channels".into(),
            "-of".into(),
            "default=noprint_wrappers=1".into(),
            input(path),
        ]);
        let said = Tool::Ffprobe.start(why, arguments)?.text(4096);
        let said = said.map_err(|e| format!("{why}, and {e}"))?;
        let number = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name))?;
            line.strip_prefix('=')?.trim().parse::<u32>().ok()
        };
        let (Some(sample_rate), Some(channels)) = (number("sample_rate"), number("channels"))
        else {
            return Err(format!("{why}, and ffprobe does not know it"));
        };
        if !(1..=64).contains(&channels) {
            return Err(format!(
                "{why}, and ffprobe says it has {channels} channels"
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            stream,
            sample_rate,
            channels: channels as usize,
            output: None,
            bytes: Vec::new(),
        })
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Replaces `interleaved` by the next samples; gives how many there are of each channel,
    /// 0 at the end.
    pub fn read(&mut self, interleaved: &mut Vec<f32>) -> Result<usize, String> {
        interleaved.clear();
        let output = match &mut self.output {
            Some(output) => output,
            none => none.insert(Tool::Ffmpeg.start(
                "it needs ffmpeg",
                arguments(&self.path, self.stream, self.sample_rate),
            )?),
        };
        let frame = 4 * self.channels;
        self.bytes.clear();
        let read = output
            .take((BLOCK * frame) as u64)
            .read_to_end(&mut self.bytes);
        read.map_err(|e| e.to_string())?;
        let samples = self.bytes.chunks_exact(4);
        interleaved.extend(samples.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        let frames = interleaved.len() / self.channels;
        interleaved.truncate(frames * self.channels);
        Ok(frames)
    }
}

/// Time stamps as in the file, from 0 on: silence before a sound that begins late and in
/// holes, and nothing of what an encoder puts before time 0.
fn arguments(path: &Path, stream: usize, sample_rate: u32) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = QUIET.iter().map(OsString::from).collect();
    arguments.extend([
        "-nostdin".into(),
        "-copyts".into(),
        "-i".into(),
        input(path),
    ]);
    arguments.extend([
        "-map".into(),
        format!("0:a:{stream}").into(),
        "-vn".into(),
        "-af".into(),
        "aresample=async=1:first_pts=0".into(),
        "-ar".into(),
        sample_rate.to_string().into(),
        "-f".into(),
        "f32le".into(),
        "-".into(),
    ]);
    arguments
}
