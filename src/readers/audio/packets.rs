//! One stream's coded sound, packet by packet, from any container.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_VORBIS;
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, Track};
use symphonia::core::io::{MediaSourceStream, ReadBytes};
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;
use symphonia::default::formats::{FlacReader, MkvReader, MpaReader, OggReader, WavReader};

use super::super::matroska;
use super::codec::{explain, guarded};
use super::container::Container;
use super::decode::remedy;
use super::movie::Soundtrack;
use crate::access::scope;

/// How far packets with coarse time stamps may stray from the time that their number gives,
/// in seconds. Recorders' clocks drift a little; what is further off is a hole in the sound.
const DRIFT: f64 = 0.1;

/// Samples before a frame of MP3 that it builds on: the bits that it borrows from frames before it (511
/// bytes at most, or 255 of MPEG-2), the halves that overlap, and the filters.
const MPEG_HISTORY: u64 = 16 * 1152;

/// Why a stream cannot be decoded here.
pub enum Failure {
    /// Its coding is one that ffmpeg may know: what to say, and which of the file's sound
    /// streams it is.
    Undecoded(String, usize),
    /// Nothing can be done; what to say, without the file's name.
    Broken(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Broken(message)
    }
}

/// The packets of one stream. Decoded sample 0 is the first that they decode to.
pub enum Packets {
    Stream(Box<Stream>),
    /// MP4: symphonia would ignore the edit list.
    Movie(Box<Soundtrack>),
}

/// Which of the decoded samples are heard.
pub struct Heard {
    /// Silence before the first of them.
    pub silence: u64,
    /// The end is `u64::MAX` if not known.
    pub samples: Range<u64>,
}

impl Packets {
    /// Opens stream `wanted` among the sound streams of a file, which begins after `skip`
    /// bytes of tags.
    pub fn open(
        path: &Path,
        (container, skip): (Container, u64),
        wanted: Option<usize>,
    ) -> Result<Self, Failure> {
        match container {
            Container::Movie => Ok(Self::Movie(Box::new(Soundtrack::open(path, wanted)?))),
            _ => {
                let stream = Stream::open(path, container, skip, wanted)?;
                Ok(Self::Stream(Box::new(stream)))
            }
        }
    }

    /// What a decoder has to know.
    pub fn parameters(&self) -> &AudioCodecParameters {
        match self {
            Self::Stream(stream) => &stream.parameters,
            Self::Movie(track) => track.parameters(),
        }
    }

    /// Which of the file's sound streams it is.
    pub fn number(&self) -> usize {
        match self {
            Self::Stream(stream) => stream.number,
            Self::Movie(track) => track.number(),
        }
    }

    /// Whether the decoder is to take off what packets say is padding.
    pub fn trims(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.container != Container::Mpeg,
            Self::Movie(_) => false,
        }
    }

    pub fn heard(&self, sample_rate: u32) -> Result<Heard, String> {
        match self {
            Self::Stream(stream) => Ok(stream.heard(sample_rate)),
            Self::Movie(track) => {
                let (silence, samples) = track.heard(sample_rate)?;
                Ok(Heard { silence, samples })
            }
        }
    }

    /// How far a packet may lie from where the last one ended, in seconds.
    pub fn drift(&self, sample_rate: u32) -> f64 {
        match self {
            Self::Stream(stream) if stream.is_exact() => 0.5 / f64::from(sample_rate),
            _ => DRIFT,
        }
    }

    /// How many samples may be missing at the end: Ogg gives the length by the last page's
    /// own count, which encoders do not all keep to the sample.
    pub fn slack(&self, sample_rate: u32) -> u64 {
        match self {
            Self::Stream(stream) if stream.container == Container::Ogg => {
                (DRIFT * f64::from(sample_rate)) as u64
            }
            _ => 0,
        }
    }

    /// The next packet, and the second at which its first sample is due if decoded sample 0
    /// is at 0.
    pub fn next(&mut self) -> Result<Option<(f64, Packet)>, String> {
        match self {
            Self::Stream(stream) => stream.next(),
            Self::Movie(track) => track.next_packet(),
        }
    }

    /// Goes to a packet from which a fresh decoder gets at decoded sample `target` without
    /// error; false if there is no way, and then the packets are not usable any more.
    pub fn seek(&mut self, target: u64, sample_rate: u32) -> bool {
        match self {
            Self::Stream(stream) => stream.seek(target),
            Self::Movie(track) => track.seek(target, sample_rate),
        }
    }

    /// The seconds at the end of a packet that are not heard.
    pub fn padding(&self, packet: &Packet) -> f64 {
        match self {
            Self::Stream(stream) => stream.padding.map_or(0.0, |(time, seconds)| {
                let off = packet.pts.get() as f64 * stream.tick + stream.delay_seconds - time;
                if off.abs() <= stream.tick {
                    seconds
                } else {
                    0.0
                }
            }),
            Self::Movie(_) => 0.0,
        }
    }

    /// Whether the file ends before its headers say so.
    pub fn is_truncated(&self) -> bool {
        matches!(self, Self::Stream(stream) if stream.truncated)
    }
}

