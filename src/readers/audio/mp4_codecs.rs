//! What a decoder has to know of a sound track of an MP4.

use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_MP3,
};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use super::super::mp4::{Track, boxes, find, name};

/// Why there is nothing to decode it with here.
pub enum Unusable {
    /// It is in another coding, which this says.
    Undecoded(String),
    Damaged(String),
}

impl From<String> for Unusable {
    fn from(message: String) -> Self {
        Self::Damaged(message)
    }
}

/// What the decoder has to know: AAC-LC in mono or stereo, ALAC, FLAC or MP3.
pub fn parameters(track: &Track) -> Result<AudioCodecParameters, Unusable> {
    let not_decoded = |what: &str| {
        Err(Unusable::Undecoded(format!(
            "its sound is {what}, which is not decoded"
        )))
    };
    match &track.codec {
        b"mp4a" => {
            let (kind, config) = decoder_config(elementary_stream(track)?).ok_or_else(damaged)?;
            match kind {
                0x40 | 0x66..=0x68 => aac(config),
                0x69 | 0x6b => Ok(with_rate(track, CODEC_ID_MP3, Box::default())),
                _ => not_decoded("not AAC"),
            }
        }
        b".mp3" => Ok(with_rate(track, CODEC_ID_MP3, Box::default())),
        // Both begin with a version and flags; FLAC's stream information has a header.
        b"alac" => configured(track, b"alac", 4, CODEC_ID_ALAC),
        b"fLaC" => configured(track, b"dfLa", 8, CODEC_ID_FLAC),
        b"Opus" => not_decoded("Opus"),
        b"ac-3" | b"ec-3" => not_decoded("Dolby Digital (AC-3)"),
        b"sowt" | b"twos" | b"lpcm" | b"ipcm" | b"in24" | b"in32" | b"fl32" | b"fpcm" => {
            not_decoded("PCM in an MP4")
        }
        other => not_decoded(&format!("of the kind {}", name(other))),
    }
}

/// What the track's own configuration says, beyond its description.
pub struct Configured {
    /// `mp3`, where the description says only that it is of MPEG's.
    pub codec: Option<String>,
    pub sample_rate: Option<i32>,
    pub channels: Option<i32>,
}

/// See [`Configured`]; nothing for a track that is not configured, or damaged.
pub fn configured_as(track: &Track) -> Configured {
    let parameters = parameters(track).ok();
    let stream = match &track.codec {
        b"mp4a" => elementary_stream(track).ok().and_then(decoder_config),
        _ => None,
    };
    // ISO/IEC 14496-3, 1.6.3.5; 0 is said elsewhere.
    let channels = match stream {
        Some((0x40, [_, second, ..])) => match second >> 3 & 15 {
            n @ 1..=6 => Some(i32::from(n)),
            7 => Some(8),
            _ => None,
        },
        _ => None,
    };
    let is_mp3 = |p: &AudioCodecParameters| p.codec == CODEC_ID_MP3;
    Configured {
        codec: parameters
            .as_ref()
            .is_some_and(is_mp3)
            .then(|| "mp3".to_owned()),
        sample_rate: parameters.and_then(|p| p.sample_rate?.try_into().ok()),
        channels,
    }
}

fn damaged() -> Unusable {
    Unusable::Damaged(
        "its index is damaged: the sound track does not say its configuration".to_owned(),
    )
}

/// The bytes of a sample description's own fields: QuickTime has longer ones.
fn fields(track: &Track) -> usize {
    match track.description.get(9) {
        Some(1) => 44,
        Some(2) => 64,
        _ => 28,
    }
}

/// The body of the `esds` box, which may lie deeper in QuickTime.
fn elementary_stream(track: &Track) -> Result<&[u8], Unusable> {
    if let Some(esds) = track.description_box(fields(track), b"esds")? {
        return Ok(esds);
    }
    let wave = track.description_box(fields(track), b"wave")?;
    find(&boxes(wave.ok_or_else(damaged)?)?, b"esds").ok_or_else(damaged)
}

