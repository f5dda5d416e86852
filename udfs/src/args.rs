//! Arguments: what a function's parameters are called, and reading the constant ones.
//!
//! Each function declares one [`Parameters`] constant. It gives the signature with
//! parameter names (so that `tr => 1.49` works), checks number and types of the
//! arguments with one kind of error message, and reads those that must be constants,
//! at planning and at run time, for scalar, aggregate and window functions alike.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, Signature, TypeSignature, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::utils::collect_columns;

use crate::vectors::element_type;

/// What a parameter accepts. NULL is accepted by all; for an optional constant it
/// means the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any number type; left as it is.
    Number,
    /// Any number type, read as a whole number.
    Integer,
    /// Any string type; given to the function as Utf8.
    Text,
    /// Any string type, or a list of strings, read as a constant.
    Texts,
    /// A boolean.
    Flag,
    /// A list of numbers, read as a constant.
    Numbers,
    /// A list of numbers of any list type, usually a column; left as it is. NULL
    /// becomes `List<Float32>`.
    Vector,
    /// Anything: the function looks for itself.
    Any,
}

/// The parameters of one function, in order.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// The function's name in SQL.
    pub function: &'static str,
    /// How many of the first parameters must be given.
    pub required: usize,
    /// Names and kinds; the optional ones come last.
    pub list: &'static [(&'static str, Kind)],
}

impl Parameters {
    /// A signature with these names, whose types the function checks in
    /// `coerce_types` by [`Self::coerce`].
    pub fn signature(&self, volatility: Volatility) -> Signature {
        let mut signature = Signature::new(TypeSignature::UserDefined, volatility);
        signature.parameter_names =
            Some(self.list.iter().map(|(name, _)| (*name).into()).collect());
        signature
    }

    /// Checks number and types of the arguments and gives the types the function
    /// will see.
    ///
    /// Literals of the usual types (Int64, Float64, Utf8) keep theirs: a cast would
    /// hide them from planning until the optimizer has folded it, and a type that
    /// depends on them would change under way.
    ///
    /// # Errors
    /// Name the function, the argument and what it must be.
    pub fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let function = self.function;
        if let Some((missing, _)) = self.list[..self.required].get(types.len()) {
            return plan_err!(
                "{function}: the argument {missing} is missing; it is called as {}",
                self.usage()
            );
        }
        if types.len() > self.list.len() {
            return plan_err!(
                "{function}: {} arguments are too many; it is called as {}",
                types.len(),
                self.usage()
            );
        }
        self.list
            .iter()
            .zip(types)
            .map(|((name, kind), given)| match kind.coerce(given) {
                Some(coerced) => Ok(coerced),
                None => plan_err!(
                    "{function}: {name} must be {}, got {given}",
                    kind.description()
                ),
            })
            .collect()
    }

    /// The constants among the arguments of `return_field_from_args`.
    ///
    /// At planning only bare literals are known: `1 + 1` or `[2, 3]` are not yet.
    pub fn at_planning<'a>(&self, scalar_arguments: &[Option<&'a ScalarValue>]) -> Arguments<'a> {
        let values = scalar_arguments
            .iter()
            .map(|value| value.map(Cow::Borrowed))
            .collect();
        Arguments {
            parameters: *self,
            values,
        }
    }

    /// The constants among the arguments of a scalar function at run time.
    pub fn of_scalar<'a>(&self, args: &'a [ColumnarValue]) -> Arguments<'a> {
        let values = args
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Scalar(value) => Some(Cow::Borrowed(value)),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        Arguments {
            parameters: *self,
            values,
        }
    }

    /// The constants among the physical expressions that an aggregate
    /// (`AccumulatorArgs::exprs`) or window function (`input_exprs()`) is given.
    ///
    /// # Errors
    /// When a constant expression fails, as `1 / 0` does.
    pub fn of_expressions(&self, exprs: &[Arc<dyn PhysicalExpr>]) -> Result<Arguments<'static>> {
        let values = exprs
            .iter()
            .map(|expr| Ok(constant(expr)?.map(Cow::Owned)))
            .collect::<Result<_>>()?;
        Ok(Arguments {
            parameters: *self,
            values,
        })
    }

    /// `tr_index(time, tr [, start])`
    fn usage(&self) -> String {
        let names: Vec<&str> = self.list.iter().map(|(name, _)| *name).collect();
        let (required, optional) = names.split_at(self.required);
        let mut usage = format!("{}({}", self.function, required.join(", "));
        for name in optional {
            let separator = if usage.ends_with('(') { "" } else { ", " };
            usage.push_str(&format!(" [{separator}{name}]"));
        }
        usage.push(')');
        usage
    }
}

