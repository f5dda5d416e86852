//! `mfcc(samples, …)`: mel-frequency cepstral coefficients, of sound or of a spectrogram in decibels.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, exec_err, internal_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;
use realfft::FftNum;
use realfft::num_traits::{AsPrimitive, Float};

use crate::args::{Arguments, Kind, Parameters, joined, result_of};
use crate::datafusion_doc;
use crate::frames::{FramesBuilder, as_lists, frame_type, list_of};
use crate::kernels::decibel::{Decibels, Reference};
use crate::kernels::mel::{MelOptions, Preset};
use crate::kernels::mfcc::{Mfcc, MfccOptions};
use crate::mel_options::{mel_options_without_log, preset};
use crate::mel_spectrogram::each_spectrogram;
use crate::vectors::{Vectors, element_type, vector_type};

/// Those of `mel_spectrogram` that say how the mels are made. `norm` has another meaning here.
const MEL: [(&str, Kind); 17] = [
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
    ("mel_norm", Kind::Text),
    ("pad", Kind::Integer),
    ("epsilon", Kind::Number),
    ("drop_last", Kind::Flag),
    ("preset", Kind::Text),
];

const PARAMETERS: Parameters = Parameters {
    function: "mfcc",
    required: 1,
    list: &joined::<22>(
        &[
            ("samples", Kind::Any),
            ("n_mfcc", Kind::Integer),
            ("dct_type", Kind::Integer),
            ("norm", Kind::Text),
            ("lifter", Kind::Number),
        ],
        &MEL,
    ),
};

/// librosa's call of `power_to_db`.
const DECIBELS: Decibels = Decibels {
    reference: Reference::Level(1.0),
    amin: 1e-10,
    top_db: Some(80.0),
};

