//! `forget_model(v)`: a vector that no longer says which model made it.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters};
use crate::datafusion_doc;
use crate::identity::forget;

const PARAMETERS: Parameters = Parameters {
    function: "forget_model",
    required: 1,
    list: &[("vector", Kind::Vector)],
};

/// The scalar function `forget_model`.
pub fn forget_model() -> ScalarUDF {
    ForgetModel {
        signature: PARAMETERS.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Vector Functions"),
    description = "The same vector, without what its column remembers of the model that made it. Distances between \
vectors of two models are refused, since they mean nothing; where you know that two spaces are comparable (the same \
weights, once in single precision and once rounded to 8 bits), this is how to say so.",
    syntax_example = "forget_model(vector)",
    sql_example = r#"```sql
SELECT cosine_distance(forget_model(a.emb), b.emb) FROM a JOIN b ON a.id = b.id;
```"#,
    argument(name = "vector", description = "A list of numbers of any list type.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct ForgetModel {
    signature: Signature,
}

impl ScalarUDFImpl for ForgetModel {
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
        exec_err!("forget_model: the type is that of the argument and comes from return_field_from_args")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = args.arg_fields[0].as_ref().clone().with_name(self.name());
        let mut metadata = field.metadata().clone();
        forget(&mut metadata);
        Ok(Arc::new(field.with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.into_iter().next() {
            Some(vector) => Ok(vector),
            None => exec_err!("forget_model: the argument vector is missing"),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