/// A stream of what symphonia takes apart.
pub struct Stream {
    container: Container,
    reader: Box<dyn FormatReader>,
    number: usize,
    track: u32,
    parameters: AudioCodecParameters,
    /// Seconds in a tick of the packets' time stamps.
    tick: f64,
    /// The time stamp of decoded sample 0, in ticks.
    origin: i64,
    /// The first packet, if it was read to find that.
    first: Option<Packet>,
    /// The encoder's delay at the begin: in samples, or in seconds.
    delay: u64,
    delay_seconds: f64,
    /// Samples that are heard, if known.
    length: Option<u64>,
    truncated: bool,
    /// Where the packet is that ends with padding, and how much; in seconds.
    padding: Option<(f64, f64)>,
}

impl Stream {
    fn open(
        path: &Path,
        container: Container,
        skip: u64,
        wanted: Option<usize>,
    ) -> Result<Self, Failure> {
        let mut header = None;
        if container == Container::Matroska {
            header = Some(matroska::Header::read(path)?);
        }
        let reader = match (make_reader(path, container, skip), &header) {
            // symphonia takes a segment that is not wholly there for none.
            (Err(_), Some(header)) if header.truncated => {
                return Err("the file is cut off: its segment is longer; get it again"
                    .to_owned()
                    .into());
            }
            (reader, _) => reader?,
        };
        let (number, track) = if let Some(read) = &header {
            let (number, id) = read.choose_sound(wanted)?;
            let track = reader.tracks().iter().find(|t| u64::from(t.id) == id);
            (number, track.cloned())
        } else {
            let is_sound = |t: &&Track| !matches!(&t.codec_params, Some(p) if p.audio().is_none());
            let tracks: Vec<_> = reader.tracks().iter().filter(is_sound).collect();
            let number = choose(wanted, tracks.len(), None)?;
            (number, tracks.get(number).map(|&t| t.clone()))
        };
        let codec = header.as_ref().and_then(|h| h.codec_of_sound(number));
        let undecoded = || {
            let codec = codec
                .clone()
                .unwrap_or_else(|| "of an unknown coding".to_owned());
            Failure::Undecoded(
                format!("its sound is {codec}, which is not decoded"),
                number,
            )
        };
        let track = track.ok_or_else(undecoded)?;
        let Some(CodecParameters::Audio(parameters)) = track.codec_params.clone() else {
            return Err(undecoded());
        };
        // Without a sample rate, which will be said, there is none.
        let tick = track.time_base.map_or(0.0, |base| {
            f64::from(base.numer.get()) / f64::from(base.denom.get())
        });
        let mut stream = Self {
            container,
            reader,
            number,
            track: track.id,
            parameters,
            tick,
            origin: 0,
            first: None,
            delay: 0,
            delay_seconds: 0.0,
            length: track.num_frames,
            truncated: false,
            padding: None,
        };
        match container {
            Container::Mpeg => {
                // Without LAME's tag the length is guessed, and nothing is to be taken off.
                stream.delay = u64::from(track.delay.unwrap_or(0));
                stream.length = track.num_frames.filter(|_| track.delay.is_some());
                stream.origin = -(stream.delay as i64);
            }
            Container::Ogg => {
                // The delay that symphonia counts is what its decoder never gives. A recording
                // cut out of another one begins late; an encoder's delay, early.
                let start = track.start_ts.get() + i64::from(track.delay.unwrap_or(0));
                stream.origin = start;
                stream.delay = start.min(0).unsigned_abs();
                let end = |n: u64| n.saturating_sub(start.max(0).unsigned_abs());
                stream.length = track.num_frames.map(end);
            }
            Container::Matroska => {
                if let Some(header) = &header {
                    stream.delay_seconds = header.delay_of_sound(number);
                    stream.truncated = header.truncated;
                    stream.padding = header.padding(path, u64::from(stream.track))?;
                }
                stream.length = None;
                let first = stream.packet()?;
                stream.origin = first.as_ref().map_or(0, |packet| packet.pts.get());
                stream.first = first;
            }
            Container::Wav if stream.length == Some(0) => {
                // Whoever wrote it may have been stopped before the counts were filled in.
                stream.first = stream.packet()?;
                match stream.first {
                    Some(_) => stream.length = None,
                    None => check_silence(path, skip)?,
                }
            }
            Container::Wav | Container::Flac | Container::Movie => (),
        }
        Ok(stream)
    }

