//! What is searched for, and which columns come out.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, plan_err};
use voxql_udfs::kernels::metric::Metric;
use voxql_udfs::vectors::{element_type, vector_width};

use super::relation::FUNCTION;

/// Columns beside those of the two sides.
pub const RANK: &str = "rank";
pub const DISTANCE: &str = "distance";

/// Before names of the base that the other side has, too.
pub const PREFIX: &str = "base_";

/// What is searched for. Columns are numbers of columns of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Search {
    pub metric: Metric,
    /// How many neighbours; all within the radius without it.
    pub k: Option<usize>,
    /// How far they may be, inclusive; never NaN.
    pub radius: Option<f64>,
    pub query_vector: usize,
    pub base_vector: usize,
    /// Rows with one value here are no neighbours of each other.
    pub exclude_self: Option<(usize, usize)>,
}

impl Eq for Search {}

impl Hash for Search {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let radius = self.radius.map(f64::to_bits);
        let vectors = (self.query_vector, self.base_vector);
        (self.metric, self.k, radius, vectors, self.exclude_self).hash(state);
    }
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(k) = self.k {
            write!(f, "k={k}, ")?;
        }
        write!(f, "metric={}", self.metric)?;
        if let Some(radius) = self.radius {
            write!(f, ", radius={radius}")?;
        }
        Ok(())
    }
}

impl Search {
    /// The columns that come out: those of the query side, those of the base side, without the vectors,
    /// rank and distance.
    ///
    /// # Errors
    /// Name the column whose name is not free.
    pub fn output(&self, query: &Fields, base: &Fields) -> Result<Vec<FieldRef>> {
        let mut output: Vec<FieldRef> = others(query, self.query_vector);
        for name in [RANK, DISTANCE] {
            if output.iter().any(|field| field.name() == name) {
                return plan_err!(
                    "{FUNCTION}: its result has a column {name} of its own; give the column {name} of the query \
                     another name, as in `{name} AS query_{name}`"
                );
            }
        }
        let of_query = output.clone();
        for field in others(base, self.base_vector) {
            let taken = |known: &FieldRef| known.name() == field.name();
            let renamed =
                of_query.iter().any(taken) || [RANK, DISTANCE].contains(&field.name().as_str());
            output.push(match renamed {
                true => Arc::new(
                    field
                        .as_ref()
                        .clone()
                        .with_name(format!("{PREFIX}{}", field.name())),
                ),
                false => field,
            });
        }
        output.push(Arc::new(Field::new(RANK, DataType::Int64, false)));
        output.push(Arc::new(Field::new(DISTANCE, DataType::Float64, false)));
        for (i, field) in output.iter().enumerate() {
            if output[..i].iter().any(|known| known.name() == field.name()) {
                return plan_err!(
                    "{FUNCTION}: two columns of the result would be called {}; give one of them another name with AS",
                    field.name()
                );
            }
        }
        Ok(output)
    }
}

/// The fields without the vector.
pub fn others(fields: &Fields, vector: usize) -> Vec<FieldRef> {
    let fields = fields.iter().enumerate().filter(|(i, _)| *i != vector);
    fields.map(|(_, field)| Arc::clone(field)).collect()
}

/// The vector column of a side: the one that is named, or the only one.
///
/// # Errors
/// Say which columns there are, and how to choose.
pub fn vector_column(
    fields: &Fields,
    side: &str,
    argument: &str,
    named: Option<&str>,
) -> Result<usize> {
    let is_vector = |field: &FieldRef| element_type(field.data_type()).is_some();
    if let Some(named) = named {
        return match fields.iter().position(|field| field.name() == named) {
            Some(at) if is_vector(&fields[at]) => Ok(at),
            Some(at) => plan_err!(
                "{FUNCTION}: {argument} must be a vector (a list of numbers), and {named} is {}",
                fields[at].data_type()
            ),
            None => plan_err!(
                "{FUNCTION}: the {side} has no column {named} ({argument}); it has: {}",
                names(fields.iter())
            ),
        };
    }
    let vectors: Vec<usize> = (0..fields.len())
        .filter(|i| is_vector(&fields[*i]))
        .collect();
    match vectors.as_slice() {
        [one] => Ok(*one),
        [] => plan_err!(
            "{FUNCTION}: the {side} has no vector (a list of numbers) among its columns: {}",
            names(fields.iter())
        ),
        several => plan_err!(
            "{FUNCTION}: the {side} has several vectors: {}; say which with {argument} => '…'",
            names(several.iter().map(|i| &fields[*i]))
        ),
    }
}

fn names<'a>(fields: impl Iterator<Item = &'a FieldRef>) -> String {
    fields
        .map(|field| field.name().as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Refuses vectors that cannot be compared.
///
/// # Errors
/// Name the widths, or the models.
pub fn check_vectors(query: &Field, base: &Field) -> Result<()> {
    if let (Some(one), Some(other)) = (
        vector_width(query.data_type()),
        vector_width(base.data_type()),
    ) && one != other
    {
        return plan_err!("{}", unequal("vectors of the base", other, one));
    }
    voxql_udfs::identity::comparable(FUNCTION, query, base)
}

/// What is said of a width that is not that of the queries.
pub fn unequal(what: &str, width: usize, queries: usize) -> String {
    format!(
        "{FUNCTION}: {what} have {width} elements, and the queries {queries}; both must have one width"
    )
}

/// The column by which rows know themselves on both sides.
///
/// # Errors
/// Name the side that has it not, or the types.
pub fn exclude_column(query: &Fields, base: &Fields, name: &str) -> Result<(usize, usize)> {
    let position = |fields: &Fields, side: &str| match fields.iter().position(|f| f.name() == name)
    {
        Some(at) => Ok(at),
        None => plan_err!(
            "{FUNCTION}: exclude_self names a column of both sides, and the {side} has no {name}; it has: {}",
            names(fields.iter())
        ),
    };
    let (of_query, of_base) = (position(query, "query")?, position(base, "base")?);
    let (one, other) = (query[of_query].data_type(), base[of_base].data_type());
    if one != other {
        return plan_err!(
            "{FUNCTION}: exclude_self: {name} is {one} in the query and {other} in the base; CAST one of them"
        );
    }
    sortable(&query[of_query])?;
    Ok((of_query, of_base))
}

/// Refuses a column whose values have no order: by values, rows at one distance are told apart.
///
/// # Errors
/// Name the column.
pub fn sortable(field: &Field) -> Result<()> {
    match RowConverter::supports_fields(&[SortField::new(field.data_type().clone())]) {
        true => Ok(()),
        false => plan_err!(
            "{FUNCTION}: {} is {}, whose values have no order, by which neighbours at one distance are told \
             apart; leave the column out, and join it afterwards",
            field.name(),
            field.data_type()
        ),
    }
}
