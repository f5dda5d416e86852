//! From packets to samples: nanomp3 for MP3, symphonia for all else.
//!
//! nanomp3 gives symphonia's samples (to 1e-6) in three quarters of the time, and notices more of
//! what is damaged.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nanomp3::{DecodeError, MAX_SAMPLES_PER_FRAME};
use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP3, CODEC_ID_OPUS};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::Packet;

/// Decodes the packets of one stream.
pub enum Codec {
    Symphonia(Box<dyn AudioDecoder>),
    Mp3(Box<Mp3>),
}

/// What a packet decoded to.
pub struct Decoded {
    /// Samples of each channel.
    pub frames: usize,
    pub channels: usize,
    /// Samples per second.
    pub rate: u32,
    /// Whether it is silence, because what it builds on was not there.
    pub is_missing: bool,
}

impl Codec {
    /// A decoder that takes off what packets say is padding where `trims`.
    ///
    /// # Errors
    /// When the coding is not decoded here.
    pub fn open(parameters: &AudioCodecParameters, trims: bool) -> Result<Self, String> {
        if parameters.codec == CODEC_ID_MP3 {
            return Ok(Self::Mp3(Box::new(Mp3::new(trims))));
        }
        guarded(|| {
            let options = AudioDecoderOptions::default().gapless(trims);
            symphonia::default::get_codecs().make_audio_decoder(parameters, &options)
        })
        .map(Self::Symphonia)
        .map_err(|e| match parameters.codec {
            CODEC_ID_OPUS => "its sound is Opus, which is not decoded".to_string(),
            _ => format!(
                "its sound is in a coding that is not decoded ({})",
                explain(&e)
            ),
        })
    }

    /// Samples per second, where the decoder knows it from the start.
    pub fn sample_rate(&self) -> Option<u32> {
        match self {
            Self::Symphonia(codec) => codec.codec_params().sample_rate,
            Self::Mp3(_) => None,
        }
    }

    /// Forgets what came before: the next packet is from elsewhere.
    pub fn reset(&mut self) {
        match self {
            Self::Symphonia(codec) => codec.reset(),
            Self::Mp3(mp3) => {
                mp3.decoder = nanomp3::Decoder::new();
                mp3.has_begun = false;
            }
        }
    }

    /// Fills `interleaved` with the packet's samples.
    ///
    /// # Errors
    /// When the packet is damaged; decoding may go on after it.
    pub fn decode(
        &mut self,
        packet: &Packet,
        interleaved: &mut Vec<f32>,
    ) -> Result<Decoded, Error> {
        interleaved.clear();
        guarded(|| match self {
            Self::Symphonia(codec) => {
                let buffer = codec.decode(packet)?;
                buffer.copy_to_vec_interleaved(interleaved);
                let frames = buffer.frames();
                Ok(Decoded {
                    frames,
                    channels: interleaved.len().checked_div(frames).unwrap_or(1).max(1),
                    rate: buffer.spec().rate(),
                    is_missing: false,
                })
            }
            Self::Mp3(mp3) => mp3.decode(packet, interleaved),
        })
    }
}

/// MPEG audio, layer 3, a frame in each packet.
pub struct Mp3 {
    decoder: nanomp3::Decoder,
    trims: bool,
    /// Of the first frame; 0 before it.
    channels: usize,
    /// Whether a frame was decoded: the first ones may build on what came before the file began.
    has_begun: bool,
}

impl Mp3 {
    fn new(trims: bool) -> Self {
        Self {
            decoder: nanomp3::Decoder::new(),
            trims,
            channels: 0,
            has_begun: false,
        }
    }

