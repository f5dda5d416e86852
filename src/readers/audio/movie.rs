//! The sound track of an MP4: which packets, and which of their samples are heard.

use std::ops::Range;
use std::path::Path;

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::super::mp4::{Edit, Movie, Sample, Track, boxes, find, name};
use super::decode::remedy;

/// Whether a file that begins so is an MP4, M4A or MOV.
pub fn is_movie(magic: &[u8]) -> bool {
    const FIRST: [&[u8]; 7] = [
        b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot",
    ];
    magic.get(4..8).is_some_and(|kind| FIRST.contains(&kind))
}

/// The first sound track of a film, if it is AAC-LC in mono or stereo.
pub struct Soundtrack {
    movie: Movie,
    /// Index among the movie's tracks.
    track: usize,
    parameters: AudioCodecParameters,
    samples: std::vec::IntoIter<Sample>,
    /// Where the last packet ends, in ticks of the track.
    end: i64,
}

impl Soundtrack {
    /// # Errors
    /// Say what is wrong and what to do, without the file's name.
    pub fn open(path: &Path) -> Result<Self, String> {
        let movie = Movie::open(path)?;
        let Some(track) = movie.tracks.iter().position(|t| &t.handler == b"soun") else {
            return Err("it has no sound track".to_string());
        };
        let parameters = aac(&movie.tracks[track]).map_err(|e| format!("{e}; {}", remedy(path)))?;
        let samples = movie.samples(&movie.tracks[track])?;
        let end = samples.last().map_or(0, |last| {
            last.composition.saturating_add(i64::from(last.duration))
        });
        Ok(Self {
            movie,
            track,
            parameters,
            samples: samples.into_iter(),
            end,
        })
    }

    /// What a decoder has to know.
    pub fn parameters(&self) -> &AudioCodecParameters {
        &self.parameters
    }

    /// The next packet, and the second at which its decoded samples belong, before the
    /// edit list.
    pub fn next_packet(&mut self) -> Result<Option<(f64, Packet)>, String> {
        let Some(sample) = self.samples.next() else {
            return Ok(None);
        };
        let mut data = Vec::new();
        self.movie.read(&sample, &mut data)?;
        let timescale = self.movie.tracks[self.track].timescale;
        let seconds = sample.composition as f64 / f64::from(timescale);
        let packet = Packet::new(
            0,
            Timestamp::new(sample.composition),
            Duration::from(u64::from(sample.duration)),
            data,
        );
        Ok(Some((seconds, packet)))
    }

    /// How much silence comes first, and which of the decoded samples are then heard.
    pub fn heard(&self, sample_rate: u32) -> Result<(u64, Range<u64>), String> {
        let track = &self.movie.tracks[self.track];
        heard(
            &track.edits,
            (self.end, track.timescale),
            self.movie.timescale,
            sample_rate,
        )
    }
}

/// An edit list in samples: how much silence comes first, and which of the decoded samples
/// are then heard. `end` is where the track's last packet ends, in ticks, and ticks per
/// second.
///
/// An edit's length is given in ticks of the movie, often milliseconds, which are longer
/// than a sample. Where it ends within a tick of the track's own end, that is what was
/// meant.
fn heard(
    edits: &[Edit],
    end: (i64, u32),
    movie_timescale: u32,
    sample_rate: u32,
) -> Result<(u64, Range<u64>), String> {
    let samples = |ticks: i128, timescale: u32| -> Result<u64, String> {
        let timescale = i128::from(timescale);
        let rounded = (ticks * i128::from(sample_rate) + timescale / 2) / timescale;
        u64::try_from(rounded)
            .ok()
            .filter(|&n| n < 1 << 48)
            .ok_or_else(|| "its index is damaged: a time is out of range".to_string())
    };
    let (end, timescale) = end;
    let all = samples(i128::from(end), timescale)?;
    let tick = samples(1, movie_timescale)?;
    let mut silence = 0i128;
    let mut heard = None;
    for edit in edits {
        match (edit.media_time, &heard) {
            (None, None) => silence += i128::from(edit.duration),
            (None, Some(_)) => (), // nothing, after the sound
            (Some(from), None) => {
                let start = samples(i128::from(from), timescale)?;
                let stop = start + samples(i128::from(edit.duration), movie_timescale)?;
                let to_the_end = edit.duration == 0 || stop + tick >= all;
                let stop = if to_the_end { all } else { stop };
                heard = Some(start.min(stop)..stop);
            }
            (Some(_), Some(_)) => {
                return Err("its edit list puts the sound together from several parts; \
                     `ffmpeg -i in.mp4 out.mp4` writes one that plays straight through"
                    .to_string());
            }
        }
    }
    let silence = samples(silence, movie_timescale)?;
    Ok((silence, heard.unwrap_or(0..all)))
}

