//! `mfcc(mel_db, …)`: mel-frequency cepstral coefficients of a frame or a spectrogram.

use std::f64::consts::PI;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, exec_err, internal_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Arguments, Kind, Parameters, result_of};
use crate::datafusion_doc;
use crate::kernels::cosine_transform::{DctType, matrix};
use crate::spectra::{frame_type, list_of};
use crate::vectors::{VectorBuilder, Vectors, element_type, vector_type};

const PARAMETERS: Parameters = Parameters {
    function: "mfcc",
    required: 1,
    list: &[
        ("mel_db", Kind::Any),
        ("n_mfcc", Kind::Integer),
        ("dct_type", Kind::Integer),
        ("norm", Kind::Text),
        ("lifter", Kind::Number),
    ],
};

/// The scalar function `mfcc`.
pub fn mfcc() -> ScalarUDF {
    Mfcc {
        signature: PARAMETERS.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Audio Functions"),
    description = "Mel-frequency cepstral coefficients, with the numbers of `librosa.feature.mfcc(S=mel_db)`: the first `n_mfcc` \
of the cosine transform of mel spectra in decibels. What librosa does with a sound, `mfcc(power_to_db(mel_spectrogram(samples)))` does; \
where frames are rows, as in `read_mel`, the transform is frame by frame, and only `top_db` of `power_to_db` looks at others. \
A NULL gives NULL; a missing (NULL) or NaN element makes its frame NaN.",
    syntax_example = "mfcc(mel_db [, n_mfcc => 20, dct_type => 2, norm => 'ortho', lifter => 0])",
    sql_example = r#"```sql
SELECT time, mfcc(power_to_db(mel, top_db => NULL), n_mfcc => 13) AS mfcc FROM read_mel('a.wav');
```"#,
    argument(
        name = "mel_db",
        description = "Mel spectra in decibels: a vector, or a list of vectors."
    ),
    argument(
        name = "n_mfcc",
        description = "Number of coefficients, at most that of the mel bands. Default 20."
    ),
    argument(
        name = "dct_type",
        description = "Type of the discrete cosine transform: 1, 2 (default) or 3."
    ),
    argument(
        name = "norm",
        description = "`ortho` (orthonormal, default) or `none`, as `scipy.fft.dct`."
    ),
    argument(
        name = "lifter",
        description = "Above 0: coefficient k, counted from 1, is multiplied by `1 + lifter / 2 * sin(pi * k / lifter)`. Default 0."
    ),
    related_udf(name = "power_to_db"),
    related_udf(name = "mel_spectrogram")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mfcc {
    signature: Signature,
}

impl ScalarUDFImpl for Mfcc {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let mut types = PARAMETERS.coerce(arg_types)?;
        types[0] = match &types[0] {
            vector if element_type(vector).is_some() => vector.clone(),
            frames => match frame_type(frames) {
                Some(frame) => list_of(frame.clone()),
                None => {
                    return plan_err!(
                        "mfcc: mel_db must be a vector or a list of vectors, got {frames}"
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
        let settings = Settings::read(&PARAMETERS.at_planning(args.scalar_arguments))?;
        let coefficients = vector_type(Some(settings.n_mfcc));
        let data_type = match element_type(args.arg_fields[0].data_type()) {
            Some(_) => coefficients,
            None => list_of(coefficients),
        };
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let settings = Settings::read(&PARAMETERS.of_scalar(&args.args))?;
        let column = match &args.args[0] {
            ColumnarValue::Array(column) => Arc::clone(column),
            ColumnarValue::Scalar(value) => value.to_array()?,
        };
        let result = match frame_type(column.data_type()) {
            None => settings.frames(&column)?,
            Some(frame) => {
                let column = cast(&column, &list_of(frame.clone()))?;
                settings.spectrograms(column.as_list::<i32>())?
            }
        };
        result_of(&args.args, result)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The constant arguments, checked.
struct Settings {
    n_mfcc: usize,
    kind: DctType,
    ortho: bool,
    lifter: f64,
}

impl Settings {
    fn read(args: &Arguments) -> Result<Self> {
        let n_mfcc = args.usize("n_mfcc")?.unwrap_or(20);
        if n_mfcc == 0 {
            return plan_err!("mfcc: n_mfcc must be 1 or more, not 0");
        }
        let kind = match args.i64("dct_type")? {
            None | Some(2) => DctType::Two,
            Some(1) => DctType::One,
            Some(3) => DctType::Three,
            Some(other) => return plan_err!("mfcc: dct_type must be 1, 2 or 3, not {other}"),
        };
        let ortho = match args.str("norm")? {
            None | Some("ortho") => true,
            Some("none") => false,
            Some(other) => return plan_err!("mfcc: norm must be 'ortho' or 'none', not '{other}'"),
        };
        let lifter = args.f64("lifter")?.unwrap_or(0.0);
        if !(lifter.is_finite() && lifter >= 0.0) {
            return plan_err!("mfcc: lifter must be 0 or more, not {lifter}");
        }
        Ok(Self {
            n_mfcc,
            kind,
            ortho,
            lifter,
        })
    }

    /// Row after row of coefficients' weights on the bands, with the lifter.
    fn weights(&self, n_mels: usize) -> Result<Vec<f64>> {
        let mut weights = matrix(self.kind, self.ortho, n_mels, self.n_mfcc)
            .map_err(|e| plan_datafusion_err!("mfcc: {e}; mel_db has {n_mels} bands"))?;
        if self.lifter > 0.0 {
            for (k, row) in weights.chunks_exact_mut(n_mels).enumerate() {
                let k = (k + 1) as f64;
                let lift = 1.0 + self.lifter / 2.0 * (PI * k / self.lifter).sin();
                row.iter_mut().for_each(|w| *w *= lift);
            }
        }
        Ok(weights)
    }

    fn frames(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let frames = Vectors::<Float64Type>::try_new(PARAMETERS.function, column)?;
        let frames = frames.fill_missing(f64::NAN);
        let mut out = VectorBuilder::new(PARAMETERS.function, Some(self.n_mfcc), frames.len());
        // Frames of one column are of one length nearly always.
        let (mut weights, mut n_mels) = (vec![], 0);
        for i in 0..frames.len() {
            let Some(frame) = frames.row(i) else {
                out.append_null();
                continue;
            };
            if frame.is_empty() {
                return exec_err!("mfcc: a frame of mel_db has no bands");
            }
            if frame.len() != n_mels {
                (weights, n_mels) = (self.weights(frame.len())?, frame.len());
            }
            out.append_with(self.n_mfcc, |coefficients| {
                for (out, row) in coefficients.iter_mut().zip(weights.chunks_exact(n_mels)) {
                    let sum: f64 = row.iter().zip(frame).map(|(w, x)| w * x).sum();
                    *out = sum as f32;
                }
            })?;
        }
        out.finish()
    }

    fn spectrograms(&self, column: &ListArray) -> Result<ArrayRef> {
        Ok(Arc::new(ListArray::try_new(
            Arc::new(Field::new_list_field(vector_type(Some(self.n_mfcc)), true)),
            column.offsets().clone(),
            self.frames(column.values())?,
            column.nulls().cloned(),
        )?))
    }
}
