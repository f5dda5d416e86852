//! Times of any type as whole numbers, so that comparisons and distances are exact.
//!
//! Float times are seconds, and as everywhere in VoxQL they count in whole
//! nanoseconds: `15 * 0.72` is 10.799999999999999 and reaches an onset at 10.8.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Float64Type, Int64Type, TimeUnit,
};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;
use voxql_udfs::args::numbers;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// How the times of both sides become whole numbers that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash)]
pub enum Clock {
    /// Whole numbers, as they are.
    Whole,
    /// Seconds as floats or decimals, in nanoseconds.
    Seconds,
    /// Timestamps and dates, in the finer unit of the two sides.
    Calendar(TimeUnit),
}

/// The times of one batch.
pub struct Times {
    pub ticks: ScalarBuffer<i64>,
    /// Where there is a time: not NULL, not NaN. None if everywhere.
    pub valid: Option<NullBuffer>,
}

impl Clock {
    /// The clock on which times of these two types meet.
    pub fn of(left: &DataType, right: &DataType) -> Result<Self> {
        let seconds = |t: &DataType| t.is_floating() || is_decimal(t);
        if left.is_integer() && right.is_integer() {
            return Ok(Self::Whole);
        }
        if left.is_numeric() && right.is_numeric() && (seconds(left) || seconds(right)) {
            return Ok(Self::Seconds);
        }
        let (Some(left_unit), Some(right_unit)) = (calendar_unit(left), calendar_unit(right))
        else {
            return plan_err!(
                "ASOF JOIN: the times must be numbers, or timestamps and dates, on both sides, not {left} and {right}"
            );
        };
        if zoned(left) != zoned(right) {
            return plan_err!(
                "ASOF JOIN: {left} and {right} cannot be compared, since one of them has a time zone and the other has none; CAST one of them"
            );
        }
        let finer = |a: TimeUnit, b: TimeUnit| {
            if ticks_per_second(a) < ticks_per_second(b) {
                b
            } else {
                a
            }
        };
        Ok(Self::Calendar(finer(left_unit, right_unit)))
    }

    /// The times of a column of one of the types that this clock was made for.
    pub fn read(self, column: &ArrayRef) -> Result<Times> {
        let integers = match self {
            Self::Whole => to_int64(column)?,
            Self::Seconds => match column.data_type() {
                t if t.is_floating() => return float_seconds(column),
                t if is_decimal(t) => decimal_seconds(column)?,
                _ => scaled(&to_int64(column)?, NANOS_PER_SECOND)?,
            },
            Self::Calendar(unit) => calendar(column, unit)?,
        };
        let valid = integers.nulls().filter(|n| n.null_count() > 0).cloned();
        Ok(Times {
            ticks: integers.values().clone(),
            valid,
        })
    }

    /// A tolerance in ticks of this clock; None for NULL and infinity.
    pub fn tolerance(self, value: &ScalarValue) -> Result<Option<u64>> {
        if value.is_null() {
            return Ok(None);
        }
        match self {
            Self::Whole | Self::Seconds => {
                let number = match value.data_type().is_numeric() {
                    true => numbers(&ColumnarValue::Scalar(value.clone()))?.value(0),
                    false => {
                        return plan_err!(
                            "ASOF JOIN: the tolerance of times that are numbers is a number, not {value}"
                        );
                    }
                };
                if number.is_nan() || number < 0.0 {
                    return plan_err!("ASOF JOIN: the tolerance must be zero or more, got {value}");
                }
                let ticks = match self {
                    Self::Seconds => (number * 1e9).round(),
                    _ => number.floor(),
                };
                Ok((ticks < u64::MAX as f64).then_some(ticks as u64))
            }
            Self::Calendar(unit) => {
                let Some(nanos) = interval_nanos(value) else {
                    return plan_err!(
                        "ASOF JOIN: the tolerance of timestamps and dates is an interval without months, such as INTERVAL '500 milliseconds', not {value}"
                    );
                };
                if nanos < 0 {
                    return plan_err!("ASOF JOIN: the tolerance must be zero or more, got {value}");
                }
                // Whole ticks are no farther than this exactly if they are no farther than its floor.
                let per_tick = i128::from(NANOS_PER_SECOND / ticks_per_second(unit));
                Ok(u64::try_from(nanos / per_tick).ok())
            }
        }
    }
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    )
}

fn calendar_unit(data_type: &DataType) -> Option<TimeUnit> {
    match data_type {
        DataType::Timestamp(unit, _) => Some(*unit),
        DataType::Date32 => Some(TimeUnit::Second),
        DataType::Date64 => Some(TimeUnit::Millisecond),
        _ => None,
    }
}

