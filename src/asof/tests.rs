//! The merge against the definition, for batches of every size.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array, RecordBatch,
    StringArray,
};
use arrow::datatypes::{DataType, Field, Float32Type, Int64Type, Schema};
use arrow::row::RowConverter;
use proptest::prelude::*;

use super::clock::Clock;
use super::matching::{Direction, Matching};
use super::merge::{Merge, Output, Step};
use super::side::{Prepared, key_converter};

/// Key and time.
type Row = (Option<i64>, Option<i64>);

/// Columns k, t, and of the right side a number, a text and a vector that say which row it is.
fn batch(rows: &[Row], first: usize) -> RecordBatch {
    let ids = first..first + rows.len();
    let keys: Int64Array = rows.iter().map(|r| r.0).collect();
    let times: Int64Array = rows.iter().map(|r| r.1).collect();
    let texts: StringArray = ids.clone().map(|i| Some(format!("row {i}"))).collect();
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let floats: Float32Array = ids.clone().flat_map(|i| [i as f32, -1.0]).collect();
    let vectors = FixedSizeListArray::new(item, 2, Arc::new(floats), None);
    let numbers = Int64Array::from_iter_values(ids.map(|i| i as i64));
    RecordBatch::try_from_iter([
        ("k", Arc::new(keys) as ArrayRef),
        ("t", Arc::new(times)),
        ("id", Arc::new(numbers)),
        ("text", Arc::new(texts)),
        ("vector", Arc::new(vectors)),
    ])
    .unwrap()
}

struct Feed<'a> {
    rows: &'a [Row],
    size: usize,
    at: usize,
    keyed: bool,
    converter: &'a RowConverter,
}

impl Feed<'_> {
    fn next(&mut self) -> Option<Prepared> {
        let end = (self.at + self.size).min(self.rows.len());
        let batch = (self.at < end).then(|| batch(&self.rows[self.at..end], self.at))?;
        self.at = end;
        let times = Clock::Whole.read(batch.column(1)).unwrap();
        let keys = if self.keyed {
            &batch.columns()[..1]
        } else {
            &[]
        };
        Some(Prepared::new(batch.clone(), times, keys, self.converter).unwrap())
    }
}

struct Case<'a> {
    left: &'a [Row],
    right: &'a [Row],
    keyed: bool,
    matching: Matching,
    tolerance: Option<u64>,
}

impl Case<'_> {
    /// Which right row each left row gets, by the merge.
    fn merged(&self, left_size: usize, right_size: usize) -> Vec<Option<usize>> {
        let converter = key_converter([DataType::Int64].into_iter()).unwrap();
        let feed = |rows, size| Feed {
            rows,
            size,
            at: 0,
            keyed: self.keyed,
            converter: &converter,
        };
        let mut left = feed(self.left, left_size);
        let mut right = feed(self.right, right_size);
        let right_schema = batch(&[], 0).schema();
        let outputs = [
            Output::Left(2),
            Output::Right(2),
            Output::Right(3),
            Output::Right(4),
        ];
        let nullable = |i: usize, name| {
            let data_type = right_schema.field(i).data_type().clone();
            Field::new(name, data_type, true)
        };
        let schema = Schema::new(vec![
            nullable(2, "left"),
            nullable(2, "right"),
            nullable(3, "text"),
            nullable(4, "vector"),
        ]);
        let mut merge = Merge::new(
            self.matching,
            self.tolerance,
            outputs.to_vec(),
            Arc::new(schema),
            right_schema,
        );
        let mut found = Vec::new();
        loop {
            match merge.advance().unwrap() {
                Step::NeedLeft => match left.next() {
                    Some(rows) => merge.push_left(rows),
                    None => return found,
                },
                Step::NeedRight => match right.next() {
                    Some(rows) => merge.push_right(rows),
                    None => merge.finish_right(),
                },
                Step::Joined(batch) => {
                    assert!(batch.num_rows() > 0 && batch.num_rows() <= left_size);
                    let lefts = batch.column(0).as_primitive::<Int64Type>().values();
                    let rights = batch.column(1).as_primitive::<Int64Type>();
                    for (i, right) in rights.iter().enumerate() {
                        assert_eq!(lefts[i], found.len() as i64);
                        found.push(right.map(|id| id as usize));
                        let text = batch.column(2).as_string::<i32>();
                        let text = text.is_valid(i).then(|| text.value(i).to_string());
                        assert_eq!(text, right.map(|id| format!("row {id}")));
                        let vector = batch.column(3).as_fixed_size_list();
                        let vector = vector.is_valid(i).then(|| vector.value(i));
                        let vector = vector.map(|v| v.as_primitive::<Float32Type>().value(0));
                        assert_eq!(vector, right.map(|id| id as f32));
                    }
                }
            }
        }
    }

    /// The same by looking at every pair.
    fn defined(&self) -> Vec<Option<usize>> {
        let strict = self.matching.strict;
        self.left
            .iter()
            .map(|(key, time)| {
                let time = (*time)?;
                if self.keyed && key.is_none() {
                    return None;
                }
                let right = self.right.iter().enumerate();
                let candidates = right.filter_map(|(i, (k, t))| {
                    let near = |t: &i64| self.tolerance.is_none_or(|m| t.abs_diff(time) <= m);
                    let t = t.filter(near)?;
                    (!self.keyed || k == key).then_some((t, i))
                });
                let before = |t: i64| if strict { t < time } else { t <= time };
                let after = |t: i64| if strict { t > time } else { t >= time };
                let back = candidates.clone().filter(|c| before(c.0)).max();
                let ahead = candidates.filter(|c| after(c.0)).min();
                let found = match self.matching.direction {
                    Direction::Backward => back,
                    Direction::Forward => ahead,
                    Direction::Nearest => match (back, ahead) {
                        (Some(b), Some(a)) if time - b.0 <= a.0 - time => Some(b),
                        (back, None) => back,
                        (_, ahead) => ahead,
                    },
                };
                found.map(|(_, i)| i)
            })
            .collect()
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop_oneof![8 => (0i64..3).prop_map(Some), 1 => Just(None)];
    let time = prop_oneof![9 => (-6i64..7).prop_map(Some), 1 => Just(None)];
    prop::collection::vec((key, time), 0..24)
}

