//! `read_mel`: the mel spectrogram of sound files, a row a frame.

mod frames;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, plan_err};
use voxql_udfs::kernels::mel::MelOptions;
use voxql_udfs::mel_options::{self, MEL_METADATA, MelArguments};
use voxql_udfs::vectors::vector_type;

use super::audio::options::{CHANNEL, STREAM, WaveformOptions};
use super::audio::waveform;
use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, ParameterKind, until_error,
};
use frames::{Frames, Part};

/// Mel spectrograms with librosa's numbers, of the files that [`read_audio`](super::audio)
/// reads, resampled as it does.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `time` | Float64 | seconds from the start of the file to the middle of the frame |
/// | `frame` | Int64 | the row's number, from 0 |
/// | `mel` | FixedSizeList<Float32, n_mels> | power in each mel band (amplitude for `power => 1`), or its logarithm |
///
/// `time` is `frame * hop_length / sample_rate`; with `center => false`, where a frame
/// begins there, it is half a frame (`n_fft / 2` samples) later, and earlier by the padding.
/// The field of `mel` remembers all options in its metadata ([`MEL_METADATA`]).
///
/// The sound is decoded and transformed in a stream: memory does not grow with the file,
/// and the frames equal those of the whole file at once. Where a frame depends on the largest
/// value of the whole sound (`log => 'whisper'`), the file is decoded twice.
///
/// `start` and `end`, and conditions on `time` and `frame`, give the same rows as the whole
/// file has, and read no more than these need, from there on where [`read_audio`](super::audio)
/// can begin there.
#[derive(Debug)]
pub struct Mel;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "sample_rate",
        kind: ParameterKind::Integer,
        default: "22050",
        description: "Samples per second to which the sound is resampled first.",
    },
    Parameter {
        name: "n_fft",
        kind: ParameterKind::Integer,
        default: "2048",
        description: "Samples in a frame.",
    },
    Parameter {
        name: "hop_length",
        kind: ParameterKind::Integer,
        default: "512",
        description: "Samples from one frame to the next.",
    },
    Parameter {
        name: "win_length",
        kind: ParameterKind::Integer,
        default: "n_fft",
        description: "Samples under the window, in the middle of the frame.",
    },
    Parameter {
        name: "window",
        kind: ParameterKind::Text,
        default: "hann",
        description: "hann, hamming, blackman, boxcar or kaiser(BETA).",
    },
    Parameter {
        name: "center",
        kind: ParameterKind::Boolean,
        default: "true",
        description: "Whether frame i has sample i * hop_length in its middle, the sound being padded at both ends, or begins with it.",
    },
    Parameter {
        name: "pad_mode",
        kind: ParameterKind::Text,
        default: "constant",
        description: "What stands before and after the sound: constant (zeros), reflect, symmetric or edge.",
    },
    Parameter {
        name: "power",
        kind: ParameterKind::Float,
        default: "2.0",
        description: "Exponent of the magnitude: 1 for amplitude, 2 for power.",
    },
    Parameter {
        name: "n_mels",
        kind: ParameterKind::Integer,
        default: "128",
        description: "Number of mel bands.",
    },
    Parameter {
        name: "fmin",
        kind: ParameterKind::Float,
        default: "0.0",
        description: "Lowest frequency in Hz.",
    },
    Parameter {
        name: "fmax",
        kind: ParameterKind::Float,
        default: "sample_rate / 2",
        description: "Highest frequency in Hz.",
    },
    Parameter {
        name: "htk",
        kind: ParameterKind::Boolean,
        default: "false",
        description: "HTK's formula of the mel scale instead of Slaney's.",
    },
    Parameter {
        name: "norm",
        kind: ParameterKind::Text,
        default: "slaney",
        description: "Scale of the filters: slaney (equal area), none, or 1 (a sum of 1).",
    },
    Parameter {
        name: "pad",
        kind: ParameterKind::Integer,
        default: "0",
        description: "Samples put before and after the sound with center => false.",
    },
    Parameter {
        name: "epsilon",
        kind: ParameterKind::Float,
        default: "0.0",
        description: "Added to the square of the magnitude before it is raised to power / 2.",
    },
    Parameter {
        name: "log",
        kind: ParameterKind::Text,
        default: "none",
        description: "What follows the filters: none, ln, log10 (of max(x, log_floor)) or whisper, which looks at the loudest frame: the file is then decoded twice.",
    },
    Parameter {
        name: "log_floor",
        kind: ParameterKind::Float,
        default: "1e-10",
        description: "The smallest value that has a logarithm of its own.",
    },
    Parameter {
        name: "drop_last",
        kind: ParameterKind::Boolean,
        default: "false",
        description: "Whether the last frame is left out.",
    },
    Parameter {
        name: "preset",
        kind: ParameterKind::Text,
        default: "librosa",
        description: "The convention of librosa, hifigan, torchaudio or whisper: every other argument as that system has it (see mel_spectrogram), sample_rate and logarithm too. Arguments given besides go before it.",
    },
    STREAM,
    CHANNEL,
    Parameter {
        name: "start",
        kind: ParameterKind::Float,
        default: "0.0",
        description: "Seconds: no frame whose time is before is given.",
    },
    Parameter {
        name: "end",
        kind: ParameterKind::Float,
        default: "the file's end",
        description: "Seconds: no frame whose time is this or later is given.",
    },
];