impl Kind {
    fn coerce(self, given: &DataType) -> Option<DataType> {
        let keep = || Some(given.clone());
        let is_text =
            |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        match (self, given) {
            (Kind::Any, _) => keep(),
            (Kind::Vector, DataType::Null) => Some(crate::vectors::vector_type(None)),
            (_, DataType::Null) => keep(),
            (Kind::Number | Kind::Integer, t) if t.is_numeric() => keep(),
            (Kind::Text | Kind::Texts, t) if is_text(t) => Some(DataType::Utf8),
            (Kind::Text | Kind::Texts, DataType::Dictionary(_, t)) if is_text(t) => {
                Some(DataType::Utf8)
            }
            (Kind::Texts, DataType::FixedSizeList(item, _)) if is_text(item.data_type()) => keep(),
            (Kind::Flag, DataType::Boolean) => keep(),
            (Kind::Numbers | Kind::Vector, t) if element_type(t).is_some() => keep(),
            _ => None,
        }
    }

    fn description(self) -> &'static str {
        match self {
            Kind::Number => "a number",
            Kind::Integer => "a whole number",
            Kind::Text | Kind::Texts => "a string",
            Kind::Flag => "true or false",
            Kind::Numbers => "a list of numbers",
            Kind::Vector => "a vector (a list of numbers)",
            Kind::Any => "a value",
        }
    }
}