/// As the operator's inputs are sorted: NULLs last.
fn sort(rows: &mut [Row], keyed: bool) {
    let last = |value: Option<i64>| (value.is_none(), value);
    rows.sort_by_key(|(k, t)| (keyed.then(|| last(*k)), last(*t)));
}

const ALL: [Matching; 6] = {
    const fn of(direction: Direction, strict: bool) -> Matching {
        Matching { direction, strict }
    }
    [
        of(Direction::Backward, false),
        of(Direction::Backward, true),
        of(Direction::Forward, false),
        of(Direction::Forward, true),
        of(Direction::Nearest, false),
        of(Direction::Nearest, true),
    ]
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_merge_is_the_definition(
        mut left in rows(),
        mut right in rows(),
        keyed: bool,
        tolerance in prop::option::of(0u64..5),
        left_size in 1usize..9,
        right_size in 1usize..9,
    ) {
        sort(&mut left, keyed);
        sort(&mut right, keyed);
        for matching in ALL {
            let case = Case { left: &left, right: &right, keyed, matching, tolerance };
            prop_assert_eq!(case.merged(left_size, right_size), case.defined(), "{:?}", matching);
        }
    }
}

/// Sizes at which rows are given out early, and one side much denser than the other.
#[test]
fn long_sides() {
    let dense: Vec<Row> = (0..3_000).map(|i| (Some(i / 1_000), Some(i / 3))).collect();
    let sparse: Vec<Row> = (0..30).map(|i| (Some(i / 10), Some(i * 33 + 1))).collect();
    for (left, right) in [(&dense, &sparse), (&sparse, &dense), (&dense, &dense)] {
        for matching in ALL {
            let case = Case {
                left,
                right,
                keyed: true,
                matching,
                tolerance: Some(40),
            };
            let defined = case.defined();
            for (left_size, right_size) in [(1, 1), (1_000, 7), (7, 1_000), (5_000, 5_000)] {
                assert!(
                    case.merged(left_size, right_size) == defined,
                    "{matching:?}"
                );
            }
        }
    }
}

/// However long the right side is, few of its batches are kept.
#[test]
fn few_batches_are_kept() {
    let left: Vec<Row> = (0..10).map(|i| (None, Some(i * 100))).collect();
    let right: Vec<Row> = (0..1_000).map(|i| (None, Some(i))).collect();
    let converter = key_converter([].into_iter()).unwrap();
    let one = arrow_bytes(&batch(&right[..1], 0));
    for matching in ALL {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        let outputs = vec![Output::Right(2)];
        let right_schema = batch(&[], 0).schema();
        let mut merge = Merge::new(matching, None, outputs, schema, right_schema);
        let feed = |rows, size| Feed {
            rows,
            size,
            at: 0,
            keyed: false,
            converter: &converter,
        };
        let (mut lefts, mut rights) = (feed(&left, 10), feed(&right, 1));
        let most = arrow_bytes(&batch(&left, 0)) + 34 * one;
        loop {
            match merge.advance().unwrap() {
                Step::NeedLeft => match lefts.next() {
                    Some(rows) => merge.push_left(rows),
                    None => break,
                },
                Step::NeedRight => match rights.next() {
                    Some(rows) => merge.push_right(rows),
                    None => merge.finish_right(),
                },
                Step::Joined(_) => {}
            }
            assert!(merge.bytes() <= most, "{matching:?}");
        }
    }
}

fn arrow_bytes(batch: &RecordBatch) -> usize {
    datafusion::common::utils::memory::get_record_batch_memory_size(batch)
}
