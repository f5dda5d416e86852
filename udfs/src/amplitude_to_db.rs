//! `amplitude_to_db(amplitude, …)`: amplitude in decibels, of a number, a frame or a spectrogram.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters};
use crate::datafusion_doc;
use crate::decibels::ToDecibels;
use crate::kernels::decibel::Decibels;

const FUNCTION: ToDecibels = ToDecibels {
    parameters: Parameters {
        function: "amplitude_to_db",
        required: 1,
        list: &[
            ("amplitude", Kind::Any),
            ("ref", Kind::Any),
            ("amin", Kind::Number),
            ("top_db", Kind::Number),
        ],
    },
    amin: 1e-5,
    convert: Decibels::convert_amplitudes,
};

/// The scalar function `amplitude_to_db`.
pub fn amplitude_to_db() -> ScalarUDF {
    AmplitudeToDb {
        signature: FUNCTION.parameters.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Audio Functions"),
    description = "Amplitude in decibels, as `librosa.amplitude_to_db`: `20 log10(max(amin, |amplitude|)) - 20 log10(max(amin, |ref|))`, \
and nothing more than `top_db` below the largest value. It is for `mel_spectrogram(…, power => 1)`; in all else it is \
`power_to_db`: both a `ref` of `'max'` and `top_db` look at the value given, a number, one frame or a list of frames.",
    syntax_example = "amplitude_to_db(amplitude [, ref => 1.0, amin => 1e-5, top_db => 80.0])",
    sql_example = r#"```sql
> SELECT amplitude_to_db([1.0, 0.001, 0.0], ref => 'max') AS db;
+---------------------+
| db                  |
+---------------------+
| [0.0, -60.0, -80.0] |
+---------------------+
```"#,
    argument(
        name = "amplitude",
        description = "A number, a vector, or a list of vectors. Numbers give Float64, vectors Float32."
    ),
    argument(
        name = "ref",
        description = "The amplitude that is 0 dB (default 1.0), or `'max'` or `'median'` of the value given."
    ),
    argument(
        name = "amin",
        description = "Smaller amplitudes are raised to this. Default 1e-5."
    ),
    argument(
        name = "top_db",
        description = "The largest distance below the maximum in dB. Default 80; NULL for no limit."
    ),
    related_udf(name = "power_to_db"),
    related_udf(name = "mel_spectrogram")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct AmplitudeToDb {
    signature: Signature,
}

impl ScalarUDFImpl for AmplitudeToDb {
    fn name(&self) -> &str {
        FUNCTION.parameters.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        FUNCTION.coerce(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(ToDecibels::return_type(arg_types))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        FUNCTION.invoke(&args.args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
