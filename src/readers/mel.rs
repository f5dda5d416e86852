//! `read_mel`: the mel spectrogram of sound files, a row a frame.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, plan_datafusion_err, plan_err};
use voxql_udfs::kernels::mel::{Log, MelOptions, MelSpectrogram};
use voxql_udfs::mel_options::{self, MEL_METADATA, MelArguments};
use voxql_udfs::vectors::vector_type;

use super::audio::options::{CHANNEL, STREAM, WaveformOptions};
use super::audio::waveform::{self, Waveform};
use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, ParameterKind, file_error,
    record_batch, until_error,
};

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
         memory. What looks at the whole file is a second pass: `log => 'whisper'` decodes it twice, and decibels below the loudest \
         frame are a query (see `power_to_db`)."
    }

    fn extensions(&self) -> &'static [&'static str] {
        super::audio::Audio.extensions()
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let (sound, mel) = mel_options(options)?;
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
        let with_mel = scan.schema.column_with_name("mel").is_some();
        let row_bytes = if with_mel {
            4 * options.n_mels + 16
        } else {
            16
        };
        let mel = with_mel.then(|| MelSpectrogram::new(&options)).transpose();
        let peak = match with_mel && options.log.needs_peak() {
            true => loudest(scan, &sound, &options)?,
            false => 0.0,
        };
        let mut frames = Frames {
            waveform: Waveform::open(&scan.path, &sound)?,
            peak,
            mel: mel.map_err(|e| plan_datafusion_err!("read_mel: {e}"))?,
            options,
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            rows_left: scan.limit.unwrap_or(usize::MAX),
            batch_rows: (scan.batch_bytes / row_bytes).max(1),
            frame: 0,
            samples: Vec::new(),
            frames: Vec::new(),
            ended: false,
        };
        Ok(until_error(move || frames.next_batch()))
    }
}