impl Format for Mel {
    fn function(&self) -> &'static str {
        "read_mel"
    }

    fn stored_as(&self) -> &'static str {
        "MEL"
    }

    fn description(&self) -> &'static str {
        "The mel spectrogram of the files that `read_audio` reads, with the numbers and defaults of \
         `librosa.feature.melspectrogram`, a row per frame: `time` (the frame's middle, in seconds), `frame` (from 0), and \
         `mel`, a vector of `n_mels` powers. The sound is resampled to `sample_rate` first. `time` is \
         `frame * hop_length / sample_rate`, and half a frame later with `center => false`. A `preset` sets all arguments as a \
         system does whose models want its spectrograms: `preset => 'hifigan'` for `vocode`. The file is read as a stream, in constant \
         memory. `start` and `end`, and conditions on `time` and `frame`, read that part only, with the same numbers. What looks at the whole file is a second pass: `log => 'whisper'` decodes it twice, and decibels below the loudest \
         frame are a query (see `power_to_db`)."
    }

    fn extensions(&self) -> &'static [&'static str] {
        super::audio::Audio.extensions()
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn bounded(&self) -> &'static [&'static str] {
        &["time", "frame"]
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let (sound, mel) = mel_options(options)?;
        Part::new(options)?;
        if let Some(warning) = mel.warning() {
            log::warn!("read_mel: {warning}");
        }
        let mut kept = Vec::with_capacity(files.len());
        for path in files {
            if !waveform::is_empty(&path) {
                waveform::own_rate(&path, &sound)?;
                kept.push(path);
            }
        }
        let schema = Schema::new(vec![
            Field::new("time", DataType::Float64, false),
            Field::new("frame", DataType::Int64, false),
            Field::new("mel", vector_type(Some(mel.n_mels)), false)
                .with_metadata([(MEL_METADATA.to_string(), mel.describe())].into()),
        ]);
        Ok(Description {
            schema: Arc::new(schema),
            files: kept,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let (sound, options) = mel_options(&scan.options)?;
        let mut frames = Frames::open(scan, &sound, options)?;
        Ok(until_error(move || frames.next_batch()))
    }
}

/// The arguments, checked: which sound, and what is made of it.
fn mel_options(options: &Options) -> Result<(WaveformOptions, MelOptions)> {
    let mut sound = WaveformOptions::new("read_mel", options)?;
    let arguments = Given(options);
    let preset = mel_options::preset(&arguments)?;
    let mel = mel_options::mel_options(&arguments, preset)?;
    // A preset's rate is a whole number.
    sound.sample_rate.get_or_insert(mel.sample_rate as u32);
    Ok((sound, mel))
}

/// A reader's arguments as those of a mel spectrogram.
struct Given<'a>(&'a Options);

impl MelArguments for Given<'_> {
    fn function(&self) -> &'static str {
        "read_mel"
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        Ok(self.0.float(name))
    }

    fn count(&self, name: &str) -> Result<Option<usize>> {
        match self.0.integer(name) {
            None => Ok(None),
            Some(n) => match usize::try_from(n) {
                Ok(n) => Ok(Some(n)),
                Err(_) => plan_err!("read_mel: {name} must be zero or more, got {n}"),
            },
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>> {
        Ok(self.0.text(name))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        Ok(self.0.boolean(name))
    }
}

#[cfg(test)]
mod tests;
