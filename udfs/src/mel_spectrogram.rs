//! `mel_spectrogram(samples, …)`: librosa's mel spectrogram of each row's stretch of sound.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, FixedSizeListArray, Float32Array, ListArray, NullBufferBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, exec_datafusion_err, internal_err, plan_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;
use realfft::FftNum;
use realfft::num_traits::{AsPrimitive, Float};

use crate::args::{Arguments, Kind, Parameters, result_of};
use crate::datafusion_doc;
use crate::kernels::mel::{MelOptions, MelSpectrogram, Padding, Preset, largest};
use crate::vectors::{MEL_METADATA, Vectors, element_type, vector_type};

const PARAMETERS: Parameters = Parameters {
    function: "mel_spectrogram",
    required: 1,
    list: &[
        ("samples", Kind::Vector),
        ("sample_rate", Kind::Number),
        ("n_fft", Kind::Integer),
        ("hop_length", Kind::Integer),
        ("win_length", Kind::Integer),
        ("window", Kind::Text),
        ("center", Kind::Flag),
        ("pad_mode", Kind::Text),
        ("power", Kind::Number),
        ("n_mels", Kind::Integer),
        ("fmin", Kind::Number),
        ("fmax", Kind::Number),
        ("htk", Kind::Flag),
        ("norm", Kind::Text),
        ("preset", Kind::Text),
    ],
};

