//! Sound files as mono samples at their own rate, packet by packet.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::packet::Packet;
use symphonia::default::formats::{FlacReader, WavReader};

use super::super::format::file_error;
use super::movie::{self, Soundtrack};

/// Rates outside of this are taken for a damaged header or a mistyped option.
pub const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 100..=768_000;

/// How far packets of an MP4 may stray from the time that their number gives, in seconds.
/// Recorders' clocks drift a little; what is further off is a hole in the sound.
const DRIFT: f64 = 0.1;

/// Decodes WAV, FLAC or the first sound track of an MP4 to the mean of its channels.
///
/// Sample `k` sounds at `k / sample_rate` seconds on the file's own clock: what an MP4's
/// edit list cuts away (the encoder's priming, padding at the end) is cut away, and where
/// it lets the sound begin later than the film there is silence until then.
pub struct Decoder {
    path: PathBuf,
    packets: Packets,
    codec: Box<dyn AudioDecoder>,
    sample_rate: u32,
    /// Zeros to give before the first sample.
    silence: u64,
    /// Which of the decoded samples are heard; the end is `u64::MAX` if not known.
    heard: Range<u64>,
    /// The number of samples to give, if it is known.
    length: Option<u64>,
    /// The number of samples decoded.
    position: u64,
    interleaved: Vec<f32>,
}

enum Packets {
    /// WAV and FLAC: symphonia knows where packets begin, and their first sample.
    Stream(Box<dyn FormatReader>),
    /// MP4: symphonia would read the pictures too, and drop them.
    Movie(Soundtrack),
}