fn zoned(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

fn ticks_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => NANOS_PER_SECOND,
    }
}

/// A cast that fails where a value does not fit, instead of giving NULL.
fn checked_cast(column: &dyn Array, to: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(column, to, &options)?)
}

fn to_int64(column: &ArrayRef) -> Result<Int64Array> {
    let cast = match column.data_type() {
        DataType::Int64 => Arc::clone(column),
        _ => checked_cast(column, &DataType::Int64)?,
    };
    Ok(cast.as_primitive::<Int64Type>().clone())
}

fn scaled(values: &Int64Array, factor: i64) -> Result<Int64Array> {
    match factor {
        1 => Ok(values.clone()),
        _ => values.try_unary(|v| match v.checked_mul(factor) {
            Some(ticks) => Ok(ticks),
            None => too_far(&v),
        }),
    }
}

fn too_far<T>(time: &dyn std::fmt::Display) -> Result<T> {
    exec_err!(
        "ASOF JOIN: the time {time} is too far from zero to be compared to the nanosecond (292 years); floats are seconds: CAST other units to BIGINT on both sides, or make timestamps"
    )
}

fn float_seconds(column: &ArrayRef) -> Result<Times> {
    let seconds = match column.as_primitive_opt::<Float64Type>() {
        Some(seconds) => seconds.clone(),
        None => numbers(&ColumnarValue::Array(Arc::clone(column)))?,
    };
    let values = seconds.values();
    let nanos = |s: f64| (s * 1e9).round();
    let far = |s: f64| s.is_finite() && nanos(s).abs() >= i64::MAX as f64;
    // What stands behind a NULL may be anything.
    if values.iter().any(|s| far(*s))
        && let Some(time) = seconds.iter().flatten().find(|s| far(*s))
    {
        return too_far(&time);
    }
    // Infinities become the first and the last time there is.
    let ticks: Vec<i64> = values.iter().map(|s| nanos(*s) as i64).collect();
    let nan = values.iter().any(|s| s.is_nan()).then(|| {
        NullBuffer::new(BooleanBuffer::collect_bool(values.len(), |i| {
            !values[i].is_nan()
        }))
    });
    let valid = NullBuffer::union(nan.as_ref(), seconds.nulls());
    Ok(Times {
        ticks: ticks.into(),
        valid: valid.filter(|v| v.null_count() > 0),
    })
}

fn decimal_seconds(column: &ArrayRef) -> Result<Int64Array> {
    let nanos = checked_cast(column, &DataType::Decimal128(38, 9))?;
    let nanos = nanos.as_primitive::<Decimal128Type>();
    nanos.try_unary(|v| match i64::try_from(v) {
        Ok(ticks) => Ok(ticks),
        Err(_) => too_far(&(v / i128::from(NANOS_PER_SECOND))),
    })
}

fn calendar(column: &ArrayRef, unit: TimeUnit) -> Result<Int64Array> {
    let per_second = ticks_per_second(unit);
    let (values, own): (Int64Array, i64) = match column.data_type() {
        DataType::Date32 => {
            let days: PrimitiveArray<Int64Type> =
                column.as_primitive::<Date32Type>().unary(i64::from);
            return scaled(&days, SECONDS_PER_DAY * per_second);
        }
        DataType::Date64 => (
            column.as_primitive::<Date64Type>().reinterpret_cast(),
            ticks_per_second(TimeUnit::Millisecond),
        ),
        DataType::Timestamp(own, _) => {
            let as_is = DataType::Int64;
            let values = checked_cast(column, &as_is)?;
            (
                values.as_primitive::<Int64Type>().clone(),
                ticks_per_second(*own),
            )
        }
        other => {
            return Err(DataFusionError::Internal(format!(
                "ASOF JOIN: {other} is no timestamp"
            )));
        }
    };
    scaled(&values, per_second / own)
}

