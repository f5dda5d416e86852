//! `srm_transform(bold, subject, model => 'm')`, a subject's voxels into the shared space, and
//! `srm_inverse(shared, subject, model => 'm')`, the shared space into a subject's voxels.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use faer::Mat;
use voxql_udfs::args::{Kind as Argument, Parameters, result_of};
use voxql_udfs::kernels::srm::{robust, transform};
use voxql_udfs::identity::MODEL_METADATA;
use voxql_udfs::vectors::{VectorBuilder, Vectors, vector_type};

use super::options::{Kind, Options};
use super::stored::{SubjectMap, subjects};
use crate::models::store::{Description, Models};

/// Numbers that are worked on at a time.
const BLOCK: usize = 1 << 20;

/// What tells the two functions apart.
struct Direction {
    parameters: Parameters,
    documentation: LazyLock<Documentation>,
    inverse: bool,
}

const PARAMETERS: [(&str, Argument); 2] = [("subject", Argument::Any), ("model", Argument::Text)];

static TRANSFORM: Direction = Direction {
    parameters: Parameters {
        function: "srm_transform",
        required: 3,
        list: &[("x", Argument::Vector), PARAMETERS[0], PARAMETERS[1]],
    },
    documentation: LazyLock::new(|| {
        document(
            "Takes a subject's voxels into the shared space of a model made by `CREATE MODEL … USING srm` (or \
             `detsrm`, `rsrm`): W' (x - mean), with the subject's orthonormal map W and the voxel means of the fitted \
             TRs. A model made with `OPTIONS (demean false)` subtracts nothing, as BrainIAK's `transform`. With `rsrm` \
             the subject's own response is removed in as many steps as the fit had iterations. \
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
    }),
    inverse: false,
};

static INVERSE: Direction = Direction {
    parameters: Parameters {
        function: "srm_inverse",
        required: 3,
        list: &[("shared", Argument::Vector), PARAMETERS[0], PARAMETERS[1]],
    },
    documentation: LazyLock::new(|| {
        document(
            "Takes a shared response into the voxels of a subject, the opposite of `srm_transform`: W s + mean, \
             with the subject's orthonormal map W and the voxel means of the fitted TRs (`demean false`: no means). \
             With the transform of one subject and the inverse of another it predicts one brain from another. \
             NULL in, NULL out.",
            "srm_inverse(shared, subject, model => 'm')",
        )
        .with_argument("shared", "a response in the shared space")
        .with_argument("subject", "whose voxels are wanted, as in the fit")
        .with_argument("model", "the model's name")
        .with_sql_example(
            "```sql\nSELECT tr, srm_inverse(srm_transform(bold, '01', model => 'movie'), '02', model => 'movie') AS predicted\n\
             FROM bold WHERE subject = '01';\n```",
        )
        .build()
    }),
    inverse: true,
};

fn document(text: &str, syntax: &str) -> datafusion::logical_expr::DocumentationBuilder {
    let section = DocSection {
        include: true,
        label: "Brain Functions",
        description: None,
    };
    Documentation::builder(section, text, syntax)
}

/// `srm_transform`, over the models of one database.
pub fn srm_transform(models: Arc<Models>) -> ScalarUDF {
    ScalarUDF::new_from_impl(SrmFunction::new(models, &TRANSFORM))
}

/// `srm_inverse`, over the models of one database.
pub fn srm_inverse(models: Arc<Models>) -> ScalarUDF {
    ScalarUDF::new_from_impl(SrmFunction::new(models, &INVERSE))
}

struct SrmFunction {
    models: Arc<Models>,
    direction: &'static Direction,
    signature: Signature,
}

impl fmt::Debug for SrmFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// One database has one function of a name.
impl PartialEq for SrmFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.models, &other.models) && self.name() == other.name()
    }
}

impl Eq for SrmFunction {}

impl Hash for SrmFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl SrmFunction {
    fn new(models: Arc<Models>, direction: &'static Direction) -> Self {
        Self {
            models,
            direction,
            signature: direction.parameters.signature(Volatility::Stable),
        }
    }

    fn describe(&self, name: Option<&str>) -> Result<Description> {
        let function = self.name();
        let Some(name) = name else {
            return exec_err!("{function}: model must be the name of a model, not NULL");
        };
        let description = self.models.describe(name)?;
        match Kind::of(&description.kind) {
            Some(_) => Ok(description),
            None => exec_err!(
                "{function}: {name} is a model of kind {}, not a shared response model",
                description.kind
            ),
        }
    }

    /// The length of the results, where they have one.
    fn width(&self, description: &Description) -> Option<usize> {
        if !self.direction.inverse {
            return Some(description.features);
        }
        let first = description.voxels.first().copied();
        first.filter(|first| description.voxels.iter().all(|voxels| voxels == first))
    }
}

