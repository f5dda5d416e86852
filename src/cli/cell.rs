//! How one value looks in a table on the screen.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};

use crate::session::{DECIMALS, SHORT};

/// Lists up to this length are shown whole.
const WHOLE: usize = 8;

/// How many elements of a longer list are shown: `[0.12, 0.98, … ×80]`.
const SHOWN: usize = 2;

/// Bytes of a binary value that are shown.
const SHOWN_BYTES: usize = 16;

const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_null("NULL")
    .with_display_error(true)
    .with_duration_format(DurationFormat::Pretty);

/// Where a value stands decides how many digits a number gets: all of them in a
/// column of its own, about three inside a vector.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Column,
    Vector,
}

/// The text of each row of a column, as its field asks for.
pub fn cells_of(field: &Field, column: &ArrayRef) -> Result<Vec<String>, ArrowError> {
    let decimals = field.metadata().get(DECIMALS).and_then(|n| n.parse().ok());
    match (decimals, field.metadata().contains_key(SHORT)) {
        (Some(decimals), _) if field.data_type().is_floating() => {
            numbers(column, |value| format!("{value:.*}", decimals))
        }
        (_, true) if field.data_type().is_floating() => numbers(column, short_number),
        _ => cells(column),
    }
}

/// The text of each row of a column. Text may hold line breaks; every other
/// control character is escaped, so that data cannot drive the terminal.
pub fn cells(column: &ArrayRef) -> Result<Vec<String>, ArrowError> {
    texts(column, Place::Column)
}

fn texts(column: &ArrayRef, place: Place) -> Result<Vec<String>, ArrowError> {
    if let Some(lists) = list_items(column) {
        return each_row(column, |row| list(&lists(row)));
    }
    match column.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 if place == Place::Vector => {
            numbers(column, short_number)
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => {
            let bytes = cast(column, &DataType::LargeBinary)?;
            let bytes = bytes.as_binary::<i64>();
            each_row(column, |row| Ok(hexadecimal(bytes.value(row))))
        }
        DataType::Struct(fields) => {
            let columns = column
                .as_struct()
                .columns()
                .iter()
                .map(|child| texts(child, place))
                .collect::<Result<Vec<_>, _>>()?;
            each_row(column, |row| {
                let parts: Vec<String> = fields
                    .iter()
                    .zip(&columns)
                    .map(|(field, texts)| format!("{}: {}", field.name(), texts[row]))
                    .collect();
                Ok(format!("{{{}}}", parts.join(", ")))
            })
        }
        DataType::Map(_, _) => {
            let map = column.as_map();
            each_row(column, |row| {
                let entries = map.value(row);
                let shown = shown(entries.len());
                let keys = texts(&entries.column(0).slice(0, shown), place)?;
                let values = texts(&entries.column(1).slice(0, shown), place)?;
                let parts = keys.iter().zip(&values).map(|(k, v)| format!("{k}: {v}"));
                Ok(format!("{{{}}}", shortened(parts.collect(), entries.len())))
            })
        }
        _ => {
            let formatter = ArrayFormatter::try_new(column, &OPTIONS)?;
            Ok((0..column.len())
                .map(|row| escaped(formatter.value(row).to_string()))
                .collect())
        }
    }
}

/// A function that gives a row's elements, where the column is of a list type.
fn list_items(column: &ArrayRef) -> Option<Box<dyn Fn(usize) -> ArrayRef + '_>> {
    match column.data_type() {
        DataType::List(_) => Some(Box::new(|row| column.as_list::<i32>().value(row))),
        DataType::LargeList(_) => Some(Box::new(|row| column.as_list::<i64>().value(row))),
        DataType::FixedSizeList(_, _) => {
            Some(Box::new(|row| column.as_fixed_size_list().value(row)))
        }
        DataType::ListView(_) => Some(Box::new(|row| column.as_list_view::<i32>().value(row))),
        DataType::LargeListView(_) => Some(Box::new(|row| column.as_list_view::<i64>().value(row))),
        _ => None,
    }
}

fn each_row(
    column: &ArrayRef,
    text: impl Fn(usize) -> Result<String, ArrowError>,
) -> Result<Vec<String>, ArrowError> {
    (0..column.len())
        .map(|row| match column.is_null(row) {
            true => Ok("NULL".to_owned()),
            false => text(row),
        })
        .collect()
}

fn numbers(column: &ArrayRef, text: impl Fn(f64) -> String) -> Result<Vec<String>, ArrowError> {
    let numbers = cast(column, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    each_row(column, |row| Ok(text(numbers.value(row))))
}

/// Only the elements that are shown are formatted: a whole-brain row has 230,000.
fn list(items: &ArrayRef) -> Result<String, ArrowError> {
    let parts = texts(&items.slice(0, shown(items.len())), Place::Vector)?;
    Ok(format!("[{}]", shortened(parts, items.len())))
}

fn shown(length: usize) -> usize {
    if length <= WHOLE { length } else { SHOWN }
}

fn shortened(parts: Vec<String>, length: usize) -> String {
    let mut text = parts.join(", ");
    if parts.len() < length {
        text.push_str(&format!(", … ×{length}"));
    }
    text
}

/// A number with three significant digits, and with all digits before the point
/// up to a million: a sampling rate of 22050 in a list must not become 22100.
fn short_number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if !value.is_finite() || !(1e-4..1e6).contains(&size) {
        return match value.is_finite() {
            true => trimmed(format!("{value:.2e}")),
            false => value.to_string(),
        };
    }
    let decimals = (2 - size.log10().floor() as i32).max(0) as usize;
    trimmed(format!("{value:.decimals$}"))
}