/// The nanoseconds of an interval or duration; None for what has months or is neither.
fn interval_nanos(value: &ScalarValue) -> Option<i128> {
    let day = i128::from(SECONDS_PER_DAY) * i128::from(NANOS_PER_SECOND);
    match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.months == 0 => {
            Some(i128::from(v.days) * day + i128::from(v.nanoseconds))
        }
        ScalarValue::IntervalDayTime(Some(v)) => {
            Some(i128::from(v.days) * day + i128::from(v.milliseconds) * 1_000_000)
        }
        ScalarValue::DurationSecond(Some(v)) => Some(i128::from(*v) * 1_000_000_000),
        ScalarValue::DurationMillisecond(Some(v)) => Some(i128::from(*v) * 1_000_000),
        ScalarValue::DurationMicrosecond(Some(v)) => Some(i128::from(*v) * 1_000),
        ScalarValue::DurationNanosecond(Some(v)) => Some(i128::from(*v)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
        TimestampMillisecondArray, UInt64Array,
    };

    fn read(clock: Clock, column: impl Array + 'static) -> Vec<Option<i64>> {
        let times = clock.read(&(Arc::new(column) as ArrayRef)).unwrap();
        let valid = |i| times.valid.as_ref().is_none_or(|v| v.is_valid(i));
        let ticks = times.ticks.iter().enumerate();
        ticks.map(|(i, t)| valid(i).then_some(*t)).collect()
    }

    fn message(result: Result<impl Sized>) -> String {
        match result {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn floats_are_seconds_in_nanoseconds() {
        let clock = Clock::of(&DataType::Float64, &DataType::Float32).unwrap();
        assert_eq!(clock, Clock::Seconds);
        let times = [
            Some(15.0 * 0.72),
            Some(f64::NAN),
            None,
            Some(-0.0),
            Some(f64::INFINITY),
        ];
        assert_eq!(
            read(clock, Float64Array::from(times.to_vec())),
            [Some(10_800_000_000), None, None, Some(0), Some(i64::MAX)]
        );
        // A Float32 means the number that it prints as.
        assert_eq!(
            read(clock, Float32Array::from(vec![18.72f32])),
            [Some(18_720_000_000)]
        );
        assert_eq!(
            read(clock, Int32Array::from(vec![3])),
            [Some(3_000_000_000)]
        );
        let decimals = Decimal128Array::from(vec![Some(1_234_567_891_234), None])
            .with_precision_and_scale(30, 12)
            .unwrap();
        assert_eq!(read(clock, decimals), [Some(1_234_567_891), None]);
    }

    #[test]
    fn calendars_meet_in_the_finer_unit() {
        let day = DataType::Date32;
        let milli = DataType::Timestamp(TimeUnit::Millisecond, None);
        assert_eq!(
            Clock::of(&day, &day).unwrap(),
            Clock::Calendar(TimeUnit::Second)
        );
        let clock = Clock::of(&day, &milli).unwrap();
        assert_eq!(clock, Clock::Calendar(TimeUnit::Millisecond));
        assert_eq!(
            read(clock, Date32Array::from(vec![Some(2), None])),
            [Some(172_800_000), None]
        );
        assert_eq!(
            read(clock, TimestampMillisecondArray::from(vec![-5])),
            [Some(-5)]
        );
    }

    #[test]
    fn what_cannot_be_compared() {
        let zone = DataType::Timestamp(TimeUnit::Second, Some("UTC".into()));
        let none = DataType::Timestamp(TimeUnit::Second, None);
        assert!(message(Clock::of(&zone, &none)).contains("time zone"));
        assert!(message(Clock::of(&DataType::Utf8, &none)).contains("not Utf8 and Timestamp"));
        assert!(message(Clock::of(&DataType::Float64, &none)).contains("must be numbers"));
        let far: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.7e12)]));
        assert!(message(Clock::Seconds.read(&far)).contains("1700000000000"));
        let far: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert!(Clock::Whole.read(&far).is_err());
    }

    #[test]
    fn tolerances() {
        let of = |clock: Clock, value: ScalarValue| clock.tolerance(&value);
        let half = ScalarValue::from(0.5);
        assert_eq!(of(Clock::Seconds, half.clone()).unwrap(), Some(500_000_000));
        assert_eq!(of(Clock::Whole, ScalarValue::from(2.9)).unwrap(), Some(2));
        assert_eq!(of(Clock::Whole, ScalarValue::from(2i64)).unwrap(), Some(2));
        assert_eq!(of(Clock::Seconds, ScalarValue::Null).unwrap(), None);
        let milli = Clock::Calendar(TimeUnit::Millisecond);
        let interval = ScalarValue::new_interval_mdn(0, 1, 1_999_999);
        assert_eq!(of(milli, interval).unwrap(), Some(86_400_001));
        assert!(message(of(milli, ScalarValue::new_interval_mdn(1, 0, 0))).contains("months"));
        assert!(message(of(milli, half)).contains("INTERVAL"));
        for wrong in [-1.0, f64::NAN] {
            assert!(message(of(Clock::Seconds, ScalarValue::from(wrong))).contains("zero or more"));
        }
    }
}