/// A coding that a box of the description configures, but for its first bytes.
fn configured(
    track: &Track,
    kind: &[u8; 4],
    skip: usize,
    codec: AudioCodecId,
) -> Result<AudioCodecParameters, Unusable> {
    let config = match track.description_box(fields(track), kind)? {
        Some(config) => config,
        None => {
            let wave = track.description_box(fields(track), b"wave")?;
            find(&boxes(wave.ok_or_else(damaged)?)?, kind).ok_or_else(damaged)?
        }
    };
    let config = config.get(skip..).ok_or_else(damaged)?;
    Ok(with_rate(track, codec, config.into()))
}

/// The sample rate is 16.16 fixed point, which leaves out what is 65,536 Hz or more.
fn with_rate(track: &Track, codec: AudioCodecId, config: Box<[u8]>) -> AudioCodecParameters {
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(codec).with_extra_data(config);
    let rate = match track.description.get(24..26) {
        Some(&[high, low]) => u32::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let known = [CODEC_ID_ALAC, CODEC_ID_FLAC].contains(&codec);
    match rate {
        // The configuration says it too, and all of it.
        _ if known => (),
        0 => (),
        rate => {
            parameters.with_sample_rate(rate);
        }
    }
    parameters
}

fn aac(config: &[u8]) -> Result<AudioCodecParameters, Unusable> {
    let not_decoded = |what: &str| {
        Err(Unusable::Undecoded(format!(
            "its sound is {what}, which is not decoded"
        )))
    };
    let &[first, second, ..] = config else {
        return Err(damaged());
    };
    let object_type = first >> 3;
    let channels = (second >> 3) & 0x0f;
    match object_type {
        2 => (),
        5 | 29 => return not_decoded("HE-AAC"),
        other => return not_decoded(&format!("AAC of object type {other}, not LC")),
    }
    match channels {
        1 | 2 => (),
        6 => return not_decoded("AAC with 5.1 channels"),
        7 => return not_decoded("AAC with 7.1 channels"),
        other => return not_decoded(&format!("AAC with channel configuration {other}")),
    }
    let mut parameters = AudioCodecParameters::new();
    parameters
        .for_codec(CODEC_ID_AAC)
        .with_extra_data(config.into());
    Ok(parameters)
}

/// The kind of coding, and its own configuration, from the body of an `esds` box
/// (ISO/IEC 14496-1, 7.2.6); MP3 has none.
fn decoder_config(esds: &[u8]) -> Option<(u8, &[u8])> {
    let stream = descriptor(esds.get(4..)?, 3)?;
    let flags = *stream.get(2)?;
    let mut at = 3;
    if flags & 0x80 != 0 {
        at += 2;
    }
    if flags & 0x40 != 0 {
        at += 1 + usize::from(*stream.get(at)?);
    }
    if flags & 0x20 != 0 {
        at += 2;
    }
    let decoder = descriptor(stream.get(at..)?, 4)?;
    let config = descriptor(decoder.get(13..)?, 5).unwrap_or_default();
    Some((*decoder.first()?, config))
}

/// The body of the descriptor with which `data` begins, if it has this tag. Its length is
/// in seven bits a byte, of which the highest says whether another follows.
fn descriptor(data: &[u8], tag: u8) -> Option<&[u8]> {
    let (&found, mut rest) = data.split_first()?;
    if found != tag {
        return None;
    }
    let mut length = 0;
    for _ in 0..4 {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    rest.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors() {
        assert_eq!(
            descriptor(&[5, 0x80, 0x80, 2, 7, 8, 9], 5),
            Some(&[7, 8][..])
        );
        assert_eq!(descriptor(&[5, 2, 7], 5), None);
        assert_eq!(descriptor(&[4, 1, 7], 5), None);
        assert_eq!(descriptor(&[], 5), None);
        assert_eq!(decoder_config(&[0; 7]), None);
    }
}
