//! `ridge_predict(embedding, …, model => 'enc')`: the brain that an encoding model expects.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use voxql_udfs::args::{Arguments, Kind, Parameters, result_of, rows_of};
use voxql_udfs::vectors::{MODEL_METADATA, VectorBuilder, Vectors, vector_type, vector_width};

use super::KIND;
use super::files::{Description, SubjectWeights, read_weights};
use crate::models::store::Models;

/// Feature spaces that a model may have: so many parameters are before `model`.
pub const MOST_SPACES: usize = 8;

const PARAMETERS: Parameters = Parameters {
    function: "ridge_predict",
    required: 1,
    list: &[
        ("x", Kind::Vector),
        ("x2", Kind::Vector),
        ("x3", Kind::Vector),
        ("x4", Kind::Vector),
        ("x5", Kind::Vector),
        ("x6", Kind::Vector),
        ("x7", Kind::Vector),
        ("x8", Kind::Vector),
        ("model", Kind::Text),
        ("subject", Kind::Any),
    ],
};

const SUBJECT: usize = MOST_SPACES + 1;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        datafusion::logical_expr::DocSection {
            include: true,
            label: "Brain Functions",
            description: None,
        },
        "Predicts a brain from features, with a model made by `CREATE MODEL … USING ridge`: a vector with one element \
         per target, `(x - means) · coefficients + mean`. The features are those of the fit, in its order: one vector per feature \
         space. A model that was fitted per subject needs `subject`. NULL in, NULL out. The result's \
         field metadata says the model.",
        "ridge_predict(x [, x2, …], model => 'enc' [, subject => subject])",
    )
    .with_argument("x", "the features; with several feature spaces `x2`, …, up to `x8`, follow")
    .with_argument("model", "the model's name, a constant")
    .with_argument(
        "subject",
        "the subject's name, as in the fit; only for models fitted on a query with a column `subject`",
    )
    .with_sql_example(
        "```sql\nSELECT subject, run, tr, ridge_predict(embedding, model => 'enc', subject => subject) AS predicted FROM features;\n```",
    )
    .build()
});

/// The function, over the models of one database.
pub fn function(models: Arc<Models>) -> ScalarUDF {
    ScalarUDF::new_from_impl(RidgePredict {
        models,
        signature: PARAMETERS.signature(Volatility::Stable),
        loaded: Mutex::default(),
    })
}

/// The weights of the model that was used last, by content.
type Loaded = Option<(String, Arc<Vec<SubjectWeights>>)>;

struct RidgePredict {
    models: Arc<Models>,
    signature: Signature,
    loaded: Mutex<Loaded>,
}

impl fmt::Debug for RidgePredict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PARAMETERS.function)
    }
}

// One database has one such function.
impl PartialEq for RidgePredict {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.models, &other.models)
    }
}

impl Eq for RidgePredict {}

impl Hash for RidgePredict {
    fn hash<H: Hasher>(&self, state: &mut H) {
        PARAMETERS.function.hash(state);
    }
}

impl RidgePredict {
    fn describe(&self, arguments: &Arguments<'_>) -> Result<Description> {
        let name = arguments.required("model", arguments.str("model")?)?;
        let (kind, directory) = self.models.find(name)?;
        if kind != KIND {
            return exec_err!("ridge_predict: {name} is a model of kind {kind}, not {KIND}");
        }
        Description::read(&directory)
    }

    fn weights(&self, description: &Description) -> Result<Arc<Vec<SubjectWeights>>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((hash, weights)) = &*loaded
            && *hash == description.content_hash
        {
            return Ok(Arc::clone(weights));
        }
        let (_, directory) = self.models.find(&description.name)?;
        let weights = Arc::new(read_weights(&directory, description)?);
        *loaded = Some((description.content_hash.clone(), Arc::clone(&weights)));
        Ok(weights)
    }
}

