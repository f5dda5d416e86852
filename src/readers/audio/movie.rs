//! The sound track of an MP4: which packets, and which of their samples are heard.

use std::ops::Range;
use std::path::Path;

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_ALAC, CODEC_ID_FLAC};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::super::mp4::{Edit, Movie, Sample, Track};
use super::mp4_codecs::{self, Unusable};
use super::packets::{Failure, choose};

/// One sound track of a film.
pub struct Soundtrack {
    movie: Movie,
    /// Index among the movie's tracks, and among its sound tracks.
    track: usize,
    number: usize,
    parameters: AudioCodecParameters,
    samples: std::vec::IntoIter<Sample>,
    /// Where the last packet ends, in ticks of the track.
    end: i64,
}

impl Soundtrack {
    /// Opens track `wanted` among the sound tracks; without, the first that is enabled.
    ///
    /// # Errors
    /// Say what is wrong and what to do, without the file's name.
    pub fn open(path: &Path, wanted: Option<usize>) -> Result<Self, Failure> {
        let movie = Movie::open(path)?;
        let is_sound = |(_, track): &(usize, &Track)| &track.handler == b"soun";
        let sounds: Vec<_> = movie.tracks.iter().enumerate().filter(is_sound).collect();
        let enabled = sounds.iter().position(|(_, track)| track.enabled);
        let number = choose(wanted, sounds.len(), enabled)?;
        let (track, sound) = sounds[number];
        let parameters = mp4_codecs::parameters(sound).map_err(|e| match e {
            Unusable::Undecoded(why) => Failure::Undecoded(why, number),
            Unusable::Damaged(why) => Failure::Broken(why),
        })?;
        let samples = movie.samples(sound)?;
        let end = samples.last().map_or(0, |last| {
            last.composition.saturating_add(i64::from(last.duration))
        });
        Ok(Self {
            movie,
            track,
            number,
            parameters,
            samples: samples.into_iter(),
            end,
        })
    }

    /// What a decoder has to know.
    pub fn parameters(&self) -> &AudioCodecParameters {
        &self.parameters
    }

    /// Which of the film's sound tracks it is.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Skips packets that end before decoded sample `target`, where they do not depend on
    /// each other; false where they do. (Those of AAC depend on all before them, if only by
    /// the noise that decoders make up.)
    pub fn seek(&mut self, target: u64, sample_rate: u32) -> bool {
        let codec = self.parameters.codec;
        let counts_samples = self.movie.tracks[self.track].timescale == sample_rate;
        if !counts_samples || (codec != CODEC_ID_ALAC && codec != CODEC_ID_FLAC) {
            return false;
        }
        let is_before = |sample: &Sample| {
            let end = sample
                .composition
                .saturating_add(i64::from(sample.duration));
            u64::try_from(end).is_ok_and(|end| end <= target)
        };
        let before = self.samples.as_slice().partition_point(is_before);
        if before > 0 {
            self.samples.nth(before - 1);
        }
        true
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
pub fn heard(
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
}