/// What the decoder has to know of an AAC-LC track.
fn aac(track: &Track) -> Result<AudioCodecParameters, String> {
    let not_decoded = |what: &str| format!("its sound is {what}, which is not decoded");
    match &track.codec {
        b"mp4a" => (),
        b"Opus" => return Err(not_decoded("Opus")),
        b"fLaC" => return Err(not_decoded("FLAC in an MP4")),
        b"alac" => return Err(not_decoded("Apple Lossless (ALAC)")),
        b"ac-3" | b"ec-3" => return Err(not_decoded("Dolby Digital (AC-3)")),
        b".mp3" => return Err(not_decoded("MP3")),
        b"sowt" | b"twos" | b"lpcm" | b"ipcm" | b"in24" | b"in32" | b"fl32" | b"fpcm" => {
            return Err(not_decoded("PCM in an MP4"));
        }
        other => return Err(not_decoded(&format!("of the kind {}", name(other)))),
    }
    let damaged =
        || "its index is damaged: the AAC track does not say its configuration".to_string();
    // QuickTime has longer descriptions, in which the configuration may lie deeper.
    let fields = match track.description.get(9) {
        Some(1) => 44,
        Some(2) => 64,
        _ => 28,
    };
    let esds = match track.description_box(fields, b"esds")? {
        Some(esds) => esds,
        None => {
            let wave = track.description_box(fields, b"wave")?;
            find(&boxes(wave.ok_or_else(damaged)?)?, b"esds").ok_or_else(damaged)?
        }
    };
    let (kind, config) = decoder_config(esds).ok_or_else(damaged)?;
    match kind {
        0x40 | 0x66..=0x68 => (),
        0x69 | 0x6b => return Err(not_decoded("MP3")),
        _ => return Err(not_decoded("not AAC")),
    }
    let &[first, second, ..] = config else {
        return Err(damaged());
    };
    let object_type = first >> 3;
    let channels = (second >> 3) & 0x0f;
    match object_type {
        2 => (),
        5 | 29 => return Err(not_decoded("HE-AAC")),
        other => return Err(not_decoded(&format!("AAC of object type {other}, not LC"))),
    }
    match channels {
        1 | 2 => (),
        6 => return Err(not_decoded("AAC with 5.1 channels")),
        7 => return Err(not_decoded("AAC with 7.1 channels")),
        other => {
            return Err(not_decoded(&format!(
                "AAC with channel configuration {other}"
            )));
        }
    }
    let mut parameters = AudioCodecParameters::new();
    parameters
        .for_codec(CODEC_ID_AAC)
        .with_extra_data(config.into());
    Ok(parameters)
}

/// The kind of coding, and its own configuration, from the body of an `esds` box
/// (ISO/IEC 14496-1, 7.2.6).
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
    Some((*decoder.first()?, descriptor(decoder.get(13..)?, 5)?))
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

    fn sound(duration: u64, media_time: i64) -> Edit {
        Edit {
            duration,
            media_time: Some(media_time),
        }
    }

    fn nothing(duration: u64) -> Edit {
        Edit {
            duration,
            media_time: None,
        }
    }

    #[test]
    fn edit_lists() {
        let heard = |edits: &[Edit]| heard(edits, (45_124, 44_100), 1000, 44_100);
        assert_eq!(heard(&[]), Ok((0, 0..45_124)));
        // The encoder's priming, then a second to the sample, though it is given in ms.
        assert_eq!(heard(&[sound(1000, 1024)]), Ok((0, 1024..45_124)));
        assert_eq!(heard(&[sound(999, 1024)]), Ok((0, 1024..45_124)));
        assert_eq!(heard(&[sound(0, 1024)]), Ok((0, 1024..45_124)));
        // Cut shorter on purpose.
        assert_eq!(heard(&[sound(500, 1024)]), Ok((0, 1024..1024 + 22_050)));
        // The sound begins half a second after the picture.
        let late = [nothing(500), sound(1000, 1024), nothing(10)];
        assert_eq!(heard(&late), Ok((22_050, 1024..45_124)));
        assert_eq!(heard(&[sound(10, 1 << 40)]), Ok((0, 45_124..45_124)));
        assert!(heard(&[sound(10, 0), sound(10, 0)]).is_err());
        assert!(heard(&[nothing(u64::MAX)]).is_err());
    }

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