impl Decoder {
    /// Reads the header of a file that holds something.
    ///
    /// # Errors
    /// When the file is damaged, has no sound, or sound in a coding that is not decoded.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |message: String| file_error(path, message);
        let mut file = File::open(path).map_err(|e| fail(e.to_string()))?;
        let mut magic = Vec::new();
        Read::by_ref(&mut file)
            .take(12)
            .read_to_end(&mut magic)
            .and_then(|_| file.rewind())
            .map_err(|e| fail(e.to_string()))?;
        match magic.get(..4) {
            Some(b"RIFF" | b"fLaC") => Self::stream(path, file, magic[0] == b'R'),
            _ if movie::is_movie(&magic) => Self::movie(path).map_err(fail),
            _ => Err(fail(format!(
                "this is not a WAV, FLAC or MP4 file; {}",
                remedy(path)
            ))),
        }
    }

    fn movie(path: &Path) -> Result<Self, String> {
        let track = Soundtrack::open(path)?;
        let codec = make_codec(track.parameters())?;
        let sample_rate = checked_rate(codec.codec_params())?;
        let (silence, heard) = track.heard(sample_rate)?;
        Ok(Self {
            path: path.to_owned(),
            packets: Packets::Movie(track),
            codec,
            sample_rate,
            silence,
            length: Some(silence + (heard.end - heard.start)),
            heard,
            position: 0,
            interleaved: Vec::new(),
        })
    }

    fn stream(path: &Path, file: File, is_wav: bool) -> Result<Self> {
        let fail = |message: String| file_error(path, message);
        let file = MediaSourceStream::new(Box::new(file), Default::default());
        let reader = guarded(|| -> Result<Box<dyn FormatReader>, Error> {
            let options = FormatOptions::default();
            Ok(match is_wav {
                true => Box::new(WavReader::try_new(file, options)?),
                false => Box::new(FlacReader::try_new(file, options)?),
            })
        });
        let reader = reader.map_err(|e| match e {
            Error::Unsupported(what) => {
                fail(format!("it cannot be read ({what}); {}", remedy(path)))
            }
            other => fail(format!("its header is damaged: {}", explain(&other))),
        })?;
        let track = reader.tracks().first();
        let Some((Some(CodecParameters::Audio(parameters)), length)) =
            track.map(|track| (track.codec_params.clone(), track.num_frames))
        else {
            return Err(fail("its header describes no sound".to_string()));
        };
        let codec = make_codec(&parameters).map_err(|e| fail(format!("{e}; {}", remedy(path))))?;
        let sample_rate = checked_rate(codec.codec_params()).map_err(fail)?;
        Ok(Self {
            path: path.to_owned(),
            packets: Packets::Stream(reader),
            codec,
            sample_rate,
            silence: 0,
            heard: 0..length.unwrap_or(u64::MAX),
            length,
            position: 0,
            interleaved: Vec::new(),
        })
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// The number of samples; None if only decoding can tell.
    pub fn length(&self) -> Option<u64> {
        self.length
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
            let Some(packet) = self.next_packet()? else {
                return self.end();
            };
            self.decode(&packet, out)?;
        }
        Ok(true)
    }

    /// The next packet, which begins where the last one ended.
    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let (packet, off, allowed) = match &mut self.packets {
            Packets::Stream(reader) => match guarded(|| none_at_end(reader.next_packet())) {
                Ok(Some(packet)) => {
                    let off = packet.pts.get() as f64 - self.position as f64;
                    (packet, off / f64::from(self.sample_rate), 0.0)
                }
                Ok(None) => return Ok(None),
                Err(e) => return Err(self.damaged(&explain(&e))),
            },
            Packets::Movie(track) => match track.next_packet() {
                Ok(Some((seconds, packet))) => {
                    let at = self.position as f64 / f64::from(self.sample_rate);
                    (packet, seconds - at, DRIFT)
                }
                Ok(None) => return Ok(None),
                Err(e) => return Err(self.damaged(&e)),
            },
        };
        if off.abs() > allowed {
            return Err(self.damaged(&format!(
                "what follows belongs {:.3} s {}; `ffmpeg -i {} -af aresample=async=1000 out.wav` \
                 puts silence into holes",
                off.abs(),
                if off > 0.0 { "later" } else { "earlier" },
                name(&self.path),
            )));
        }
        Ok(Some(packet))
    }

    fn decode(&mut self, packet: &Packet, out: &mut Vec<f32>) -> Result<()> {
        let (codec, interleaved) = (&mut self.codec, &mut self.interleaved);
        let decoded = guarded(|| {
            let buffer = codec.decode(packet)?;
            buffer.copy_to_vec_interleaved(interleaved);
            Ok((buffer.frames(), buffer.spec().rate()))
        });
        let (frames, rate) = decoded.map_err(|e| self.damaged(&explain(&e)))?;
        if rate != self.sample_rate {
            return Err(self.damaged(&format!("the sample rate changes to {rate} Hz")));
        }
        let within = |edge: u64| (edge.saturating_sub(self.position).min(frames as u64)) as usize;
        let heard = within(self.heard.start)..within(self.heard.end);
        self.position += frames as u64;
        let channels = self
            .interleaved
            .len()
            .checked_div(frames)
            .unwrap_or(1)
            .max(1);
        let heard = &self.interleaved[heard.start * channels..heard.end * channels];
        if channels == 1 {
            out.extend_from_slice(heard);
        } else {
            let count = channels as f32;
            out.extend(
                heard
                    .chunks_exact(channels)
                    .map(|c| c.iter().sum::<f32>() / count),
            );
        }
        Ok(())
    }

    /// Checks at the end of the packets that nothing is missing.
    fn end(&self) -> Result<bool> {
        if self.length.is_none() || self.position >= self.heard.end {
            return Ok(false);
        }
        let rate = f64::from(self.sample_rate);
        Err(file_error(
            &self.path,
            format!(
                "the sound is cut off: it ends at {:.3} s where the header promises {:.3} s; get \
                 the file again, or keep what there is with `ffmpeg -i {} out.wav`",
                self.position.saturating_sub(self.heard.start) as f64 / rate,
                (self.heard.end - self.heard.start) as f64 / rate,
                name(&self.path),
            ),
        ))
    }

    fn damaged(&self, what: &str) -> DataFusionError {
        let seconds = self.position.saturating_sub(self.heard.start) as f64;
        let seconds = seconds / f64::from(self.sample_rate);
        file_error(
            &self.path,
            format!("the sound is damaged at {seconds:.3} s: {what}"),
        )
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

fn make_codec(parameters: &AudioCodecParameters) -> Result<Box<dyn AudioDecoder>, String> {
    guarded(|| {
        symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
    })
    .map_err(|e| {
        format!(
            "its sound is in a coding that is not decoded ({})",
            explain(&e)
        )
    })
}

fn checked_rate(parameters: &AudioCodecParameters) -> Result<u32, String> {
    match parameters.sample_rate {
        Some(rate) if SAMPLE_RATES.contains(&rate) => Ok(rate),
        Some(rate) => Err(format!(
            "its header is damaged: a sample rate of {rate} Hz (expected {} to {})",
            SAMPLE_RATES.start(),
            SAMPLE_RATES.end()
        )),
        None => Err("its header does not say the sample rate".to_string()),
    }
}

/// The end of the file as the end of the packets; whether it came too early is seen by
/// the number of samples.
fn none_at_end(packet: Result<Option<Packet>, Error>) -> Result<Option<Packet>, Error> {
    match packet {
        Err(Error::IoError(e)) if e.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Ok(Some(packet)) if packet.data.is_empty() => Ok(None),
        other => other,
    }
}

/// Runs a part of symphonia; a panic over a damaged file is an error like others.
fn guarded<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or(Err(Error::DecodeError("the decoder failed on it")))
}

fn explain(error: &Error) -> String {
    match error {
        Error::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => "it is cut off".to_string(),
        Error::DecodeError(what) | Error::Unsupported(what) => (*what).to_string(),
        other => other.to_string(),
    }
}
