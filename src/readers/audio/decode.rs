//! Sound files as samples of one channel at their own rate, packet by packet.

use std::ops::Range;
use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result};
use symphonia::core::packet::Packet;

use super::super::format::file_error;
use super::codec::{Codec, Decoded, explain};
use super::container::{self, NAMES};
use super::options::{Channel, Choice};
use super::packets::{Failure, Packets};
use super::program::Program;

/// Rates outside of this are taken for a damaged header or a mistyped option.
pub const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 100..=768_000;

/// Decodes one sound stream of a file to one channel, or to the mean of its channels.
///
/// Sample `k` sounds at `k / sample_rate` seconds on the file's own clock: what an encoder
/// puts before and after the sound is cut away, as an MP4's edit list and an MP3's LAME tag
/// have it, and where the sound begins later than the film there is silence until then.
pub struct Decoder {
    path: PathBuf,
    source: Source,
    channel: Channel,
    sample_rate: u32,
    /// Zeros to give before the first sample.
    silence: u64,
    /// Which of the decoded samples are given; the end is `u64::MAX` if not known.
    heard: Range<u64>,
    /// The number of samples of the whole file, if it is known.
    length: Option<u64>,
    /// Sample of the file's clock minus decoded sample.
    clock: i64,
    /// The number of samples decoded.
    position: u64,
    /// After a seek, until the decoder has what it needs from before: packets say where they
    /// are, and may fail.
    settling: bool,
    has_warned: bool,
    interleaved: Vec<f32>,
}

enum Source {
    Packets(Packets, Codec),
    /// A coding that is not decoded here.
    Program(Program),
}

impl Decoder {
    /// Reads the header of a file that holds something.
    ///
    /// # Errors
    /// When the file is damaged, has no such sound, or sound in a coding that neither is
    /// decoded here nor by an ffmpeg on the PATH.
    pub fn open(path: &Path, choice: &Choice) -> Result<Self> {
        Self::try_open(path, choice).map_err(|e| file_error(path, e))
    }

    fn try_open(path: &Path, choice: &Choice) -> Result<Self, String> {
        let Some(found) = container::recognise(path)? else {
            return Err(format!("this is not a {NAMES} file; {}", remedy(path)));
        };
        let packets = Packets::open(path, found, choice.stream).and_then(|packets| {
            let trims = packets.trims();
            match Codec::open(packets.parameters(), trims) {
                Ok(codec) => Ok((packets, codec)),
                Err(why) => Err(Failure::Undecoded(why, packets.number())),
            }
        });
        match packets {
            Ok((packets, codec)) => {
                let sample_rate =
                    checked_rate(packets.parameters().sample_rate.or(codec.sample_rate()))?;
                let heard = packets.heard(sample_rate)?;
                let (silence, samples) = (heard.silence, heard.samples);
                Ok(Self {
                    length: (samples.end < u64::MAX)
                        .then(|| silence + (samples.end - samples.start)),
                    clock: silence as i64 - samples.start as i64,
                    silence,
                    heard: samples,
                    ..Self::new(path, choice, sample_rate, Source::Packets(packets, codec))
                })
            }
            Err(Failure::Undecoded(why, stream)) => {
                let program = Program::open(path, stream, &why)
                    .map_err(|e| format!("{e}; {}", remedy(path)))?;
                let sample_rate = checked_rate(Some(program.sample_rate()))?;
                Ok(Self::new(
                    path,
                    choice,
                    sample_rate,
                    Source::Program(program),
                ))
            }
            Err(Failure::Broken(why)) => Err(why),
        }
    }

    fn new(path: &Path, choice: &Choice, sample_rate: u32, source: Source) -> Self {
        Self {
            path: path.to_owned(),
            source,
            channel: choice.channel,
            sample_rate,
            silence: 0,
            heard: 0..u64::MAX,
            length: None,
            clock: 0,
            position: 0,
            settling: false,
            has_warned: false,
            interleaved: Vec::new(),
        }
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// The number of samples of the whole file; None if only decoding can tell.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Lets the next sample be sample `sample` of the file. It is decoded and dropped what
    /// lies before.
    pub fn drop_before(&mut self, sample: u64) {
        let silent = self.silence.min(sample);
        self.silence -= silent;
        let start = self.heard.start.saturating_add(sample - silent);
        self.heard.start = start.min(self.heard.end);
    }

    /// The same without decoding all that lies before; false if there is no such way, and
    /// then the decoder is not usable any more.
    pub fn seek(&mut self, sample: u64) -> bool {
        self.drop_before(sample);
        if self.silence > 0 {
            return true;
        }
        if self.heard.is_empty() {
            self.position = self.heard.end;
            return true;
        }
        match &mut self.source {
            Source::Packets(packets, codec) => {
                self.settling = true;
                codec.reset();
                packets.seek(self.heard.start, self.sample_rate)
            }
            Source::Program(_) => false,
        }
    }

    /// Appends the next samples to `out`; false at the end.
    ///
    /// # Errors
    /// When the sound is damaged, or ends before it should. Errors name the second.
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        if self.silence > 0 {
            let n = self.silence.min(1 << 16);
            out.resize(out.len() + n as usize, 0.0);
            self.silence -= n;
            return Ok(true);
        }
        let before = out.len();
        while out.len() == before {
            if self.position >= self.heard.end {
                return Ok(false);
            }
            let Some((frames, channels)) = self.next_frames()? else {
                return self.end(out);
            };
            self.give(frames, channels, out)?;
        }
        Ok(true)
    }

