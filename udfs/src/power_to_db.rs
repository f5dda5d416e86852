//! `power_to_db(power, …)`: power in decibels, of a number, a frame or a spectrogram.

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
        function: "power_to_db",
        required: 1,
        list: &[
            ("power", Kind::Any),
            ("ref", Kind::Any),
            ("amin", Kind::Number),
            ("top_db", Kind::Number),
        ],
    },
    amin: 1e-10,
    convert: Decibels::convert,
};

/// The scalar function `power_to_db`.
pub fn power_to_db() -> ScalarUDF {
    PowerToDb {
        signature: FUNCTION.parameters.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Audio Functions"),
    description = "Power in decibels, as `librosa.power_to_db`: `10 log10(max(amin, power)) - 10 log10(max(amin, |ref|))`, \
and nothing more than `top_db` below the largest value. Both a `ref` of `'max'` and `top_db` look at the value given: \
a number, one frame (a vector), or a spectrogram (a list of frames, as `mel_spectrogram` gives it). librosa looks at the whole \
file: where frames are rows, as in `read_mel`, use `top_db => NULL` and clip at the file's own maximum, which a window function gives, \
or gather them first with `array_agg(mel ORDER BY frame)`. NULL gives NULL; missing (NULL) and NaN elements stay so and do not count.",
    syntax_example = "power_to_db(power [, ref => 1.0, amin => 1e-10, top_db => 80.0])",
    sql_example = r#"```sql
> SELECT power_to_db([1.0, 0.001, 0.0], ref => 'max') AS db;
+---------------------+
| db                  |
+---------------------+
| [0.0, -30.0, -80.0] |
+---------------------+

-- the whole file's ref and top_db, of frames in rows: the loudest frame is the second pass
WITH f AS (SELECT frame, mel, max(array_max(mel)) OVER () AS loudest FROM read_mel('a.wav'))
SELECT frame, power_to_db(array_concat(mel, [loudest]), ref => 'max')[1:array_length(mel)] AS db FROM f;
```"#,
    argument(
        name = "power",
        description = "A number, a vector, or a list of vectors. Numbers give Float64, vectors Float32."
    ),
    argument(
        name = "ref",
        description = "The power that is 0 dB (default 1.0), or `'max'` or `'median'` of the value given."
    ),
    argument(
        name = "amin",
        description = "Smaller powers are raised to this. Default 1e-10."
    ),
    argument(
        name = "top_db",
        description = "The largest distance below the maximum in dB. Default 80; NULL for no limit."
    ),
    related_udf(name = "amplitude_to_db"),
    related_udf(name = "mel_spectrogram")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct PowerToDb {
    signature: Signature,
}

impl ScalarUDFImpl for PowerToDb {
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