    fn decode(&mut self, packet: &Packet, interleaved: &mut Vec<f32>) -> Result<Decoded, Error> {
        let wrong = |what| Err(Error::DecodeError(what));
        interleaved.resize(MAX_SAMPLES_PER_FRAME, 0.0);
        let (taken, result) = self
            .decoder
            .decode(&packet.data, interleaved.as_mut_slice());
        let (info, is_missing) = match result {
            Ok(info) => (info, false),
            Err(DecodeError::ReservoirUnavailable(info)) => {
                interleaved.fill(0.0);
                (info, true)
            }
            Err(DecodeError::NoFrame) => return wrong("this is no frame of MP3"),
            Err(_) => return wrong("a frame of MP3 is damaged"),
        };
        if taken != packet.data.len() || info.layer != 3 {
            return wrong("this is no frame of MP3");
        }
        let channels = usize::from(info.channels.num());
        if self.channels != 0 && self.channels != channels {
            return wrong("the number of channels changes");
        }
        self.channels = channels;
        // MPEG-1 has two granules of 576 samples in a frame, MPEG-2 and 2.5 one.
        let mut frames = if info.sample_rate >= 32_000 {
            1152
        } else {
            576
        };
        interleaved.truncate(frames * channels);
        if self.trims {
            let start = (packet.trim_start.get() as usize).min(frames);
            let end = (packet.trim_end.get() as usize).min(frames - start);
            frames -= start + end;
            interleaved.drain(..start * channels);
            interleaved.truncate(frames * channels);
        }
        self.has_begun |= !is_missing;
        let is_missing = is_missing && self.has_begun;
        Ok(Decoded {
            frames,
            channels,
            rate: info.sample_rate,
            is_missing,
        })
    }
}

/// Runs a decoder or a part of symphonia; a panic over a damaged file is an error like others.
pub fn guarded<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or(Err(Error::DecodeError("the decoder failed on it")))
}

pub fn explain(error: &Error) -> String {
    match error {
        Error::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => "it is cut off".to_string(),
        Error::DecodeError(what) | Error::Unsupported(what) => (*what).to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{file, here};
    use super::super::container::recognise;
    use super::super::packets::Packets;
    use super::*;
    use std::path::Path;

    fn packets(path: &Path) -> (Vec<Packet>, AudioCodecParameters) {
        let found = recognise(path).unwrap().unwrap();
        let Ok(mut packets) = Packets::open(path, found, None) else {
            panic!("{} has packets", path.display());
        };
        let parameters = packets.parameters().clone();
        let all = std::iter::from_fn(|| packets.next().unwrap());
        (all.map(|(_, packet)| packet).collect(), parameters)
    }

    #[test]
    fn mp3_is_what_symphonia_makes_of_it() {
        for name in ["tone.mp3", "vbr.mp3", "plain.mp3", "mp3.mp4", "mp3.mkv"] {
            let (packets, parameters) = packets(&here("tests/data/audio").join(name));
            let mut codec = Codec::open(&parameters, true).unwrap();
            assert!(matches!(codec, Codec::Mp3(_)), "{name}");
            let options = AudioDecoderOptions::default().gapless(true);
            let codecs = symphonia::default::get_codecs();
            let mut reference =
                Codec::Symphonia(codecs.make_audio_decoder(&parameters, &options).unwrap());
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for packet in &packets {
                let got = codec.decode(packet, &mut ours).unwrap();
                let want = reference.decode(packet, &mut theirs).unwrap();
                assert_eq!((got.frames, got.rate), (want.frames, want.rate), "{name}");
                assert_eq!(ours.len(), theirs.len(), "{name}");
                assert_eq!(ours.len(), got.frames * got.channels, "{name}");
                let pairs = ours.iter().zip(&theirs);
                let worst = pairs.fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
                assert!(worst < 2e-6, "{name}: {worst}");
            }
            assert!(packets.len() > 20, "{name}");
        }
    }

    /// Frames whose begin is not there are silent, at the start of a file without a word.
    #[test]
    fn mp3_without_its_begin() {
        let bytes = std::fs::read(here("tests/data/audio/tone.mp3")).unwrap();
        let (_directory, path) = file("whole.mp3", &bytes);
        let (packets, parameters) = packets(&path);
        let mut samples = Vec::new();
        let mut is_missing = |order: &[usize]| -> Vec<bool> {
            let mut codec = Codec::open(&parameters, false).unwrap();
            let decoded = order.iter().map(|&i| {
                let decoded = codec.decode(&packets[i], &mut samples).unwrap();
                assert_eq!(decoded.frames, 1152);
                (decoded.is_missing, samples.iter().all(|&s| s == 0.0))
            });
            let decoded: Vec<_> = decoded.collect();
            assert!(decoded.iter().all(|(missing, silent)| !missing || *silent));
            decoded.into_iter().map(|(missing, _)| missing).collect()
        };
        let rest: Vec<usize> = (40..60).collect();
        assert!(is_missing(&rest).iter().all(|missing| !missing));
        // The same after other frames: a piece put to a piece.
        let joined: Vec<usize> = (0..8).chain(40..60).collect();
        assert!(is_missing(&joined).iter().any(|missing| *missing));
    }
}