/// The scalar function `mfcc`.
pub fn mfcc() -> ScalarUDF {
    MfccFunction {
        signature: PARAMETERS.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Audio Functions"),
    description = "Mel-frequency cepstral coefficients, with the numbers of `librosa.feature.mfcc`: a list of frames, each a vector of \
`n_mfcc` coefficients, which `unnest` turns into rows. Of samples it takes the mel spectrogram, its decibels (`power_to_db` with `ref` 1 and \
`top_db` 80 below the loudest of the row's sound), and the cosine transform of each frame. Of a list of frames, a spectrogram that is in \
decibels already, it takes the transform alone, as librosa does of `S =>`; then only `n_mfcc`, `dct_type`, `norm` and `lifter` may be given. \
A frame of its own, as in the rows of `read_mel`, goes in as a list of one: `mfcc([frame])[1]`. NULL gives NULL.",
    syntax_example = "mfcc(samples [, n_mfcc => 20, dct_type => 2, norm => 'ortho', lifter => 0, mel_norm => 'slaney', \
preset => 'librosa', …the arguments of mel_spectrogram])",
    sql_example = r#"```sql
SELECT mfcc(samples, n_mfcc => 13, sample_rate => 16000) FROM read_audio('a.wav', sample_rate => 16000, chunk_duration => 0);

-- a row a frame, of a file of any length
SELECT time, mfcc([power_to_db(mel, top_db => NULL)], n_mfcc => 13)[1] AS mfcc FROM read_mel('a.wav');
```"#,
    argument(
        name = "samples",
        description = "A list of numbers: mono sound, full scale -1 to 1; or a list of frames in decibels."
    ),
    argument(
        name = "n_mfcc",
        description = "Coefficients of a frame, from 1 to the number of mel bands. Default 20 (40 with `preset => 'torchaudio'`)."
    ),
    argument(
        name = "dct_type",
        description = "The type of the cosine transform: 1, 2 (default) or 3."
    ),
    argument(
        name = "norm",
        description = "`ortho` (orthonormal, default) or `none`. The filters' scale is `mel_norm` here."
    ),
    argument(
        name = "lifter",
        description = "Coefficient k, from 1, is multiplied by `1 + lifter / 2 * sin(pi * k / lifter)`. Default 0: not at all."
    ),
    argument(
        name = "mel_norm",
        description = "Scale of the triangular filters: `slaney` (default), `none` or `1`."
    ),
    argument(
        name = "preset",
        description = "`librosa` (default) or `torchaudio`, see `mel_spectrogram`. The others' spectrograms end in another logarithm."
    ),
    related_udf(name = "mel_spectrogram"),
    related_udf(name = "power_to_db")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct MfccFunction {
    signature: Signature,
}

impl ScalarUDFImpl for MfccFunction {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let mut types = PARAMETERS.coerce(arg_types)?;
        types[0] = match &types[0] {
            DataType::Null => vector_type(None),
            samples if element_type(samples).is_some() => samples.clone(),
            frames => match frame_type(frames) {
                Some(frame) => list_of(frame.clone()),
                None => {
                    return plan_err!(
                        "mfcc: samples must be a vector or a list of vectors, got {frames}"
                    );
                }
            },
        };
        Ok(types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("mfcc: its type depends on n_mfcc")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let arguments = PARAMETERS.at_planning(args.scalar_arguments);
        let n_mfcc = options(&arguments, preset(&arguments)?)?.n_mfcc;
        if n_mfcc == 0 {
            return plan_err!("mfcc: n_mfcc must be 1 or more, not 0");
        }
        let frames = FramesBuilder::data_type(n_mfcc);
        Ok(Arc::new(Field::new(self.name(), frames, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = PARAMETERS.of_scalar(&args.args);
        let preset = preset(&arguments)?;
        let options = options(&arguments, preset)?;
        let sound = &args.args[0];
        let coefficients = match element_type(&sound.data_type()) {
            None => {
                for (name, _) in MEL {
                    if arguments.is_constant(name) {
                        return exec_err!(
                            "mfcc: {name} goes with samples; the list of frames given is a spectrogram already"
                        );
                    }
                }
                of_frames(sound, &options)?
            }
            Some(element) => {
                let mel = mel_options_without_log(&arguments, preset)?;
                match element {
                    DataType::Float64 => of_samples::<Float64Type>(sound, &mel, &options)?,
                    _ => of_samples::<Float32Type>(sound, &mel, &options)?,
                }
            }
        };
        result_of(&args.args, coefficients)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The transform's arguments; [`Mfcc::new`] checks them.
fn options(args: &Arguments, preset: Option<Preset>) -> Result<MfccOptions> {
    let default = MfccOptions::default();
    let n_mfcc = match preset {
        None | Some(Preset::Librosa) => default.n_mfcc,
        Some(Preset::Torchaudio) => 40,
        Some(other) => {
            return plan_err!(
                "mfcc: preset '{}' ends in a logarithm of its own, not in decibels; use 'librosa' or 'torchaudio'",
                other.name()
            );
        }
    };
    Ok(MfccOptions {
        n_mfcc: args.usize("n_mfcc")?.unwrap_or(n_mfcc),
        dct_type: args.i64("dct_type")?.unwrap_or(default.dct_type),
        ortho: match args.str("norm")? {
            None | Some("ortho") => true,
            Some("none") => false,
            Some(other) => {
                return plan_err!(
                    "mfcc: norm '{other}' is not known; use 'ortho' or 'none' (the filters' scale is mel_norm)"
                );
            }
        },
        lifter: args.f64("lifter")?.unwrap_or(default.lifter),
    })
}

fn of_samples<T>(
    samples: &ColumnarValue,
    mel: &MelOptions,
    options: &MfccOptions,
) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: FftNum + Float + AsPrimitive<f64>,
{
    let function = PARAMETERS.function;
    let mfcc = transform(options, mel.n_mels)?;
    let mut out = FramesBuilder::new(function, options.n_mfcc);
    let (mut decibels, mut coefficients) = (Vec::new(), Vec::new());
    each_spectrogram::<T>(function, samples, mel, |frames| match frames {
        None => out.append_null(),
        Some(frames) => {
            decibels.clear();
            decibels.extend(frames.iter().map(|&x| AsPrimitive::<f64>::as_(x)));
            DECIBELS.convert(&mut decibels);
            coefficients.clear();
            for frame in decibels.chunks_exact(mel.n_mels) {
                mfcc.transform(frame, &mut coefficients);
            }
            out.append(coefficients.iter().map(|&x| x as f32));
        }
    })?;
    out.finish()
}

fn of_frames(spectrograms: &ColumnarValue, options: &MfccOptions) -> Result<ArrayRef> {
    let function = PARAMETERS.function;
    let column = match spectrograms {
        ColumnarValue::Array(column) => Arc::clone(column),
        ColumnarValue::Scalar(value) => value.to_array()?,
    };
    let lists = as_lists(function, &column)?;
    let frames = Vectors::<Float64Type>::try_new(function, lists.values())?;
    let frames = frames.fill_missing(f64::NAN);
    let mut out = FramesBuilder::new(function, options.n_mfcc);
    // The width is that of the frames, which a list type does not say.
    let mut known: Option<(usize, Mfcc)> = None;
    let mut coefficients = Vec::new();
    for (i, bounds) in lists.value_offsets().windows(2).enumerate() {
        if lists.is_null(i) {
            out.append_null();
            continue;
        }
        coefficients.clear();
        for at in bounds[0] as usize..bounds[1] as usize {
            let Some(frame) = frames.row(at) else {
                return exec_err!("mfcc: a frame of the spectrogram is NULL; leave it out");
            };
            let mfcc = match &mut known {
                Some((width, mfcc)) if *width == frame.len() => mfcc,
                other => {
                    let new = (frame.len(), transform(options, frame.len())?);
                    &mut other.insert(new).1
                }
            };
            mfcc.transform(frame, &mut coefficients);
        }
        out.append(coefficients.iter().map(|&x| x as f32));
    }
    out.finish()
}

fn transform(options: &MfccOptions, n_mels: usize) -> Result<Mfcc> {
    Mfcc::new(options, n_mels).map_err(|e| plan_datafusion_err!("mfcc: {e}"))
}