/// Without the zeros that end a fraction: `0.500` is `0.5`, `1.00e9` is `1e9`.
fn trimmed(number: String) -> String {
    let (digits, exponent) = match number.find('e') {
        Some(at) => number.split_at(at),
        None => (number.as_str(), ""),
    };
    if !digits.contains('.') {
        return number;
    }
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}{exponent}")
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text: String = bytes
        .iter()
        .take(SHOWN_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if bytes.len() > SHOWN_BYTES {
        text.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    text
}

fn escaped(text: String) -> String {
    if !text.contains(|c: char| c.is_control() && c != '\n') {
        return text;
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c.is_control() && c != '\n' {
            true => clean.extend(c.escape_default()),
            false => clean.push(c),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, ListArray,
        StringArray, StructArray,
    };
    use arrow::datatypes::{Float32Type, Int64Type};

    use super::*;

    fn shown(array: impl Array + 'static) -> Vec<String> {
        cells(&(Arc::new(array) as ArrayRef)).unwrap()
    }

    #[test]
    fn numbers_in_columns_keep_all_their_digits() {
        assert_eq!(
            shown(Float64Array::from(vec![
                Some(0.1),
                Some(22050.0),
                Some(1.0 / 3.0),
                None
            ])),
            ["0.1", "22050.0", "0.3333333333333333", "NULL"]
        );
        assert_eq!(
            shown(Float32Array::from(vec![0.1, f32::NAN])),
            ["0.1", "NaN"]
        );
        assert_eq!(shown(Int64Array::from(vec![-7])), ["-7"]);
    }

    #[test]
    fn a_column_may_ask_for_fewer_digits() {
        let shown = |key: &str, value: &str| {
            let metadata = [(key.to_string(), value.to_string())].into();
            let field = Field::new("x", DataType::Float64, true).with_metadata(metadata);
            let column: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0 / 3.0), None]));
            cells_of(&field, &column).unwrap()
        };
        assert_eq!(shown(DECIMALS, "2"), ["0.33", "NULL"]);
        assert_eq!(shown(SHORT, ""), ["0.333", "NULL"]);
        assert_eq!(shown("other", ""), ["0.3333333333333333", "NULL"]);
    }

    #[test]
    fn long_vectors_are_shortened() {
        let long = (0..80)
            .map(|i| Some(0.12345 + i as f32))
            .collect::<Vec<_>>();
        let short = vec![Some(0.5f32), None, Some(-1e-9)];
        let lists =
            ListArray::from_iter_primitive::<Float32Type, _, _>([Some(long), Some(short), None]);
        assert_eq!(
            shown(lists),
            ["[0.123, 1.12, … ×80]", "[0.5, NULL, -1e-9]", "NULL"]
        );
    }

    #[test]
    fn lists_of_lists_are_shortened_within() {
        let inner = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
            (0..20).map(|i| Some(vec![Some(i as f32); 9])),
            9,
        );
        let field = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
        let outer = FixedSizeListArray::new(field, 10, Arc::new(inner), None);
        assert_eq!(
            shown(outer),
            [
                "[[0, 0, … ×9], [1, 1, … ×9], … ×10]",
                "[[10, 10, … ×9], [11, 11, … ×9], … ×10]"
            ]
        );
    }

    #[test]
    fn integers_in_lists_are_exact() {
        let delays =
            ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1234567), Some(3)])]);
        assert_eq!(shown(delays), ["[1234567, 3]"]);
    }

    #[test]
    fn short_numbers() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (0.5, "0.5"),
            (0.98765, "0.988"),
            (-12.345, "-12.3"),
            (22050.0, "22050"),
            (999999.4, "999999"),
            (1.5e9, "1.5e9"),
            (1e-9, "1e-9"),
            (0.00012345, "0.000123"),
            (100.0, "100"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            assert_eq!(short_number(value), text);
        }
    }

    #[test]
    fn text_cannot_drive_the_terminal() {
        assert_eq!(
            shown(StringArray::from(vec![
                "a\u{1b}[2Jb",
                "two\nlines",
                "tab\there"
            ])),
            ["a\\u{1b}[2Jb", "two\nlines", "tab\\there"]
        );
    }

    #[test]
    fn bytes_and_structs() {
        assert_eq!(
            shown(BinaryArray::from_vec(vec![b"\x01\xff", &[0; 20]])),
            ["01ff", "00000000000000000000000000000000… (20 bytes)"]
        );
        let parts = StructArray::from(vec![(
            Arc::new(Field::new("a", DataType::Int64, false)),
            Arc::new(Int64Array::from(vec![1])) as ArrayRef,
        )]);
        assert_eq!(shown(parts), ["{a: 1}"]);
    }
}