/// The largest value of a file before the logarithm, found by going through all of it.
fn loudest(scan: &FileScan, sound: &WaveformOptions, options: &MelOptions) -> Result<f32> {
    let mut waveform = Waveform::open(&scan.path, sound)?;
    let fail = |e: String| file_error(&scan.path, e);
    let mut mel = MelSpectrogram::new(options).map_err(fail)?;
    let (mut samples, mut frames, mut peak) = (Vec::new(), Vec::new(), 0.0);
    while waveform.read(&mut samples)? {
        mel.push(&samples, &mut frames);
        peak = Log::peak(&frames, peak);
        samples.clear();
        frames.clear();
    }
    mel.finish(&mut frames).map_err(fail)?;
    Ok(Log::peak(&frames, peak))
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

/// The rows of one file.
struct Frames {
    waveform: Waveform,
    /// None if the column is not asked for.
    mel: Option<MelSpectrogram<f32>>,
    options: MelOptions,
    /// The largest value of the file, where the logarithm asks for it.
    peak: f32,
    path: PathBuf,
    schema: SchemaRef,
    rows_left: usize,
    batch_rows: usize,
    /// The next row.
    frame: u64,
    samples: Vec<f32>,
    /// Frames ready, from `frame` on.
    frames: Vec<f32>,
    ended: bool,
}

impl Frames {
    /// Gets up to `rows` further frames ready; gives how many there are.
    fn fill(&mut self, rows: usize) -> Result<usize> {
        let Some(mel) = &mut self.mel else {
            return self.count(rows);
        };
        let wanted = rows * self.options.n_mels;
        while self.frames.len() < wanted && !self.ended {
            self.samples.clear();
            self.ended = !self.waveform.read(&mut self.samples)?;
            let before = self.frames.len();
            mel.push(&self.samples, &mut self.frames);
            if self.ended {
                let end = mel.finish(&mut self.frames);
                end.map_err(|e| file_error(&self.path, e))?;
            }
            let MelOptions { log, log_floor, .. } = self.options;
            log.apply(&mut self.frames[before..], log_floor, self.peak);
        }
        Ok(rows.min(self.frames.len() / self.options.n_mels))
    }

    /// As [`fill`](Self::fill), of frames without content.
    fn count(&mut self, rows: usize) -> Result<usize> {
        let left = self
            .options
            .frames(self.waveform.count()?)
            .saturating_sub(self.frame);
        Ok(usize::try_from(left).map_or(rows, |left| left.min(rows)))
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let rows = self.fill(self.batch_rows.min(self.rows_left))?;
        if rows == 0 {
            return Ok(None);
        }
        let numbers = self.frame..self.frame + rows as u64;
        let n_mels = self.options.n_mels;
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| -> Result<ArrayRef> {
                Ok(match field.name().as_str() {
                    "time" => {
                        let times = numbers.clone().map(|i| self.options.frame_time(i));
                        Arc::new(Float64Array::from_iter_values(times))
                    }
                    "frame" => Arc::new(Int64Array::from_iter_values(
                        numbers.clone().map(|i| i as i64),
                    )),
                    _ => {
                        let rest = self.frames.split_off(rows * n_mels);
                        let frames = std::mem::replace(&mut self.frames, rest);
                        Arc::new(FixedSizeListArray::try_new(
                            Arc::new(Field::new_list_field(DataType::Float32, true)),
                            i32::try_from(n_mels).unwrap_or(i32::MAX),
                            Arc::new(Float32Array::from(frames)),
                            None,
                        )?)
                    }
                })
            });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        self.frame += rows as u64;
        self.rows_left -= rows;
        Ok(Some(record_batch(&self.schema, columns, rows)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::audio::tests::wav;
    use super::super::format::Value;
    use super::super::testing::{error, file, project, read, scan, shared};
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
    use rstest::rstest;
    use std::path::Path;
    use voxql_udfs::kernels::mel::Preset;

    fn mels(batch: &RecordBatch) -> Vec<f32> {
        let list = batch.column_by_name("mel").unwrap().as_fixed_size_list();
        list.values()
            .as_primitive::<Float32Type>()
            .values()
            .to_vec()
    }

    fn times(batch: &RecordBatch) -> Vec<f64> {
        let column = batch.column_by_name("time").unwrap();
        column.as_primitive::<Float64Type>().values().to_vec()
    }

    /// The frames of the whole sound at once.
    fn whole(path: &Path, options: &MelOptions) -> Vec<f32> {
        let mut samples = Vec::new();
        let sound = WaveformOptions {
            sample_rate: Some(options.sample_rate as u32),
            ..Default::default()
        };
        let mut waveform = Waveform::open(path, &sound).unwrap();
        while waveform.read(&mut samples).unwrap() {}
        let mut frames = Vec::new();
        let mut mel = MelSpectrogram::new(options).unwrap();
        mel.push(&samples, &mut frames);
        mel.finish(&mut frames).unwrap();
        let peak = Log::peak(&frames, 0.0);
        options.log.apply(&mut frames, options.log_floor, peak);
        frames
    }

    #[rstest]
    #[case("speech/jfk.flac", 474)]
    #[case("av/nasa_13013.mp4", 563)]
    #[case("speech/lj/LJ001-0012.wav", 355)]
    fn a_stream_gives_the_frames_of_the_whole(#[case] name: &str, #[case] rows: usize) {
        let Some(path) = shared(name) else { return };
        let batch = read(&Mel, &path, &[]).unwrap();
        assert_eq!(batch.num_rows(), rows);
        assert_eq!(mels(&batch), whole(&path, &MelOptions::default()));
        let frames = batch.column_by_name("frame").unwrap();
        let frames = frames.as_primitive::<Int64Type>();
        assert_eq!(frames.value(rows - 1), rows as i64 - 1);
        assert_eq!(times(&batch)[100], 100.0 * 512.0 / 22050.0);
    }

    #[test]
    fn options_reach_the_kernel() {
        let samples: Vec<f32> = (0..30_000).map(|i| (i as f32 * 0.05).sin()).collect();
        let (_directory, path) = file("a.wav", wav(16_000, 1, &samples));
        let options = MelOptions {
            sample_rate: 16_000.0,
            n_fft: 400,
            hop_length: 160,
            win_length: Some(300),
            window: "hamming".parse().unwrap(),
            center: false,
            pad_mode: "edge".parse().unwrap(),
            power: 1.0,
            n_mels: 20,
            fmin: 50.0,
            fmax: Some(7000.0),
            htk: true,
            norm: "none".parse().unwrap(),
            pad: Some(3),
            epsilon: 1e-3,
            log: Log::Log10,
            log_floor: 0.5,
            drop_last: true,
        };
        let text = |t: &str| Value::Text(t.to_string());
        let given = [
            ("sample_rate", Value::Integer(16_000)),
            ("n_fft", Value::Integer(400)),
            ("hop_length", Value::Integer(160)),
            ("win_length", Value::Integer(300)),
            ("window", text("hamming")),
            ("center", Value::Boolean(false)),
            ("pad_mode", text("edge")),
            ("power", Value::Float(1.0)),
            ("n_mels", Value::Integer(20)),
            ("fmin", Value::Float(50.0)),
            ("fmax", Value::Integer(7000)),
            ("htk", Value::Boolean(true)),
            ("norm", text("none")),
            ("pad", Value::Integer(3)),
            ("epsilon", Value::Float(1e-3)),
            ("log", text("log10")),
            ("log_floor", Value::Float(0.5)),
            ("drop_last", Value::Boolean(true)),
        ];
        let batch = read(&Mel, &path, &given).unwrap();
        assert_eq!(mels(&batch), whole(&path, &options));
        assert_eq!(times(&batch)[..2], [197.0 / 16_000.0, 357.0 / 16_000.0]);
        let schema = batch.schema();
        let field = schema.field_with_name("mel").unwrap();
        assert_eq!(field.metadata()[MEL_METADATA], options.describe());
    }

    #[rstest]
    fn presets(#[values("librosa", "hifigan", "torchaudio", "whisper")] name: &str) {
        let samples: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.05).sin()).collect();
        let (_directory, path) = file("a.wav", wav(22_050, 1, &samples));
        let options = name.parse::<Preset>().unwrap().options();
        let given = [("preset", Value::Text(name.to_string()))];
        let mut scan = scan(&Mel, &path, &given).unwrap();
        scan.batch_bytes = 1 << 14;
        let batches: Result<Vec<_>> = Mel.open(&scan).unwrap().collect();
        let got: Vec<f32> = batches.unwrap().iter().flat_map(mels).collect();
        assert_eq!(got, whole(&path, &options));
        let counted: usize = Mel
            .open(&project(scan, &["time"]))
            .unwrap()
            .map(|b| b.unwrap().num_rows())
            .sum();
        assert_eq!(counted, got.len() / options.n_mels);
    }

    /// Twenty minutes: many batches, each small, and the frames of the whole.
    #[test]
    fn long_files_come_in_small_batches() {
        let mut state = 1u32;
        let noise: Vec<f32> = (0..1200 * 8000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state as i32 as f32 / i32::MAX as f32
            })
            .collect();
        let (_directory, path) = file("long.wav", wav(8000, 1, &noise));
        let given = [
            ("sample_rate", Value::Integer(8000)),
            ("n_mels", Value::Integer(32)),
        ];
        let mut scan = scan(&Mel, &path, &given).unwrap();
        scan.batch_bytes = 1 << 16;
        let batches: Result<Vec<_>> = Mel.open(&scan).unwrap().collect();
        let batches = batches.unwrap();
        let rows = (1 << 16) / (4 * 32 + 16);
        let (last, full) = batches.split_last().unwrap();
        assert!(full.iter().all(|b| b.num_rows() == rows) && last.num_rows() <= rows);
        let options = MelOptions {
            sample_rate: 8000.0,
            n_mels: 32,
            ..Default::default()
        };
        let got: Vec<f32> = batches.iter().flat_map(mels).collect();
        assert_eq!(got, whole(&path, &options));

        let counted: usize = Mel
            .open(&project(scan.clone(), &[]))
            .unwrap()
            .map(|b| b.unwrap().num_rows())
            .sum();
        assert_eq!(counted, got.len() / 32);
        scan.limit = Some(rows + 1);
        let limited: Vec<usize> = Mel
            .open(&scan)
            .unwrap()
            .map(|b| b.unwrap().num_rows())
            .collect();
        assert_eq!(limited, [rows, 1]);
    }

    #[rstest]
    #[case("sample_rate", Value::Integer(0), "sample_rate must be from 100")]
    #[case("n_fft", Value::Integer(0), "n_fft must be from 1")]
    #[case("n_fft", Value::Integer(-4), "n_fft must be zero or more, got -4")]
    #[case("hop_length", Value::Integer(0), "hop_length must be from 1")]
    #[case(
        "win_length",
        Value::Integer(4096),
        "win_length must be from 1 to n_fft (2048), not 4096"
    )]
    #[case("window", Value::Text("hanning".into()), "window 'hanning' is not known")]
    #[case("pad_mode", Value::Text("wrap".into()), "pad_mode 'wrap' is not known")]
    #[case("power", Value::Float(f64::NAN), "power must be a positive number")]
    #[case("n_mels", Value::Integer(0), "n_mels must be from 1")]
    #[case("fmin", Value::Float(-1.0), "fmin must be 0 or more")]
    #[case("fmax", Value::Float(0.0), "fmax must lie above fmin (0), not at 0")]
    #[case("norm", Value::Text("l2".into()), "norm 'l2' is not known")]
    #[case("log", Value::Text("db".into()), "log 'db' is not known")]
    #[case("log_floor", Value::Float(0.0), "log_floor must be a positive number")]
    #[case("pad", Value::Integer(4), "pad => 4 goes with center => false")]
    #[case("preset", Value::Text("kaldi".into()), "preset 'kaldi' is not known")]
    fn arguments_that_make_no_sense(
        #[case] name: &str,
        #[case] value: Value,
        #[case] message: &str,
    ) {
        let (_directory, path) = file("a.wav", wav(1000, 1, &[0.0; 10]));
        let got = error(&Mel, &path, &[(name, value)]);
        assert!(got.contains(message) && got.contains("read_mel"), "{got}");
    }

    #[test]
    fn too_short_without_padding() {
        let (_directory, path) = file("a.wav", wav(22_050, 1, &[0.0; 10]));
        let got = error(&Mel, &path, &[("center", Value::Boolean(false))]);
        assert!(
            got.contains("a.wav: 10 samples are fewer than one frame"),
            "{got}"
        );
    }

    /// librosa only warns of bands above half of the sample rate: they are 0.
    #[test]
    fn fmax_beyond_nyquist() {
        let (_directory, path) = file("a.wav", wav(22_050, 1, &[0.5; 3000]));
        let batch = read(&Mel, &path, &[("fmax", Value::Float(20_000.0))]).unwrap();
        assert_eq!(mels(&batch)[127], 0.0);
    }
}
