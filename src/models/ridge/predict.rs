//! `ridge_predict(embedding, …, model => 'enc')`: the brain that an encoding model expects.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

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
use voxql_udfs::identity::{MODEL_METADATA, same_space};
use voxql_udfs::vectors::{VectorBuilder, Vectors, element_type, vector_type, vector_width};

use super::KIND;
use super::options::Settings;
use super::stored::{SubjectWeights, read_weights};
use crate::models::store::{Description, Models};

/// Feature spaces that a model may have: so many parameters are before `model`.
pub const MOST_SPACES: usize = 8;

const PARAMETERS: Parameters = Parameters {
    function: "ridge_predict",
    required: 1,
    // A later space that is left out is NULL, and keeps that type only as `Any`.
    list: &[
        ("x", Kind::Vector),
        ("x2", Kind::Any),
        ("x3", Kind::Any),
        ("x4", Kind::Any),
        ("x5", Kind::Any),
        ("x6", Kind::Any),
        ("x7", Kind::Any),
        ("x8", Kind::Any),
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
pub fn ridge_predict(models: Arc<Models>) -> ScalarUDF {
    ScalarUDF::new_from_impl(RidgePredict {
        models,
        signature: PARAMETERS.signature(Volatility::Stable),
    })
}

struct RidgePredict {
    models: Arc<Models>,
    signature: Signature,
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
    fn find(&self, arguments: &Arguments<'_>) -> Result<Model> {
        let name = arguments.required("model", arguments.str("model")?)?;
        let description = self.models.describe(name)?;
        if description.kind != KIND {
            return exec_err!(
                "ridge_predict: {name} is a model of kind {}, not {KIND}",
                description.kind
            );
        }
        let settings = description.options()?;
        Ok(Model {
            description,
            settings,
        })
    }
}

/// What a model is, without its numbers.
struct Model {
    description: Description,
    settings: Settings,
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
        let model = self.find(&PARAMETERS.at_planning(args.scalar_arguments))?;
        check_spaces(&model, args.arg_fields)?;
        let field = Field::new(
            self.name(),
            vector_type(model.description.same_voxels()),
            true,
        );
        let metadata = [(MODEL_METADATA.to_string(), model.description.name)];
        Ok(Arc::new(field.with_metadata(metadata.into())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let model = self.find(&PARAMETERS.of_scalar(&args.args))?;
        let weights = self.models.load(&model.description, |directory| {
            read_weights(directory, &model.description, &model.settings)
        })?;
        let rows = rows_of(&args.args);
        let mut spaces = Vec::with_capacity(model.settings.spaces.len());
        for argument in args.args.iter().take(model.settings.spaces.len()) {
            let vectors = Vectors::<Float32Type>::from_argument(self.name(), argument)?;
            spaces.push(vectors.fill_missing(f32::NAN));
        }
        let groups = by_subject(&model, &weights, &spaces, args.args.get(SUBJECT), rows)?;

        let mut predicted: Vec<(Mat<f32>, usize)> = Vec::with_capacity(groups.len());
        let mut place = vec![None; rows];
        for (group, (subject, members)) in groups.into_iter().enumerate() {
            for (column, &row) in members.iter().enumerate() {
                place[row] = Some((group, column));
            }
            let subject = &weights[subject];
            let product = predict(&model, subject, &spaces, &members)?;
            predicted.push((product, subject.target_means.len()));
        }
        let mut out =
            VectorBuilder::new(PARAMETERS.function, model.description.same_voxels(), rows);
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
fn check_spaces(model: &Model, fields: &[FieldRef]) -> Result<()> {
    let (name, spaces) = (&model.description.name, &model.settings.spaces);
    for (i, field) in fields.iter().take(MOST_SPACES).enumerate() {
        let space = spaces.get(i);
        let (space, data_type) = match (space, field.data_type()) {
            (None, DataType::Null) => continue,
            (None, _) => {
                return exec_err!(
                    "ridge_predict: the model {name} has {} feature spaces ({}); there is one more here",
                    spaces.len(),
                    model.settings.names()
                );
            }
            (Some(_), DataType::Null) => {
                return exec_err!(
                    "ridge_predict: the model {name} needs {} feature spaces: {}",
                    spaces.len(),
                    model.settings.names()
                );
            }
            (Some(space), data_type) => (space, data_type),
        };
        if element_type(data_type).is_none() {
            return exec_err!(
                "ridge_predict: {} must be a list of numbers, got {data_type}",
                field.name()
            );
        }
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
            && !same_space(made_by, fitted)
        {
            return exec_err!(
                "ridge_predict: {} was made by the model {made_by}, and {name} was fitted on vectors of {fitted}",
                field.name()
            );
        }
    }
    Ok(())
}

/// The rows of each subject, leaving out those with a NULL.
fn by_subject(
    model: &Model,
    weights: &[SubjectWeights],
    spaces: &[Vectors<Float32Type>],
    subject: Option<&ColumnarValue>,
    rows: usize,
) -> Result<BTreeMap<usize, Vec<usize>>> {
    let name = &model.description.name;
    let given = subject.filter(|s| !matches!(s, ColumnarValue::Scalar(value) if value.is_null()));
    let names = match (given, subject, model.description.has_subjects()) {
        (None, _, false) => None,
        (Some(_), _, false) => {
            return exec_err!(
                "ridge_predict: the model {name} was not fitted per subject; leave subject out"
            );
        }
        (None, None, true) => {
            return exec_err!(
                "ridge_predict: the model {name} was fitted per subject; say which by subject => subject"
            );
        }
        (_, Some(argument), true) | (Some(argument), None, true) => {
            Some(cast(&argument.to_array(rows)?, &DataType::Utf8)?)
        }
    };
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for i in (0..rows).filter(|&i| !spaces.iter().any(|s| s.is_null(i))) {
        let subject = match &names {
            None => 0,
            Some(names) if names.is_null(i) => continue,
            Some(names) => {
                let name = names.as_string::<i32>().value(i);
                match weights.iter().position(|s| s.name == name) {
                    Some(subject) => subject,
                    None => {
                        return exec_err!(
                            "ridge_predict: the model {} does not know subject {name}; it was fitted on {}",
                            model.description.name,
                            model.description.subjects.join(", ")
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
    model: &Model,
    subject: &SubjectWeights,
    spaces: &[Vectors<Float32Type>],
    rows: &[usize],
) -> Result<Mat<f32>> {
    let features = subject.feature_means.len();
    let mut x = Mat::<f32>::zeros(features, rows.len());
    for (column, &row) in rows.iter().enumerate() {
        let mut out = x.col_as_slice_mut(column).iter_mut();
        let mut means = subject.feature_means.iter();
        for (space, vectors) in model.settings.spaces.iter().zip(spaces) {
            let given = vectors.row(row).unwrap_or_default();
            if given.len() != space.width {
                return exec_err!(
                    "ridge_predict: a vector has {} features, and {} of the model {} has {}",
                    given.len(),
                    space.name,
                    model.description.name,
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