/// Two lists of parameters as one of `N`, which is the sum of their lengths.
pub const fn joined<const N: usize>(
    first: &[(&'static str, Kind)],
    then: &[(&'static str, Kind)],
) -> [(&'static str, Kind); N] {
    assert!(N == first.len() + then.len());
    let mut list = [("", Kind::Any); N];
    let mut i = 0;
    while i < N {
        list[i] = if i < first.len() {
            first[i]
        } else {
            then[i - first.len()]
        };
        i += 1;
    }
    list
}

/// The constant arguments of one call, read by name.
///
/// Each reader gives None where the argument was left out or is NULL, and an error
/// where it is not a constant or of another kind.
pub struct Arguments<'a> {
    parameters: Parameters,
    /// None where the argument is not a constant.
    values: Vec<Option<Cow<'a, ScalarValue>>>,
}

impl Arguments<'_> {
    /// The name of the function, for messages.
    pub fn function(&self) -> &'static str {
        self.parameters.function
    }

    /// Whether the argument was given, not NULL, and as a constant.
    pub fn is_constant(&self, name: &str) -> bool {
        matches!(self.value(name), Ok(Some(_)))
    }

    /// A number.
    pub fn f64(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(name)? else {
            return Ok(None);
        };
        if value.data_type().is_numeric()
            && let ScalarValue::Float64(Some(number)) = value.cast_to(&DataType::Float64)?
        {
            return Ok(Some(number));
        }
        self.wrong(name, Kind::Number, value)
    }

    /// A whole number; `1024.0` is one, `0.5` is an error.
    pub fn i64(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.value(name)? else {
            return Ok(None);
        };
        if value.data_type().is_integer() {
            if let Ok(ScalarValue::Int64(Some(number))) = value.cast_to(&DataType::Int64) {
                return Ok(Some(number));
            }
        } else if let Ok(Some(number)) = self.f64(name)
            && number.fract() == 0.0
            && number.abs() < 2f64.powi(53)
        {
            return Ok(Some(number as i64));
        }
        self.wrong(name, Kind::Integer, value)
    }

    /// A whole number that counts something: zero or more.
    pub fn usize(&self, name: &str) -> Result<Option<usize>> {
        let Some(number) = self.i64(name)? else {
            return Ok(None);
        };
        match usize::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => exec_err!(
                "{}: {name} must be zero or more, got {number}",
                self.parameters.function
            ),
        }
    }

    /// A string.
    pub fn str(&self, name: &str) -> Result<Option<&str>> {
        let Some(value) = self.value(name)? else {
            return Ok(None);
        };
        match value.try_as_str() {
            Some(Some(text)) => Ok(Some(text)),
            _ => self.wrong(name, Kind::Text, value),
        }
    }

    /// One string or several: a string is a list of one.
    pub fn strs(&self, name: &str) -> Result<Option<Vec<String>>> {
        let texts = match self.value(name)? {
            Some(ScalarValue::FixedSizeList(list)) => list.value(0),
            Some(ScalarValue::List(list)) => list.value(0),
            _ => return Ok(self.str(name)?.map(|text| vec![text.to_string()])),
        };
        let texts = cast(&texts, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>().iter();
        Ok(Some(texts.flatten().map(str::to_string).collect()))
    }

    /// True or false.
    pub fn bool(&self, name: &str) -> Result<Option<bool>> {
        match self.value(name)? {
            None => Ok(None),
            Some(ScalarValue::Boolean(Some(flag))) => Ok(Some(*flag)),
            Some(value) => self.wrong(name, Kind::Flag, value),
        }
    }

    /// A list of numbers, none of them NULL.
    pub fn f64s(&self, name: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.value(name)? else {
            return Ok(None);
        };
        let list: ArrayRef = match value {
            ScalarValue::List(list) => list.value(0),
            ScalarValue::LargeList(list) => list.value(0),
            ScalarValue::FixedSizeList(list) => list.value(0),
            _ => return self.wrong(name, Kind::Numbers, value),
        };
        if list.null_count() > 0 || element_type(&value.data_type()).is_none() {
            return self.wrong(name, Kind::Numbers, value);
        }
        let numbers = cast(&list, &DataType::Float64)?;
        Ok(Some(
            numbers.as_primitive::<Float64Type>().values().to_vec(),
        ))
    }

    /// The value of an argument that must be there:
    /// `args.required("tr", args.f64("tr")?)?`.
    pub fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        match value {
            Some(value) => Ok(value),
            None => exec_err!(
                "{}: {name} must be given, and not NULL; it is called as {}",
                self.parameters.function,
                self.parameters.usage()
            ),
        }
    }

    fn value(&self, name: &str) -> Result<Option<&ScalarValue>> {
        let function = self.parameters.function;
        let list = self.parameters.list;
        let Some(index) = list.iter().position(|(known, _)| *known == name) else {
            return exec_err!("{function} has no parameter {name}");
        };
        match self.values.get(index) {
            None => Ok(None),
            Some(Some(value)) => Ok((!value.is_null()).then_some(value)),
            Some(None) => exec_err!(
                "{function}: {name} must be a constant, the same for all rows; it was given an expression"
            ),
        }
    }

    fn wrong<T>(&self, name: &str, kind: Kind, value: &ScalarValue) -> Result<T> {
        exec_err!(
            "{}: {name} must be {}, got {value}",
            self.parameters.function,
            kind.description()
        )
    }
}

/// A number argument as Float64 values: one a row, or one alone where it is a constant.
///
/// A Float32 stands for the decimal number that it prints as: a time of 18.72 s is
/// 18.72, not 18.719999313.
///
/// # Errors
/// When it is not of a number type.
pub fn numbers(argument: &ColumnarValue) -> Result<Float64Array> {
    let column = match argument {
        ColumnarValue::Array(column) => Arc::clone(column),
        ColumnarValue::Scalar(value) => value.to_array()?,
    };
    if let Some(singles) = column.as_primitive_opt::<Float32Type>() {
        let mut text = String::new();
        let mut printed = |single: f32| {
            text.clear();
            // Writing to a string cannot fail, and what it printed it parses.
            let _ = write!(text, "{single}");
            text.parse().unwrap_or(f64::from(single))
        };
        return Ok(singles.iter().map(|x| x.map(&mut printed)).collect());
    }
    Ok(cast(&column, &DataType::Float64)?
        .as_primitive::<Float64Type>()
        .clone())
}

/// What a scalar function gives back for `values`, of which there is one if all its
/// arguments were constants.
pub fn result_of(args: &[ColumnarValue], values: ArrayRef) -> Result<ColumnarValue> {
    let constant = args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
    if constant && values.len() == 1 {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
            &values, 0,
        )?));
    }
    Ok(ColumnarValue::Array(values))
}

