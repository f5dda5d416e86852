//! Distances of two vectors: `cosine_distance`, `l2_distance`, `sqeuclidean_distance`, `l1_distance`,
//! `correlation_distance`, and `inner_product`.
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
use crate::kernels::dot::dot;
use crate::kernels::metric::{Measure, Metric};
use crate::vectors::{Vectors, element_type, fits_f32, vector_width};

/// The scalar function `cosine_distance`.
pub fn cosine_distance() -> ScalarUDF {
    Distance::udf(Metric::Cosine, "cosine_distance", &[])
}

/// The scalar function `l2_distance`.
pub fn l2_distance() -> ScalarUDF {
    Distance::udf(Metric::L2, "l2_distance", &["euclidean_distance"])
}

/// The scalar function `sqeuclidean_distance`.
pub fn sqeuclidean_distance() -> ScalarUDF {
    Distance::udf(Metric::SquaredL2, "sqeuclidean_distance", &[])
}

/// The scalar function `l1_distance`.
pub fn l1_distance() -> ScalarUDF {
    Distance::udf(Metric::L1, "l1_distance", &["manhattan_distance"])
}

/// The scalar function `correlation_distance`.
pub fn correlation_distance() -> ScalarUDF {
    Distance::udf(Metric::Correlation, "correlation_distance", &[])
}

/// The scalar function `inner_product`.
pub fn inner_product() -> ScalarUDF {
    Distance::udf(Metric::InnerProduct, "inner_product", &["dot_product"])
}

/// The documentation of a metric's function.
fn documentation(metric: Metric) -> &'static Documentation {
    static COSINE: LazyLock<Documentation> = LazyLock::new(|| {
        document(
            "The cosine distance of two vectors, `1 - cos`: 0 for one direction, 1 for a right angle, 2 for opposite ones. \
A zero vector is at distance 1 from everything, as in scikit-learn. Of vectors, `a <=> b` is the same, as in pgvector.",
            "cosine_distance(vector1, vector2)",
        )
        .with_sql_example(
            "```sql\n> SELECT text FROM annotations ORDER BY cosine_distance(embedding, [0.1, 0.7, 0.2]) LIMIT 3;\n```",
        )
        .build()
    });
    static L2: LazyLock<Documentation> = LazyLock::new(|| {
        document(
            "The Euclidean (L2) distance of two vectors. `a <-> b` is the same.",
            "l2_distance(vector1, vector2)",
        )
        .build()
    });
    static SQUARED_L2: LazyLock<Documentation> = LazyLock::new(|| {
        document(
            "The square of the Euclidean distance of two vectors.",
            "sqeuclidean_distance(vector1, vector2)",
        )
        .build()
    });
    static L1: LazyLock<Documentation> = LazyLock::new(|| {
        document(
            "The Manhattan (L1) distance of two vectors, the sum of absolute differences. `a <+> b` is the same.",
            "l1_distance(vector1, vector2)",
        )
        .build()
    });
    static CORRELATION: LazyLock<Documentation> = LazyLock::new(|| {
        document(
            "The correlation distance of two vectors, `1 - r`: the cosine distance of the vectors less their means. A vector \
whose elements are all equal is at distance 1 from everything.",
            "correlation_distance(vector1, vector2)",
        )
        .build()
    });
    static INNER_PRODUCT: LazyLock<Documentation> = LazyLock::new(|| {
        document(
            "The inner (dot) product of two vectors. Of normalised vectors it is the cosine: larger is nearer. \
`a <#> b` is its negative, as in pgvector, so that smaller is nearer.",
            "inner_product(vector1, vector2)",
        )
        .build()
    });
    match metric {
        Metric::Cosine => &COSINE,
        Metric::L2 => &L2,
        Metric::SquaredL2 => &SQUARED_L2,
        Metric::L1 => &L1,
        Metric::Correlation => &CORRELATION,
        Metric::InnerProduct => &INNER_PRODUCT,
    }
}

fn parameters(function: &'static str) -> Parameters {
    Parameters {
        function,
        required: 2,
        list: &[("vector1", Kind::Vector), ("vector2", Kind::Vector)],
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
    name: &'static str,
    signature: Signature,
    aliases: Vec<String>,
}

impl ScalarUDFImpl for Distance {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        parameters(self.name).coerce(arg_types)
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
        // All are symmetric: the constant, if there is one, goes second.
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
        Some(documentation(self.metric))
    }
}

impl Distance {
    fn udf(metric: Metric, name: &'static str, aliases: &[&str]) -> ScalarUDF {
        ScalarUDF::from(Self {
            metric,
            name,
            signature: parameters(name).signature(Volatility::Immutable),
            aliases: aliases.iter().map(|alias| (*alias).into()).collect(),
        })
    }

    fn between<A, B>(&self, a: &[A], b: &[B], of_b: &Measure) -> f64
    where
        A: Copy + Into<f64>,
        B: Copy + Into<f64>,
    {
        match self.metric {
            // As it is called: not negated.
            Metric::InnerProduct => dot(a, b),
            metric => metric.distance_to(a, b, of_b),
        }
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
        let of_query = Measure::of(self.metric, query);
        self.each(rows.len(), |i| {
            let row = whole(&rows, i)?;
            Some((row.len(), query.len(), self.between(row, query, &of_query)))
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
            let of_b = Measure::of(self.metric, b);
            Some((a.len(), b.len(), self.between(a, b, &of_b)))
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
