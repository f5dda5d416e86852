//! `mel_spectrogram(samples, …)`: librosa's mel spectrogram of each row's stretch of sound.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;
use realfft::FftNum;
use realfft::num_traits::{AsPrimitive, Float, Zero};

use crate::args::{Arguments, Kind, Parameters, joined, result_of};
use crate::datafusion_doc;
use crate::frames::FramesBuilder;
use crate::kernels::mel::{Log, MelOptions, MelSpectrogram};
use crate::mel_options::{MEL_METADATA, MEL_PARAMETERS, mel_options, preset};
use crate::vectors::{Vectors, element_type};

const PARAMETERS: Parameters = Parameters {
    function: "mel_spectrogram",
    required: 1,
    list: &joined::<20>(&[("samples", Kind::Vector)], &MEL_PARAMETERS),
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
A `preset` sets every argument, the logarithm too, as a system does whose models want its spectrograms; what is given besides \
goes before it. The column remembers all of it in its field metadata (`voxql.mel`), from which `vocode` sees what it gets.",
    syntax_example = "mel_spectrogram(samples [, sample_rate => 22050, n_fft => 2048, hop_length => 512, win_length => n_fft, \
window => 'hann', center => true, pad_mode => 'constant', power => 2.0, n_mels => 128, fmin => 0, fmax => sample_rate / 2, \
htk => false, norm => 'slaney', pad => 0, epsilon => 0, log => 'none', log_floor => 1e-10, drop_last => false, \
preset => 'librosa'])",
    sql_example = r#"```sql
SELECT time, unnest(mel_spectrogram(samples, sample_rate => 22050, n_fft => 1024, hop_length => 256, n_mels => 80)) AS mel
FROM read_audio('a.wav', sample_rate => 22050, chunk_duration => 0);

-- what OpenAI's Whisper makes of it
SELECT mel_spectrogram(samples, preset => 'whisper')
FROM read_audio('a.wav', sample_rate => 16000, chunk_duration => 0);
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
        description = "What is before and after a centred sound: `constant` (zeros, default), `reflect` (mirrored, the end sample not \
repeated), `symmetric` (mirrored, the end sample repeated) or `edge` (the end sample repeated)."
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
        name = "pad",
        description = "Samples put before and after the sound with `center => false`. Default 0."
    ),
    argument(
        name = "epsilon",
        description = "Added to the square of the magnitude before it is raised to `power / 2`. Default 0."
    ),
    argument(
        name = "log",
        description = "What follows the filters: `none` (default), `ln` or `log10` of `max(x, log_floor)`, or `whisper`: `log10`, no more \
than 8 below the largest of the sound, then `(x + 4) / 4`. For decibels see `power_to_db`."
    ),
    argument(
        name = "log_floor",
        description = "The smallest value that has a logarithm of its own. Default 1e-10."
    ),
    argument(
        name = "drop_last",
        description = "Whether the last frame is left out. Default false."
    ),
    argument(
        name = "preset",
        description = "`librosa` (default): the defaults above. `hifigan`: 22,050 Hz, `n_fft` 1024, `hop_length` 256, 80 mels to 8,000 Hz, \
`center => false` with reflected padding of `(n_fft - hop_length) / 2`, magnitude `sqrt(re^2 + im^2 + 1e-9)`, natural logarithm of \
at least 1e-5. `torchaudio`: 16,000 Hz, `n_fft` 400, `hop_length` 200, 128 mels on HTK's scale, `norm` none, reflected padding, \
power, no logarithm. `whisper`: 16,000 Hz, `n_fft` 400, `hop_length` 160, 80 mels, reflected padding, the last frame \
dropped, and Whisper's logarithm (Whisper itself pads or cuts its sound to 30 s before). Other arguments that are given go before \
the preset's; the result is then no longer what the system does, and says so in its metadata."
    ),
    related_udf(name = "power_to_db"),
    related_udf(name = "mfcc")
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
        let field = Field::new(self.name(), FramesBuilder::data_type(options.n_mels), true);
        let metadata = [(MEL_METADATA.to_string(), options.describe())];
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

/// The constant arguments, checked.
fn options(args: &Arguments) -> Result<MelOptions> {
    mel_options(args, preset(args)?)
}

fn spectrograms<T>(samples: &ColumnarValue, options: &MelOptions) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: FftNum + Float + AsPrimitive<f32>,
{
    let function = PARAMETERS.function;
    let mut out = FramesBuilder::new(function, options.n_mels);
    each_spectrogram::<T>(function, samples, options, |frames| match frames {
        None => out.append_null(),
        Some(frames) => {
            let peak = Log::peak(frames, T::Native::zero());
            options.log.apply(frames, options.log_floor, peak);
            out.append(frames.iter().map(|&x| AsPrimitive::<f32>::as_(x)));
        }
    })?;
    out.finish()
}

/// Calls `take` with the frames of each row of `samples`, before any logarithm; None where the row is NULL.
pub(crate) fn each_spectrogram<T>(
    function: &'static str,
    samples: &ColumnarValue,
    options: &MelOptions,
    mut take: impl FnMut(Option<&mut [T::Native]>),
) -> Result<()>
where
    T: ArrowPrimitiveType,
    T::Native: FftNum + Float,
{
    let rows = Vectors::<T>::from_argument(function, samples)?;
    let rows = rows.fill_missing(T::Native::nan());
    let fail = |e: String| exec_datafusion_err!("{function}: {e}");
    let mut mel = MelSpectrogram::<T::Native>::new(options).map_err(fail)?;
    let mut frames = Vec::new();
    for i in 0..rows.len() {
        let Some(samples) = rows.row(i) else {
            take(None);
            continue;
        };
        frames.clear();
        mel.push(samples, &mut frames);
        mel.finish(&mut frames).map_err(fail)?;
        take(Some(&mut frames));
    }
    Ok(())
}
