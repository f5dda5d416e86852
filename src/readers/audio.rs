//! `read_audio`: the sound of files in stretches of time.

mod ahead;
mod codec;
pub(super) mod container;
mod decode;
pub(super) mod listing;
mod movie;
mod mp4_codecs;
pub(super) mod options;
mod packets;
mod program;
mod rows;
pub(super) mod waveform;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, plan_err};
use voxql_udfs::vectors::vector_type;

use super::bold::MAX_LENGTH_KEY;
use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, ParameterKind, until_error,
};
pub use decode::SAMPLE_RATES;
pub(super) use movie::heard;
pub(super) use mp4_codecs::configured_as;
use options::{CHANNEL, SAMPLE_RATE, STREAM, WaveformOptions};
pub(super) use packets::choose;
use rows::{Chunks, Cuts};

/// Sound in WAV (integers of 8 to 32 bits and floats), FLAC, MP3, Ogg (Vorbis, FLAC), MP4,
/// M4A and MOV (AAC-LC in mono or stereo, ALAC, FLAC, MP3), and Matroska and WebM. Other
/// codings in these files (Opus, HE-AAC, 5.1 AAC, …) are decoded by ffmpeg where it is on the
/// PATH.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `time` | Float64 | seconds from the start of the file to the row's first sample |
/// | `duration` | Float64 | seconds that the row lasts |
/// | `sample_rate` | Int32 | samples per second |
/// | `samples` | List<Float32> | the channel, or the mean of all; full scale is -1 to 1 |
///
/// A row is `chunk_duration` seconds, the last one of a file what is left; 0 puts the
/// whole file into one row. Row `k` begins with the first sample at or after
/// `k * chunk_duration`, in integer arithmetic on nanoseconds, so that rows never drift,
/// `tr_index(time, tr => chunk_duration)` is `k`, and the rows together are the file,
/// sample by sample.
///
/// Times are the file's: what an encoder puts before and after the sound (an MP4's edit list,
/// the LAME tag of an MP3, Vorbis' and Opus' own counts) is not there, and a sound that begins
/// after the picture has silence before it.
///
/// With `start` and `end` a row that they cut is shorter, and has the time of its own first
/// sample; all samples equal those of the whole file. `WHERE time BETWEEN` reads no more than it
/// has to either. WAV, FLAC, MP3, Ogg, and ALAC and FLAC in MP4 are read from there; others
/// are decoded from their begin, because it is only there that sample numbers or a decoder's
/// state are certain.
///
/// Where a file has another rate than `sample_rate`, it is resampled by a linear-phase
/// filter without delay: flat up to 0.9 of the lower Nyquist frequency with errors under
/// -130 dB, and under -120 dB beyond it. The result has `ceil(n * sample_rate / own rate)`
/// samples, as `librosa.load` (soxr, quality HQ) has, and agrees with it to 1e-4, but for
/// the first three samples where neither rate is a multiple of the other: soxr's are off
/// there by up to 5e-3.
#[derive(Debug)]
pub struct Audio;

const PARAMETERS: &[Parameter] = &[
    SAMPLE_RATE,
    Parameter {
        name: "chunk_duration",
        kind: ParameterKind::Float,
        default: "1.0",
        description: "Seconds in a row; 0 for the whole file in one row, which is then held in memory.",
    },
    STREAM,
    CHANNEL,
    Parameter {
        name: "start",
        kind: ParameterKind::Float,
        default: "0.0",
        description: "Seconds from the start of the file to the first sample.",
    },
    Parameter {
        name: "end",
        kind: ParameterKind::Float,
        default: "the file's end",
        description: "Seconds from the start of the file to the first sample that is left out.",
    },
];

impl Format for Audio {
    fn function(&self) -> &'static str {
        "read_audio"
    }

    fn stored_as(&self) -> &'static str {
        "AUDIO"
    }

    fn description(&self) -> &'static str {
        "Sound in WAV, FLAC, MP3, Ogg (Vorbis, FLAC), MP4 (AAC-LC in mono or stereo, ALAC, FLAC, MP3), Matroska and \
         WebM, a row every `chunk_duration` seconds: `time` (of the row's first sample, in seconds), `duration`, \
         `sample_rate`, and `samples`, one channel or the mean of all, from -1 to 1. Other codings in these files (Opus, \
         HE-AAC, 5.1 AAC) need `ffmpeg` on the PATH. Row k begins with the first sample at or after k * `chunk_duration`, so \
         rows never drift, and together they are the file. Times are the file's: edit lists are applied, and encoders' delays \
         and padding taken off. `start` and `end`, and conditions on `time`, read that part only, with the same samples. \
         Empty files are left out with a warning."
    }

    fn extensions(&self) -> &'static [&'static str] {
        container::EXTENSIONS
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn bounded(&self) -> &'static [&'static str] {
        &["time"]
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let sound = WaveformOptions::new(self.function(), options)?;
        let cuts = Cuts::new(options)?;
        let mut kept = Vec::with_capacity(files.len());
        let mut highest = 0;
        for path in files {
            if waveform::is_empty(&path) {
                continue;
            }
            let own = waveform::own_rate(&path, &sound)?;
            let rate = sound.sample_rate.unwrap_or(own);
            if !cuts.is_longer_than_a_sample(rate) {
                return plan_err!(
                    "read_audio: chunk_duration {} is shorter than a sample of {} ({rate} Hz); \
                     give at least {}",
                    options.float("chunk_duration").unwrap_or_default(),
                    path.display(),
                    1.0 / f64::from(rate)
                );
            }
            highest = highest.max(rate);
            kept.push(path);
        }
        let mut samples = Field::new("samples", vector_type(None), false);
        // With it batches are no larger than they should be: rows are as long as sounds are.
        if let Some(longest) = cuts.longest(highest) {
            let longest = (MAX_LENGTH_KEY.to_owned(), longest.to_string());
            samples = samples.with_metadata([longest].into());
        }
        let schema = Schema::new(vec![
            Field::new("time", DataType::Float64, false),
            Field::new("duration", DataType::Float64, false),
            Field::new("sample_rate", DataType::Int32, false),
            samples,
        ]);
        Ok(Description {
            schema: Arc::new(schema),
            files: kept,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let sound = WaveformOptions::new(self.function(), &scan.options)?;
        let cuts = Cuts::new(&scan.options)?;
        let mut chunks = Chunks::open(scan, &sound, cuts)?;
        Ok(until_error(move || chunks.next_batch()))
    }
}

#[cfg(test)]
pub(super) mod tests;