/// The number of rows to compute: one if all arguments are constants.
pub fn rows_of(args: &[ColumnarValue]) -> usize {
    args.iter()
        .find_map(|arg| match arg {
            ColumnarValue::Array(column) => Some(column.len()),
            ColumnarValue::Scalar(_) => None,
        })
        .unwrap_or(1)
}

/// The value of an expression that needs no columns, and no query: that has not run yet.
fn constant(expr: &Arc<dyn PhysicalExpr>) -> Result<Option<ScalarValue>> {
    let has_query = expr.exists(|part| Ok(part.downcast_ref::<ScalarSubqueryExpr>().is_some()))?;
    if has_query || !collect_columns(expr).is_empty() {
        return Ok(None);
    }
    let one_row = RecordBatch::try_new_with_options(
        Arc::new(Schema::new(Vec::<Field>::new())),
        vec![],
        &RecordBatchOptions::new().with_row_count(Some(1)),
    )?;
    match expr.evaluate(&one_row)? {
        ColumnarValue::Scalar(value) => Ok(Some(value)),
        ColumnarValue::Array(values) => Ok(Some(ScalarValue::try_from_array(&values, 0)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::physical_expr::expressions::{Column, Literal};

    const PARAMETERS: Parameters = Parameters {
        function: "f",
        required: 2,
        list: &[
            ("x", Kind::Vector),
            ("tr", Kind::Number),
            ("n", Kind::Integer),
            ("model", Kind::Text),
            ("delays", Kind::Numbers),
        ],
    };

    fn message<T>(result: Result<T>) -> String {
        result.err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn arguments_are_checked_by_name() {
        let vector = crate::vectors::vector_type(Some(3));
        let coerced = PARAMETERS.coerce(&[DataType::Null, DataType::Int64]);
        assert_eq!(
            coerced.unwrap(),
            [crate::vectors::vector_type(None), DataType::Int64]
        );
        assert!(
            message(PARAMETERS.coerce(std::slice::from_ref(&vector))).contains(
                "f: the argument tr is missing; it is called as f(x, tr [, n] [, model] [, delays])"
            )
        );
        assert!(
            message(PARAMETERS.coerce(&[vector, DataType::Utf8]))
                .contains("f: tr must be a number, got Utf8")
        );
    }

    #[test]
    fn constants_are_read_by_name() {
        let exprs: Vec<Arc<dyn PhysicalExpr>> = vec![
            Arc::new(Column::new("x", 0)),
            Arc::new(Literal::new(ScalarValue::from(2i64))),
            Arc::new(Literal::new(ScalarValue::from(1024.0))),
            Arc::new(Literal::new(ScalarValue::Utf8(None))),
        ];
        let args = PARAMETERS.of_expressions(&exprs).unwrap();
        assert_eq!(args.f64("tr").unwrap(), Some(2.0));
        assert_eq!(args.i64("n").unwrap(), Some(1024));
        assert_eq!(args.str("model").unwrap(), None);
        assert_eq!(args.f64s("delays").unwrap(), None);
        assert!(message(args.f64("x")).contains("f: x must be a constant"));
        assert!(
            message(args.required("model", args.str("model").unwrap()))
                .contains("model must be given")
        );

        let half = ScalarValue::from(0.5);
        let text = ScalarValue::from("a");
        let args = PARAMETERS.at_planning(&[None, Some(&text), Some(&half)]);
        assert!(message(args.f64("tr")).contains("f: tr must be a number, got a"));
        assert!(message(args.i64("n")).contains("f: n must be a whole number, got 0.5"));
    }
}
