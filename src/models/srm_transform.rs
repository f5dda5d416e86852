//! `srm_transform(bold, subject, model => 'm')`: a subject's voxels into the shared space.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use voxql_udfs::args::{Kind, Parameters, result_of};
use voxql_udfs::vectors::{VectorBuilder, Vectors, vector_type};

use super::srm::SubjectMap;
use super::store::{Description, Models};

const PARAMETERS: Parameters = Parameters {
    function: "srm_transform",
    required: 3,
    list: &[
        ("x", Kind::Vector),
        ("subject", Kind::Any),
        ("model", Kind::Text),
    ],
};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        datafusion::logical_expr::DocSection {
            include: true,
            label: "Brain Functions",
            description: None,
        },
        "Takes a subject's voxels into the shared space of a model made by `CREATE MODEL … USING srm`: \
         W' (x - mean), with the subject's orthonormal map W and the voxel means of the fitted TRs. A model made with \
         `OPTIONS (demean false)` subtracts nothing, as BrainIAK's `SRM.transform`. \
         NULL in, NULL out; a subject that the model does not know is an error.",
        "srm_transform(x, subject, model => 'm')",
    )
    .with_argument("x", "the subject's voxels, in the order of the fit")
    .with_argument("subject", "the subject's name, as in the fit")
    .with_argument("model", "the model's name")
    .with_sql_example(
        "```sql\nSELECT subject, tr, srm_transform(bold, subject, model => 'movie') AS shared FROM bold;\n```",
    )
    .build()
});

/// The function, over the models of one database.
pub fn function(models: Arc<Models>) -> ScalarUDF {
    ScalarUDF::new_from_impl(SrmTransform {
        models,
        signature: PARAMETERS.signature(Volatility::Stable),
    })
}

struct SrmTransform {
    models: Arc<Models>,
    signature: Signature,
}

impl fmt::Debug for SrmTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("srm_transform")
    }
}

// One database has one such function.
impl PartialEq for SrmTransform {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.models, &other.models)
    }
}

impl Eq for SrmTransform {}

impl Hash for SrmTransform {
    fn hash<H: Hasher>(&self, state: &mut H) {
        PARAMETERS.function.hash(state);
    }
}

impl SrmTransform {
    fn describe(&self, name: Option<&str>) -> Result<Description> {
        let Some(name) = name else {
            return exec_err!("srm_transform: model must be the name of a model, not NULL");
        };
        let description = self.models.describe(name)?;
        match description.kind.as_str() {
            "srm" => Ok(description),
            kind => exec_err!("srm_transform: {name} is a model of kind {kind}, not srm"),
        }
    }
}

impl ScalarUDFImpl for SrmTransform {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        PARAMETERS.coerce(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        exec_err!("srm_transform: the type depends on the model")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let constants = PARAMETERS.at_planning(args.scalar_arguments);
        let description = self.describe(constants.str("model")?)?;
        let data_type = vector_type(Some(description.features));
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constants = PARAMETERS.of_scalar(&args.args);
        let description = self.describe(constants.str("model")?)?;
        let subjects = self.models.subjects(&description)?;
        let mut used: HashMap<&str, (&SubjectMap, Vec<f64>)> = HashMap::new();

        let arrays = ColumnarValue::values_to_arrays(&args.args[..2])?;
        let rows = arrays[0].len();
        let vectors =
            Vectors::<Float32Type>::try_new(self.name(), &arrays[0])?.fill_missing(f32::NAN);
        let names = cast(&arrays[1], &DataType::Utf8)?;
        let names = names.as_string::<i32>();

        let mut out = VectorBuilder::new(PARAMETERS.function, Some(description.features), rows);
        for i in 0..rows {
            let (Some(x), true) = (vectors.row(i), names.is_valid(i)) else {
                out.append_null();
                continue;
            };
            let name = names.value(i);
            if !used.contains_key(name) {
                let Some(subject) = subjects.iter().find(|s| s.name == name) else {
                    return exec_err!(
                        "srm_transform: the model {} does not know subject {name}; it was fitted on {}",
                        description.name,
                        description.subjects.join(", ")
                    );
                };
                let offset = match description.demean {
                    true => subject.shared_mean(),
                    false => vec![0.0; subject.features()],
                };
                used.insert(&subject.name, (subject, offset));
            }
            let (subject, offset) = &used[name];
            if x.len() != subject.voxels {
                return exec_err!(
                    "srm_transform: subject {name} has {} voxels here and {} in the model {}; use the mask of the fit",
                    x.len(),
                    subject.voxels,
                    description.name
                );
            }
            out.append_with(subject.features(), |shared| {
                project(subject, offset, x, shared)
            })?;
        }
        let column: ArrayRef = out.finish()?;
        result_of(&args.args, column)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// `shared = W' x - offset`.
fn project(subject: &SubjectMap, offset: &[f64], x: &[f32], shared: &mut [f32]) {
    let columns = subject.weights.chunks_exact(subject.voxels.max(1));
    for ((out, w), offset) in shared.iter_mut().zip(columns).zip(offset) {
        let sum: f64 = w.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum();
        *out = (sum - offset) as f32;
    }
}