impl ScalarUDFImpl for SrmFunction {
    fn name(&self) -> &str {
        self.direction.parameters.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.direction.parameters.coerce(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        exec_err!("{}: the type depends on the model", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let constants = self.direction.parameters.at_planning(args.scalar_arguments);
        let description = self.describe(constants.str("model")?)?;
        let data_type = vector_type(self.width(&description));
        let field = Field::new(self.name(), data_type, true);
        // What is in the shared space says whose space it is.
        Ok(Arc::new(match self.direction.inverse {
            true => field,
            false => {
                let model = (MODEL_METADATA.to_string(), description.name);
                field.with_metadata([model].into())
            }
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constants = self.direction.parameters.of_scalar(&args.args);
        let description = self.describe(constants.str("model")?)?;
        let options: Options = description.options()?;
        let subjects = subjects(&self.models, &description)?;

        let arrays = ColumnarValue::values_to_arrays(&args.args[..2])?;
        let rows = arrays[0].len();
        let vectors =
            Vectors::<Float32Type>::try_new(self.name(), &arrays[0])?.fill_missing(f32::NAN);
        let names = cast(&arrays[1], &DataType::Utf8)?;
        let names = names.as_string::<i32>();

        let mut of_subject: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for i in 0..rows {
            if !vectors.is_null(i) && names.is_valid(i) {
                of_subject.entry(names.value(i)).or_default().push(i);
            }
        }
        let mut results: Vec<Option<Vec<f32>>> = vec![None; rows];
        for (name, rows) in of_subject {
            let Some(subject) = subjects.iter().find(|s| s.name == name) else {
                return exec_err!(
                    "{}: the model {} does not know subject {name}; it was fitted on {}",
                    self.name(),
                    description.name,
                    description.subjects.join(", ")
                );
            };
            let step = (BLOCK / subject.voxels.max(1)).max(1);
            for some in rows.chunks(step) {
                let input = self.matrix(&vectors, some, subject, &description)?;
                let output = match self.direction.inverse {
                    true => inverse(subject, &input, options),
                    false => forward(subject, input, options),
                };
                for (&row, column) in some.iter().zip(output.col_iter()) {
                    results[row] = Some(column.iter().map(|v| *v as f32).collect());
                }
            }
        }
        let mut out = VectorBuilder::new(
            self.direction.parameters.function,
            self.width(&description),
            rows,
        );
        for result in results {
            match result {
                Some(values) => out.append(&values)?,
                None => out.append_null(),
            }
        }
        result_of(&args.args, out.finish()?)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.direction.documentation)
    }
}

impl SrmFunction {
    /// Rows of one subject as the columns of a matrix.
    fn matrix(
        &self,
        vectors: &Vectors<Float32Type>,
        rows: &[usize],
        subject: &SubjectMap,
        description: &Description,
    ) -> Result<Mat<f64>> {
        let (wanted, of) = match self.direction.inverse {
            true => (subject.features(), "features"),
            false => (subject.voxels, "voxels"),
        };
        let mut matrix = Mat::zeros(wanted, rows.len());
        for (&row, column) in rows.iter().zip(matrix.col_iter_mut()) {
            let values = vectors.row(row).unwrap_or_default();
            if values.len() != wanted {
                return exec_err!(
                    "{}: subject {} has {} {of} here and {wanted} in the model {}; use the mask of the fit",
                    self.name(),
                    subject.name,
                    values.len(),
                    description.name
                );
            }
            let pairs = column.iter_mut().zip(values);
            pairs.for_each(|(to, from)| *to = f64::from(*from));
        }
        Ok(matrix)
    }
}

fn forward(subject: &SubjectMap, mut x: Mat<f64>, options: Options) -> Mat<f64> {
    if options.demean {
        for column in x.col_iter_mut() {
            let pairs = column.iter_mut().zip(&subject.mean);
            pairs.for_each(|(x, mean)| *x -= mean);
        }
    }
    match options.kind {
        Kind::Srm | Kind::Detsrm => transform(subject.w(), x.as_ref()),
        Kind::Rsrm => robust::transform(subject.w(), x.as_ref(), options.gamma, options.iterations),
    }
}

fn inverse(subject: &SubjectMap, shared: &Mat<f64>, options: Options) -> Mat<f64> {
    let mut x = subject.w() * shared;
    if options.demean {
        for column in x.col_iter_mut() {
            let pairs = column.iter_mut().zip(&subject.mean);
            pairs.for_each(|(x, mean)| *x += mean);
        }
    }
    x
}