    /// Whether time stamps count samples.
    fn is_exact(&self) -> bool {
        matches!(
            self.container,
            Container::Wav | Container::Flac | Container::Mpeg
        )
    }

    fn heard(&self, sample_rate: u32) -> Heard {
        let rate = f64::from(sample_rate);
        if self.container == Container::Matroska {
            let delay = match self.parameters.codec {
                // What newer encoders count is the first block, of which a decoder gives nothing.
                CODEC_ID_VORBIS => 0.0,
                _ => (self.delay_seconds * rate).round(),
            };
            let late = self.origin as f64 * self.tick + self.delay_seconds;
            // Time stamps are often milliseconds: what is not a millisecond late is not late.
            let late = if late < 0.0011 { 0.0 } else { late };
            return Heard {
                silence: (late * rate).round() as u64,
                samples: delay as u64..u64::MAX,
            };
        }
        let end = self
            .length
            .map_or(u64::MAX, |n| n.saturating_add(self.delay));
        Heard {
            silence: 0,
            samples: self.delay..end,
        }
    }

    fn next(&mut self) -> Result<Option<(f64, Packet)>, String> {
        let packet = match self.first.take() {
            Some(packet) => Some(packet),
            None => self.packet()?,
        };
        Ok(packet.map(|packet| {
            let ticks = packet.pts.get().saturating_sub(self.origin);
            (ticks as f64 * self.tick, packet)
        }))
    }

    /// The next packet of the track; None at the end.
    fn packet(&mut self) -> Result<Option<Packet>, String> {
        loop {
            let reader = &mut self.reader;
            match guarded(|| reader.next_packet()) {
                Ok(Some(packet)) if packet.track_id != self.track => (),
                // A WAV of unknown length is at its end; elsewhere a frame may be empty, and more follow.
                Ok(Some(packet)) if packet.data.is_empty() => {
                    if self.container == Container::Wav {
                        return Ok(None);
                    }
                }
                Ok(packet) => return Ok(packet),
                // The end of the file; whether it came too early is seen by the number of
                // samples, but in Ogg the length itself comes from the file's end.
                Err(Error::IoError(e))
                    if e.kind() == ErrorKind::UnexpectedEof && self.container != Container::Ogg =>
                {
                    return Ok(None);
                }
                // Another recording follows in the same file.
                Err(Error::ResetRequired) => {
                    return Err("another stream follows in the same file".to_owned());
                }
                Err(e) => return Err(explain(&e)),
            }
        }
    }

