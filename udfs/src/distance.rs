//! Distances of two vectors: `cosine_distance`, `l2_distance`, `inner_product`.
//!
//! `cosine_distance` and `inner_product` take the place of DataFusion's functions of
//! these names, which first copy both sides into lists of Float64.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, ArrowPrimitiveType, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

use crate::args::{Kind, Parameters, result_of};
use crate::identity::comparable;
use crate::kernels::dot::{cosine, dot, euclidean, norm};
use crate::vectors::{Vectors, element_type, fits_f32, vector_width};

/// The scalar function `cosine_distance`.
pub fn cosine_distance() -> ScalarUDF {
    Distance::udf(Metric::Cosine)
}

/// The scalar function `l2_distance`.
pub fn l2_distance() -> ScalarUDF {
    Distance::udf(Metric::Euclidean)
}

/// The scalar function `inner_product`.
pub fn inner_product() -> ScalarUDF {
    Distance::udf(Metric::InnerProduct)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Metric {
    Cosine,
    Euclidean,
    InnerProduct,
}

impl Metric {
    fn parameters(self) -> Parameters {
        Parameters {
            function: match self {
                Metric::Cosine => "cosine_distance",
                Metric::Euclidean => "l2_distance",
                Metric::InnerProduct => "inner_product",
            },
            required: 2,
            list: &[("vector1", Kind::Vector), ("vector2", Kind::Vector)],
        }
    }

    fn aliases(self) -> &'static [&'static str] {
        match self {
            Metric::Cosine => &[],
            Metric::Euclidean => &["euclidean_distance"],
            Metric::InnerProduct => &["dot_product"],
        }
    }

    /// The metric of `a` and `b`, whose norms are given for those that need them.
    fn between<A, B>(self, a: &[A], b: &[B], norm_b: f64) -> f64
    where
        A: Copy + Into<f64>,
        B: Copy + Into<f64>,
    {
        match self {
            Metric::Cosine => cosine(dot(a, b), norm(a), norm_b),
            Metric::Euclidean => euclidean(a, b),
            Metric::InnerProduct => dot(a, b),
        }
    }

    fn norm<A: Copy + Into<f64>>(self, a: &[A]) -> f64 {
        match self {
            Metric::Cosine => norm(a),
            Metric::Euclidean | Metric::InnerProduct => 0.0,
        }
    }

    fn documentation(self) -> &'static Documentation {
        static COSINE: LazyLock<Documentation> = LazyLock::new(|| {
            document(
                "The cosine distance of two vectors, `1 - cos`: 0 for one direction, 1 for a right angle, 2 for opposite ones. \
A zero vector is at distance 1 from everything, as in scikit-learn.",
                "cosine_distance(vector1, vector2)",
            )
            .with_sql_example(
                "```sql\n> SELECT text FROM annotations ORDER BY cosine_distance(embedding, [0.1, 0.7, 0.2]) LIMIT 3;\n```",
            )
            .build()
        });
        static EUCLIDEAN: LazyLock<Documentation> = LazyLock::new(|| {
            document(
                "The Euclidean (L2) distance of two vectors.",
                "l2_distance(vector1, vector2)",
            )
            .build()
        });
        static INNER_PRODUCT: LazyLock<Documentation> = LazyLock::new(|| {
            document(
                "The inner (dot) product of two vectors. Of normalised vectors it is the cosine: larger is nearer.",
                "inner_product(vector1, vector2)",
            )
            .build()
        });
        match self {
            Metric::Cosine => &COSINE,
            Metric::Euclidean => &EUCLIDEAN,
            Metric::InnerProduct => &INNER_PRODUCT,
        }
    }
}

