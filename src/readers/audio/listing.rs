//! The sound streams of files that hold nothing but sound.

use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;

use super::container::Container;
use super::packets::{Failure, make_reader};

/// What a header says of one stream.
#[derive(Debug)]
pub struct SoundStream {
    pub codec: Option<String>,
    pub sample_rate: Option<u32>,
    pub channels: Option<usize>,
    /// In seconds, where the header says it.
    pub duration: Option<f64>,
}

/// The streams of a WAV, FLAC, MP3 or Ogg file that begins after `skip` bytes of tags.
///
/// # Errors
/// Say what is wrong, without the file's name.
pub fn sound_streams(
    path: &Path,
    (container, skip): (Container, u64),
) -> Result<Vec<SoundStream>, String> {
    let reader = make_reader(path, container, skip).map_err(|failure| match failure {
        Failure::Undecoded(why, _) | Failure::Broken(why) => why,
    })?;
    let streams = reader.tracks().iter().map(|track| {
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
            return SoundStream {
                codec: None,
                sample_rate: None,
                channels: None,
                duration: None,
            };
        };
        let known = symphonia::default::get_codecs().get_audio_decoder(parameters.codec);
        // An MP3 without LAME's tag has a guess for its length.
        let is_guess = container == Container::Mpeg && track.delay.is_none();
        let length = track.num_frames.filter(|_| !is_guess);
        SoundStream {
            codec: match known {
                Some(known) => Some(known.codec.info.short_name.to_owned()),
                None => (parameters.codec == CODEC_ID_OPUS).then(|| "opus".to_owned()),
            },
            sample_rate: parameters.sample_rate,
            channels: parameters
                .channels
                .as_ref()
                .map(|channels| channels.count()),
            duration: length
                .zip(parameters.sample_rate)
                .map(|(n, rate)| n as f64 / f64::from(rate)),
        }
    });
    Ok(streams.collect())
}
