//! A stream of a Matroska file, as its header describes it.

use crate::readers::ebml::{elements, float, id, text, unsigned};

/// The kind of a stream of pictures.
pub const VIDEO: u64 = 1;

/// The kind of a stream of sound.
pub const SOUND: u64 = 2;

/// One stream of the file.
#[derive(Debug, Clone)]
pub struct Track {
    /// The number that blocks name it by.
    pub id: u64,
    /// 1 video, 2 audio, 17 subtitles, …
    pub kind: u64,
    /// Such as `A_VORBIS` or `V_MPEG4/ISO/AVC`.
    pub codec: String,
    /// What a decoder of that codec has to know.
    pub private: Vec<u8>,
    /// Its blocks are compressed or encrypted once more.
    pub is_encoded: bool,
    pub language: Option<String>,
    pub name: Option<String>,
    pub is_default: bool,
    /// What the encoder put before the sound, in nanoseconds.
    pub codec_delay: u64,
    /// Nanoseconds that a frame lasts, where all last the same.
    pub frame_duration: Option<u64>,
    pub sample_rate: Option<f64>,
    pub channels: Option<u64>,
    /// Of a sample.
    pub bits: Option<u64>,
    pub width: Option<u64>,
    pub height: Option<u64>,
    /// The numbers of ITU-T H.273 for the matrix, and 1 for limited and 2 for full range.
    pub matrix: Option<u64>,
    pub range: Option<u64>,
}

impl Track {
    /// From the body of a TrackEntry.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let mut track = Self {
            id: 0,
            kind: 0,
            codec: String::new(),
            private: Vec::new(),
            is_encoded: false,
            // What holds if the element is not there.
            language: Some("eng".to_owned()),
            name: None,
            is_default: true,
            codec_delay: 0,
            frame_duration: None,
            sample_rate: None,
            channels: None,
            bits: None,
            width: None,
            height: None,
            matrix: None,
            range: None,
        };
        let mut tagged = None;
        for (id, body) in elements(body)? {
            match id {
                id::TRACK_NUMBER => track.id = unsigned(body)?,
                id::TRACK_TYPE => track.kind = unsigned(body)?,
                id::CODEC_ID => track.codec = text(body),
                id::CODEC_PRIVATE => track.private = body.to_vec(),
                id::CONTENT_ENCODINGS => track.is_encoded = true,
                id::LANGUAGE => track.language = Some(text(body)),
                id::LANGUAGE_TAG => tagged = Some(text(body)),
                id::NAME => track.name = Some(text(body)),
                id::FLAG_DEFAULT => track.is_default = unsigned(body)? != 0,
                id::CODEC_DELAY => track.codec_delay = unsigned(body)?,
                id::DEFAULT_DURATION => {
                    track.frame_duration = Some(unsigned(body)?).filter(|&n| n > 0)
                }
                id::AUDIO => {
                    (track.sample_rate, track.channels) = (Some(8000.0), Some(1));
                    let mut output = None;
                    for (id, body) in elements(body)? {
                        match id {
                            id::SAMPLING_FREQUENCY => track.sample_rate = Some(float(body)?),
                            id::OUTPUT_SAMPLING_FREQUENCY => output = Some(float(body)?),
                            id::BIT_DEPTH => track.bits = Some(unsigned(body)?),
                            id::CHANNELS => track.channels = Some(unsigned(body)?),
                            _ => (),
                        }
                    }
                    track.sample_rate = output.or(track.sample_rate);
                }
                id::VIDEO => {
                    for (id, body) in elements(body)? {
                        match id {
                            id::PIXEL_WIDTH => track.width = Some(unsigned(body)?),
                            id::PIXEL_HEIGHT => track.height = Some(unsigned(body)?),
                            id::COLOUR => track.colour(body)?,
                            _ => (),
                        }
                    }
                }
                _ => (),
            }
        }
        track.language = tagged.or(track.language).filter(|l| l != "und");
        Ok(track)
    }
    fn colour(&mut self, body: &[u8]) -> Result<(), String> {
        for (id, body) in elements(body)? {
            match id {
                id::MATRIX => self.matrix = Some(unsigned(body)?),
                id::RANGE => self.range = Some(unsigned(body)?),
                _ => (),
            }
        }
        Ok(())
    }
}