/// The scalar function `mel_spectrogram`.
pub fn mel_spectrogram() -> ScalarUDF {
    MelSpectrogramFunction {
        signature: PARAMETERS.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Audio Functions"),
    description = "The mel spectrogram of a stretch of sound, with the numbers of `librosa.feature.melspectrogram`: a list \
of frames, each a vector of `n_mels` powers, which `unnest` turns into rows. Each row is a sound of its own: frames do \
not reach into the next row. For the spectrogram of a file as rows use `read_mel`, which streams. \
No samples give no frames, a NULL gives NULL; a missing (NULL) or NaN sample makes the frames over it NaN. \
Frame i has sample `i * hop_length` in its middle, so it stands at `i * hop_length / sample_rate` seconds. \
Bands so narrow that no FFT bin falls into them are 0. \
`preset` sets all parameters, the logarithm included, as another system does; parameters given beside it take the place of its own. \
`hifigan`: 22,050 Hz, frames of 1024 every 256, the sound mirrored by 384 samples at both ends instead of centred, magnitude, 80 bands \
from 0 to 8,000 Hz, and `ln(max(x, 1e-5))`, for vocoders of the HiFi-GAN family. `torchaudio`: `torchaudio.transforms.MelSpectrogram`: 16,000 Hz, frames of 400 \
every 200, mirrored ends, 128 bands on the HTK scale without norm. `whisper`: 16,000 Hz, frames of 400 every 160, mirrored ends, 80 bands, \
without the last frame, and `(max(log10(max(x, 1e-10)), largest - 8) + 4) / 4` (Whisper itself fills the sound up to 30 s first). What a column \
was made with is in its field's metadata, `voxql.mel`.",
    syntax_example = "mel_spectrogram(samples [, sample_rate => 22050, n_fft => 2048, hop_length => 512, win_length => n_fft, \
window => 'hann', center => true, pad_mode => 'constant', power => 2.0, n_mels => 128, fmin => 0, fmax => sample_rate / 2, \
htk => false, norm => 'slaney', preset => 'librosa'])",
    sql_example = r#"```sql
SELECT time, unnest(mel_spectrogram(samples, sample_rate => 22050, n_fft => 1024, hop_length => 256, n_mels => 80)) AS mel
FROM read_audio('a.wav', sample_rate => 22050, chunk_duration => 0);
```"#,
    argument(
        name = "samples",
        description = "A list of numbers: mono sound, full scale -1 to 1. Float64 samples are computed in double precision."
    ),
    argument(
        name = "sample_rate",
        description = "Samples per second. Default 22050."
    ),
    argument(name = "n_fft", description = "Samples in a frame. Default 2048."),
    argument(
        name = "hop_length",
        description = "Samples from one frame to the next. Default 512."
    ),
    argument(
        name = "win_length",
        description = "Samples under the window, which stands in the middle of the frame. Default `n_fft`."
    ),
    argument(
        name = "window",
        description = "`hann` (default), `hamming`, `blackman`, `boxcar` or `kaiser(BETA)`; all periodic."
    ),
    argument(
        name = "center",
        description = "Whether frame i has sample `i * hop_length` in its middle, the sound being padded by `n_fft / 2` at \
both ends (default), or begins with it; then fewer samples than one frame are an error."
    ),
    argument(
        name = "pad_mode",
        description = "What is before and after a centred sound: `constant` (zeros, default), `reflect` (mirrored at the end samples), \
`symmetric` (mirrored beyond them) or `edge` (the end samples)."
    ),
    argument(
        name = "power",
        description = "Exponent of the magnitude: 1 for amplitude, 2 for power (default)."
    ),
    argument(name = "n_mels", description = "Number of mel bands. Default 128."),
    argument(name = "fmin", description = "Lowest frequency in Hz. Default 0."),
    argument(
        name = "fmax",
        description = "Highest frequency in Hz. Default half of `sample_rate`."
    ),
    argument(
        name = "htk",
        description = "HTK's formula of the mel scale instead of Slaney's. Default false."
    ),
    argument(
        name = "norm",
        description = "Scale of the triangular filters: `slaney` (equal area, default), `none` (peaks of 1) or `1` (a sum of 1)."
    ),
    argument(
        name = "preset",
        description = "`librosa` (default), `hifigan`, `torchaudio` or `whisper`: the defaults of all other parameters."
    ),
    related_udf(name = "power_to_db")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct MelSpectrogramFunction {
    signature: Signature,
}

impl ScalarUDFImpl for MelSpectrogramFunction {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        PARAMETERS.coerce(arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("mel_spectrogram: its type depends on n_mels")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let options = options(&PARAMETERS.at_planning(args.scalar_arguments))?;
        let frames = DataType::List(frame_field(options.n_mels));
        let metadata = [(MEL_METADATA.to_string(), options.to_json())];
        let field = Field::new(self.name(), frames, true);
        Ok(Arc::new(field.with_metadata(metadata.into())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let options = options(&PARAMETERS.of_scalar(&args.args))?;
        let samples = &args.args[0];
        let spectrograms = if element_type(&samples.data_type()) == Some(&DataType::Float64) {
            spectrograms::<Float64Type>(samples, &options)?
        } else {
            spectrograms::<Float32Type>(samples, &options)?
        };
        result_of(&args.args, spectrograms)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn frame_field(n_mels: usize) -> FieldRef {
    Arc::new(Field::new_list_field(vector_type(Some(n_mels)), true))
}

/// The constant arguments, checked.
fn options(args: &Arguments) -> Result<MelOptions> {
    let invalid = |e: String| plan_datafusion_err!("mel_spectrogram: {e}");
    let (n_fft, win_length) = (args.usize("n_fft")?, args.usize("win_length")?);
    let preset = match args.str("preset")? {
        Some(text) => text.parse().map_err(invalid)?,
        None => Preset::Librosa,
    };
    let default = preset.options(n_fft, win_length);
    let options = MelOptions {
        sample_rate: args.f64("sample_rate")?.unwrap_or(default.sample_rate),
        n_fft: n_fft.unwrap_or(default.n_fft),
        hop_length: args.usize("hop_length")?.unwrap_or(default.hop_length),
        win_length,
        window: match args.str("window")? {
            Some(text) => text.parse().map_err(invalid)?,
            None => default.window,
        },
        padding: match args.bool("center")? {
            Some(true) => Padding::Center,
            Some(false) => Padding::None,
            None => default.padding,
        },
        pad_mode: match args.str("pad_mode")? {
            Some(text) => text.parse().map_err(invalid)?,
            None => default.pad_mode,
        },
        power: args.f64("power")?.unwrap_or(default.power),
        n_mels: args.usize("n_mels")?.unwrap_or(default.n_mels),
        fmin: args.f64("fmin")?.unwrap_or(default.fmin),
        fmax: args.f64("fmax")?.or(default.fmax),
        htk: args.bool("htk")?.unwrap_or(default.htk),
        norm: match args.str("norm")? {
            Some(text) => text.parse().map_err(invalid)?,
            None => default.norm,
        },
        ..default
    };
    options.validate().map_err(invalid)?;
    Ok(options)
}

fn spectrograms<T>(samples: &ColumnarValue, options: &MelOptions) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: FftNum + Float + AsPrimitive<f32>,
{
    let rows = Vectors::<T>::from_argument(PARAMETERS.function, samples)?;
    let rows = rows.fill_missing(T::Native::nan());
    let fail = |e: String| exec_datafusion_err!("mel_spectrogram: {e}");
    let mut mel = MelSpectrogram::<T::Native>::new(options).map_err(fail)?;
    let mut frames = Vec::new();
    let mut values: Vec<f32> = Vec::new();
    let mut lengths = Vec::with_capacity(rows.len());
    let mut nulls = NullBufferBuilder::new(rows.len());
    for i in 0..rows.len() {
        frames.clear();
        match rows.row(i) {
            None => nulls.append_null(),
            Some(samples) => {
                nulls.append_non_null();
                mel.push(samples, &mut frames);
                mel.finish(&mut frames).map_err(fail)?;
                if options.compression.needs_largest() {
                    let largest = largest(&frames, T::Native::neg_infinity());
                    options.compression.finish(&mut frames, largest);
                }
            }
        }
        lengths.push(frames.len() / options.n_mels);
        values.extend(frames.iter().map(|&x| AsPrimitive::<f32>::as_(x)));
    }
    if i32::try_from(values.len() / options.n_mels).is_err() {
        return Err(fail(
            "more frames than one batch can hold; lower datafusion.execution.batch_size"
                .to_string(),
        ));
    }
    let width = i32::try_from(options.n_mels).unwrap_or(i32::MAX);
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let values = Arc::new(Float32Array::from(values));
    let values = FixedSizeListArray::try_new(item, width, values, None)?;
    Ok(Arc::new(ListArray::try_new(
        frame_field(options.n_mels),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(values),
        nulls.finish(),
    )?))
}