    fn seek(&mut self, target: u64) -> bool {
        self.first = None;
        // Samples before `target` that a decoder needs.
        let before = match self.container {
            Container::Wav | Container::Flac => 0,
            Container::Mpeg => MPEG_HISTORY,
            Container::Ogg => 2 * 8192,
            Container::Matroska | Container::Movie => return false,
        };
        let Some(from) = target.checked_sub(before).filter(|&n| n > 0) else {
            return false;
        };
        let to = SeekTo::Timestamp {
            ts: Timestamp::new(self.origin.saturating_add_unsigned(from)),
            track_id: self.track,
        };
        let reader = &mut self.reader;
        match guarded(|| reader.seek(SeekMode::Accurate, to)) {
            Ok(seeked) => seeked.actual_ts <= seeked.required_ts,
            Err(_) => false,
        }
    }
}

pub fn make_reader(
    path: &Path,
    container: Container,
    skip: u64,
) -> Result<Box<dyn FormatReader>, Failure> {
    let file = scope::open(path).map_err(|e| e.to_string())?;
    let made = guarded(|| -> Result<Box<dyn FormatReader>, Error> {
        let mut source = MediaSourceStream::new(Box::new(file), Default::default());
        source.ignore_bytes(skip)?;
        let options = FormatOptions::default();
        Ok(match container {
            Container::Wav => Box::new(WavReader::try_new(source, options)?),
            Container::Flac => Box::new(FlacReader::try_new(source, options)?),
            Container::Mpeg => Box::new(MpaReader::try_new(source, options)?),
            Container::Ogg => Box::new(OggReader::try_new(source, options)?),
            Container::Matroska | Container::Movie => {
                Box::new(MkvReader::try_new(source, options)?)
            }
        })
    });
    made.map_err(|e| match e {
        Error::Unsupported(what) => {
            Failure::Undecoded(format!("it cannot be read here ({what})"), 0)
        }
        other => Failure::Broken(format!("its header is damaged: {}", explain(&other))),
    })
}

/// Errors where a WAV whose header says that it has no samples goes on behind the header with something
/// other than a chunk: those are samples that were not counted.
fn check_silence(path: &Path, skip: u64) -> Result<(), Failure> {
    let mut behind = make_reader(path, Container::Wav, skip)?.into_inner();
    let start = behind.pos();
    let mut head = Vec::new();
    let read = behind.by_ref().take(8).read_to_end(&mut head);
    read.map_err(|e| e.to_string())?;
    let length = scope::open(path).and_then(|file| file.metadata());
    let left = length
        .map_err(|e| e.to_string())?
        .len()
        .saturating_sub(start);
    let is_chunk = match head.as_slice() {
        [id @ .., a, b, c, d] if id.len() == 4 => {
            let size = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
            id.iter().all(|byte| matches!(byte, b' '..=b'~')) && 8 + size <= left
        }
        rest => rest.is_empty(),
    };
    match is_chunk {
        true => Ok(()),
        false => Err(Failure::Broken(format!(
            "its header says that it has no samples, but {left} bytes follow: the recording was not finished; {}",
            remedy(path)
        ))),
    }
}

/// Which of `count` sound streams is meant: the wanted one, the default one, or the first.
///
/// # Errors
/// When there is no such stream.
pub fn choose(
    wanted: Option<usize>,
    count: usize,
    default: Option<usize>,
) -> Result<usize, String> {
    match (wanted, count) {
        (_, 0) => Err("it has no sound track".to_owned()),
        (Some(n), _) if n >= count => Err(format!(
            "there is no sound stream {n}: it has {count}, numbered from 0 (media_streams lists them)"
        )),
        (Some(n), _) => Ok(n),
        (None, _) => Ok(default.unwrap_or(0)),
    }
}