    /// Decodes the next packet, interleaved: how many samples it has, and channels.
    fn next_frames(&mut self) -> Result<Option<(usize, usize)>> {
        let (packets, codec) = match &mut self.source {
            Source::Packets(packets, codec) => (packets, codec),
            Source::Program(program) => {
                let read = program.read(&mut self.interleaved);
                let channels = program.channels();
                let frames = read.map_err(|e| self.damaged(&e))?;
                return Ok((frames > 0).then_some((frames, channels)));
            }
        };
        let (next, drift) = (packets.next(), packets.drift(self.sample_rate));
        let padding = match &next {
            Ok(Some((_, packet))) => packets.padding(packet) * f64::from(self.sample_rate),
            _ => 0.0,
        };
        let (seconds, packet) = match next {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(None),
            Err(e) => return Err(self.damaged(&e)),
        };
        let off = seconds - self.position as f64 / f64::from(self.sample_rate);
        if off.abs() > drift && !self.settling {
            return Err(self.damaged(&format!(
                "what follows belongs {:.3} s {}; `ffmpeg -i {} -af aresample=async=1000 out.wav` \
                 puts silence into holes",
                off.abs(),
                if off > 0.0 { "later" } else { "earlier" },
                name(&self.path),
            )));
        }
        let decoded = codec.decode(&packet, &mut self.interleaved);
        if self.settling {
            return Ok(Some(self.settle(seconds, &packet, decoded.ok())));
        }
        let decoded = decoded.map_err(|e| self.damaged(&explain(&e)))?;
        if decoded.rate != self.sample_rate {
            return Err(self.damaged(&format!("the sample rate changes to {} Hz", decoded.rate)));
        }
        if decoded.is_missing {
            self.warn_of_silence();
        }
        let frames = decoded.frames.saturating_sub(padding.round() as usize);
        Ok(Some((frames, decoded.channels)))
    }

    /// As [`next_frames`](Self::next_frames), of a packet after a seek. It sets the position.
    fn settle(
        &mut self,
        seconds: f64,
        packet: &Packet,
        decoded: Option<Decoded>,
    ) -> (usize, usize) {
        let start = (seconds * f64::from(self.sample_rate)).round() as u64;
        let (frames, channels) = decoded.map_or((0, 1), |d| (d.frames, d.channels));
        // A first block of Vorbis, and what could not be decoded, give nothing.
        self.position = match frames {
            0 => start.saturating_add(packet.block_dur().get()),
            _ => start,
        };
        self.settling = self.position + (frames as u64) < self.heard.start;
        (frames, channels)
    }

    /// Says once that a frame is silent, as players have it where pieces of MP3 were put together.
    fn warn_of_silence(&mut self) {
        if !self.has_warned {
            self.has_warned = true;
            log::warn!(
                "{}: at {:.3} s a frame of MP3 builds on others that are not there, and is silent",
                self.path.display(),
                self.seconds(self.file_sample())
            );
        }
    }

    /// Appends what is heard of the samples decoded last.
    fn give(&mut self, frames: usize, channels: usize, out: &mut Vec<f32>) -> Result<()> {
        if frames == 0 {
            return Ok(()); // and no channels
        }
        let within = |edge: u64| (edge.saturating_sub(self.position).min(frames as u64)) as usize;
        let heard = within(self.heard.start)..within(self.heard.end);
        self.position += frames as u64;
        let heard = &self.interleaved[heard.start * channels..heard.end * channels];
        let picked = self.channel.pick(heard, channels, out);
        picked.map_err(|e| file_error(&self.path, e))
    }

    /// Checks at the end of the packets that nothing is missing.
    fn end(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        let Source::Packets(packets, _) = &self.source else {
            return Ok(false);
        };
        let until = match self.length {
            Some(length) => format!("where the header promises {:.3} s", self.seconds(length)),
            None if packets.is_truncated() => "and so does the file, within a block".to_owned(),
            None => return Ok(false),
        };
        let missing = self.heard.end - self.position;
        if missing <= packets.slack(self.sample_rate) {
            out.resize(out.len() + missing as usize, 0.0);
            self.position = self.heard.end;
            return Ok(missing > 0);
        }
        Err(file_error(
            &self.path,
            format!(
                "the sound is cut off: it ends at {:.3} s {until}; get the file again, or keep what \
                 there is with `ffmpeg -i {} out.wav`",
                self.seconds(self.file_sample()),
                name(&self.path),
            ),
        ))
    }

    fn damaged(&self, what: &str) -> DataFusionError {
        let seconds = self.seconds(self.file_sample());
        file_error(
            &self.path,
            format!("the sound is damaged at {seconds:.3} s: {what}"),
        )
    }

    fn seconds(&self, samples: u64) -> f64 {
        samples as f64 / f64::from(self.sample_rate)
    }

    /// The position on the file's clock.
    fn file_sample(&self) -> u64 {
        self.position.saturating_add_signed(self.clock)
    }
}

/// How ffmpeg makes a file that is decoded.
pub fn remedy(path: &Path) -> String {
    format!(
        "`ffmpeg -i {} -vn out.wav` makes one that can be read",
        name(path)
    )
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
}

fn checked_rate(rate: Option<u32>) -> Result<u32, String> {
    match rate {
        Some(rate) if SAMPLE_RATES.contains(&rate) => Ok(rate),
        Some(rate) => Err(format!(
            "its header is damaged: a sample rate of {rate} Hz (expected {} to {})",
            SAMPLE_RATES.start(),
            SAMPLE_RATES.end()
        )),
        None => Err("its header does not say the sample rate".to_string()),
    }
}