fn document(what: &str, syntax: &str) -> datafusion::logical_expr::DocumentationBuilder {
    let rules = "Computed in double precision. A NULL vector, or a missing (NULL) element, gives NULL; NaN gives NaN. \
Vectors of unequal width, and embeddings made by two models, are errors.";
    let section = DocSection {
        include: true,
        label: "Vector Functions",
        description: None,
    };
    Documentation::builder(section, format!("{what} {rules}"), syntax)
        .with_argument("vector1", "A list of numbers of any list type.")
        .with_argument(
            "vector2",
            "Another one of the same width; a constant is prepared once.",
        )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Distance {
    metric: Metric,
    signature: Signature,
    aliases: Vec<String>,
}

impl ScalarUDFImpl for Distance {
    fn name(&self) -> &str {
        self.metric.parameters().function
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.metric.parameters().coerce(arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let [one, other] = args.arg_fields {
            let widths = vector_width(one.data_type()).zip(vector_width(other.data_type()));
            if let Some((one, other)) = widths
                && one != other
            {
                return plan_err!("{}", unequal(self.name(), one, other));
            }
            comparable(self.name(), one, other)?;
        }
        Ok(Arc::new(Field::new(self.name(), DataType::Float64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [one, other] = args.args.as_slice() else {
            return exec_err!("{} takes two vectors", self.name());
        };
        // All three are symmetric: the constant, if there is one, goes second.
        let (rows, query) = match (one, other) {
            (ColumnarValue::Scalar(_), ColumnarValue::Array(_)) => (other, one),
            _ => (one, other),
        };
        let single = |side: &ColumnarValue| element_type(&side.data_type()).is_some_and(fits_f32);
        let constant = matches!(query, ColumnarValue::Scalar(_));
        let distances = match (single(rows), constant, single(query)) {
            (true, true, _) => self.to_query::<Float32Type>(rows, query)?,
            (false, true, _) => self.to_query::<Float64Type>(rows, query)?,
            (true, false, true) => self.by_row::<Float32Type>(rows, query)?,
            _ => self.by_row::<Float64Type>(rows, query)?,
        };
        result_of(&args.args, distances)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(self.metric.documentation())
    }
}

impl Distance {
    fn udf(metric: Metric) -> ScalarUDF {
        let aliases = metric.aliases().iter().map(|a| (*a).into()).collect();
        let signature = metric.parameters().signature(Volatility::Immutable);
        ScalarUDF::from(Self {
            metric,
            signature,
            aliases,
        })
    }

    /// The distances of all rows to one vector.
    fn to_query<T>(&self, rows: &ColumnarValue, query: &ColumnarValue) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType,
        T::Native: Into<f64>,
    {
        let query = Vectors::<Float64Type>::from_argument(self.name(), query)?;
        let rows = Vectors::<T>::from_argument(self.name(), rows)?;
        let Some(query) = whole(&query, 0) else {
            return Ok(Arc::new(Float64Array::new_null(rows.len())));
        };
        let norm = self.metric.norm(query);
        self.each(rows.len(), |i| {
            whole(&rows, i).map(|row| {
                (
                    row.len(),
                    query.len(),
                    self.metric.between(row, query, norm),
                )
            })
        })
    }

    /// The distances of two columns, row by row.
    fn by_row<T>(&self, one: &ColumnarValue, other: &ColumnarValue) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType,
        T::Native: Into<f64>,
    {
        let one = Vectors::<T>::from_argument(self.name(), one)?;
        let other = Vectors::<T>::from_argument(self.name(), other)?;
        self.each(one.len(), |i| {
            let (a, b) = whole(&one, i).zip(whole(&other, i))?;
            Some((
                a.len(),
                b.len(),
                self.metric.between(a, b, self.metric.norm(b)),
            ))
        })
    }

    /// Collects the distances of `rows` pairs, each given with both widths.
    fn each(
        &self,
        rows: usize,
        distance: impl Fn(usize) -> Option<(usize, usize, f64)>,
    ) -> Result<ArrayRef> {
        let mut distances = Float64Array::builder(rows);
        for i in 0..rows {
            match distance(i) {
                None => distances.append_null(),
                Some((one, other, distance)) if one == other => distances.append_value(distance),
                Some((one, other, _)) => return exec_err!("{}", unequal(self.name(), one, other)),
            }
        }
        Ok(Arc::new(distances.finish()))
    }
}

/// Row `i` unless it is NULL or an element is missing.
fn whole<T: ArrowPrimitiveType>(vectors: &Vectors<T>, i: usize) -> Option<&[T::Native]> {
    vectors.row(i).filter(|_| vectors.missing(i).is_none())
}

fn unequal(function: &str, one: usize, other: usize) -> String {
    format!(
        "{function}: cannot compare vectors of {one} and of {other} elements; both must have one width"
    )
}