impl ScalarUDFImpl for RidgePredict {
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
        exec_err!("ridge_predict: the type depends on the model")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let description = self.describe(&PARAMETERS.at_planning(args.scalar_arguments))?;
        check_spaces(&description, args.arg_fields, args.scalar_arguments)?;
        let field = Field::new(self.name(), vector_type(description.targets()), true);
        let metadata = [(MODEL_METADATA.to_string(), description.name)];
        Ok(Arc::new(field.with_metadata(metadata.into())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let description = self.describe(&PARAMETERS.of_scalar(&args.args))?;
        let weights = self.weights(&description)?;
        let rows = rows_of(&args.args);
        let mut spaces = Vec::with_capacity(description.spaces.len());
        for argument in args.args.iter().take(description.spaces.len()) {
            let vectors = Vectors::<Float32Type>::from_argument(self.name(), argument)?;
            spaces.push(vectors.fill_missing(f32::NAN));
        }
        let groups = by_subject(
            &description,
            &weights,
            &spaces,
            args.args.get(SUBJECT),
            rows,
        )?;

        let mut predicted: Vec<(Mat<f32>, usize)> = Vec::with_capacity(groups.len());
        let mut place = vec![None; rows];
        for (group, (subject, members)) in groups.into_iter().enumerate() {
            for (column, &row) in members.iter().enumerate() {
                place[row] = Some((group, column));
            }
            let subject = &weights[subject];
            let product = predict(&description, subject, &spaces, &members)?;
            predicted.push((product, subject.target_means.len()));
        }
        let mut out = VectorBuilder::new(PARAMETERS.function, description.targets(), rows);
        for place in place {
            match place {
                None => out.append_null(),
                Some((group, column)) => {
                    let (predicted, targets) = &predicted[group];
                    out.append(&predicted.col_as_slice(column)[..*targets])?;
                }
            }
        }
        result_of(&args.args, out.finish()?)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// Says at planning what is wrong with the feature spaces.
fn check_spaces(
    description: &Description,
    fields: &[FieldRef],
    constants: &[Option<&datafusion::common::ScalarValue>],
) -> Result<()> {
    let name = &description.name;
    let names: Vec<&str> = description.spaces.iter().map(|s| s.name.as_str()).collect();
    for i in 0..MOST_SPACES.min(fields.len()) {
        let left_out = constants[i].is_some_and(|value| value.is_null());
        let Some(space) = description.spaces.get(i) else {
            match left_out {
                true => continue,
                false => {
                    return exec_err!(
                        "ridge_predict: the model {name} has {} feature spaces ({}); there is one more here",
                        names.len(),
                        names.join(", ")
                    );
                }
            }
        };
        let field = &fields[i];
        if let Some(width) = vector_width(field.data_type())
            && width != space.width
        {
            return exec_err!(
                "ridge_predict: {} has {width} features, and {} of the model {name} has {}",
                field.name(),
                space.name,
                space.width
            );
        }
        if let (Some(made_by), Some(fitted)) = (field.metadata().get(MODEL_METADATA), &space.model)
            && made_by != fitted
        {
            return exec_err!(
                "ridge_predict: {} was made by the model {made_by}, and {name} was fitted on vectors of {fitted}",
                field.name()
            );
        }
    }
    if fields.len() < names.len() {
        return exec_err!(
            "ridge_predict: the model {name} needs {} feature spaces: {}",
            names.len(),
            names.join(", ")
        );
    }
    Ok(())
}

/// The rows of each subject, leaving out those with a NULL.
fn by_subject(
    description: &Description,
    weights: &[SubjectWeights],
    spaces: &[Vectors<Float32Type>],
    subject: Option<&ColumnarValue>,
    rows: usize,
) -> Result<BTreeMap<usize, Vec<usize>>> {
    let model = &description.name;
    let names = match (subject, description.subjects.is_empty()) {
        (Some(ColumnarValue::Scalar(value)), true) if value.is_null() => None,
        (None, true) => None,
        (Some(_), true) => {
            return exec_err!(
                "ridge_predict: the model {model} was not fitted per subject; leave subject out"
            );
        }
        (None, false) => {
            return exec_err!(
                "ridge_predict: the model {model} was fitted per subject; say which by subject => subject"
            );
        }
        (Some(argument), false) => Some(cast(&argument.to_array(rows)?, &DataType::Utf8)?),
    };
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for i in (0..rows).filter(|&i| !spaces.iter().any(|s| s.is_null(i))) {
        let subject = match &names {
            None => 0,
            Some(names) if names.is_null(i) => continue,
            Some(names) => {
                let name = names.as_string::<i32>().value(i);
                match weights.iter().position(|s| s.name.as_deref() == Some(name)) {
                    Some(subject) => subject,
                    None => {
                        return exec_err!(
                            "ridge_predict: the model {model} does not know subject {name}; it was fitted on {}",
                            description.subjects.join(", ")
                        );
                    }
                }
            }
        };
        groups.entry(subject).or_default().push(i);
    }
    Ok(groups)
}

/// Targets × rows, as one product of matrices.
fn predict(
    description: &Description,
    subject: &SubjectWeights,
    spaces: &[Vectors<Float32Type>],
    rows: &[usize],
) -> Result<Mat<f32>> {
    let features = subject.feature_means.len();
    let mut x = Mat::<f32>::zeros(features, rows.len());
    for (column, &row) in rows.iter().enumerate() {
        let mut out = x.col_as_slice_mut(column).iter_mut();
        let mut means = subject.feature_means.iter();
        for (space, vectors) in description.spaces.iter().zip(spaces) {
            let given = vectors.row(row).unwrap_or_default();
            if given.len() != space.width {
                return exec_err!(
                    "ridge_predict: a vector has {} features, and {} of the model {} has {}",
                    given.len(),
                    space.name,
                    description.name,
                    space.width
                );
            }
            for (value, (out, mean)) in given.iter().zip(out.by_ref().zip(means.by_ref())) {
                *out = value - mean;
            }
        }
    }
    let mut predicted = Mat::<f32>::zeros(subject.target_means.len(), rows.len());
    let coefficients = subject.coefficients.transpose();
    matmul(
        &mut predicted,
        Accum::Replace,
        coefficients,
        &x,
        1.0,
        Par::Seq,
    );
    for column in 0..rows.len() {
        let targets = predicted.col_as_slice_mut(column).iter_mut();
        targets
            .zip(&subject.target_means)
            .for_each(|(v, mean)| *v += mean);
    }
    Ok(predicted)
}
