//! `vector_concat(a, b, …)`: vectors one after the other in one vector.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{result_of, rows_of};
use crate::datafusion_doc;
use crate::vectors::{VectorBuilder, Vectors, element_type, vector_type, vector_width};

const NAME: &str = "vector_concat";

/// The scalar function `vector_concat`.
pub fn vector_concat() -> ScalarUDF {
    VectorConcat {
        signature: Signature::user_defined(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Vector Functions"),
    description = "The elements of all vectors in one vector, for instance mel and embedding features side by side. \
A `FixedSizeList<Float32>` where all inputs are FixedSizeLists, else a `List<Float32>`. \
A NULL vector makes the whole NULL; missing (NULL) elements stay missing.",
    syntax_example = "vector_concat(vector1, vector2 [, ...])",
    sql_example = r#"```sql
> SELECT vector_concat([1, 2], [3]) AS v;
+-----------------+
| v               |
+-----------------+
| [1.0, 2.0, 3.0] |
+-----------------+
```"#,
    argument(
        name = "vector1",
        description = "A list of numbers of any list type; one or more of them."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorConcat {
    signature: Signature,
}

impl ScalarUDFImpl for VectorConcat {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if arg_types.is_empty() {
            return plan_err!("{NAME}: give at least one vector");
        }
        arg_types
            .iter()
            .enumerate()
            .map(|(i, given)| match given {
                DataType::Null => Ok(vector_type(None)),
                given if element_type(given).is_some() => Ok(given.clone()),
                _ => plan_err!(
                    "{NAME}: argument {} must be a vector (a list of numbers), got {given}",
                    i + 1
                ),
            })
            .collect()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(vector_type(arg_types.iter().map(vector_width).sum()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        Ok(Arc::new(Field::new(NAME, self.return_type(&types)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let parts = args
            .args
            .iter()
            .map(|arg| Vectors::<Float32Type>::from_argument(NAME, arg))
            .collect::<Result<Vec<_>>>()?;
        let rows = rows_of(&args.args);
        let mut joined =
            VectorBuilder::new(NAME, vector_width(args.return_field.data_type()), rows);
        for i in 0..rows {
            let widths = parts.iter().map(|part| part.row(i).map(<[f32]>::len));
            let Some(width) = widths.sum::<Option<usize>>() else {
                joined.append_null();
                continue;
            };
            if parts.iter().any(|part| part.missing(i).is_some()) {
                let elements = parts.iter().flat_map(|part| part.elements(i));
                joined.append_options(width, elements)?;
                continue;
            }
            joined.append_with(width, |out| {
                let mut rest = out;
                for row in parts.iter().filter_map(|part| part.row(i)) {
                    let (here, behind) = rest.split_at_mut(row.len());
                    here.copy_from_slice(row);
                    rest = behind;
                }
            })?;
        }
        result_of(&args.args, joined.finish()?)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
