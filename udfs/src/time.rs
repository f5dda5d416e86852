//! Exact time: seconds put into repetitions (TRs) by integer nanoseconds.
//!
//! A time in seconds is a decimal number that a float only approximates: 40.23 / 1.49
//! is 26.999999999999996, yet at 40.23 s volume 27 starts. Rounded to nanoseconds both
//! are integers, and the division is exact. Nanoseconds reach
//! 292 years, and a Float64 of seconds holds them exactly for 104 days.

/// Seconds rounded to whole nanoseconds; None for NaN, infinities and what is beyond
/// 292 years.
pub fn nanoseconds(seconds: f64) -> Option<i64> {
    let rounded = (seconds * 1e9).round();
    (rounded.abs() < i64::MAX as f64).then_some(rounded as i64)
}

/// The repetition time in nanoseconds; None unless it is positive, finite and at
/// least half a nanosecond.
pub fn repetition(seconds: f64) -> Option<i64> {
    nanoseconds(seconds).filter(|tr| *tr > 0)
}

/// Where bin 0 begins: `slice_time_ref` (a share of `tr`) after `start`, rounded to
/// whole nanoseconds. None where it is beyond 292 years.
pub fn origin(start: i64, tr: i64, slice_time_ref: f64) -> Option<i64> {
    start.checked_add((slice_time_ref * tr as f64).round() as i64)
}

/// The index `k` of the half-open bin `[start + k * tr, start + (k + 1) * tr)` that
/// holds `time`; negative before `start`. All in nanoseconds, `tr` positive.
/// None where `time - start` overflows.
pub fn bin(time: i64, tr: i64, start: i64) -> Option<i64> {
    Some(time.checked_sub(start)?.div_euclid(tr))
}

/// The time in seconds `index` repetitions after `start`, both in nanoseconds.
/// `index` need not be whole: `k + 0.5` is the middle of a volume. None where it is
/// not finite or too far.
pub fn time_of(index: f64, tr: i64, start: i64) -> Option<f64> {
    let offset = if index.fract() == 0.0 && index.abs() < 9e15 {
        (index as i64).checked_mul(tr)?
    } else {
        nanoseconds(index * (tr as f64 / 1e9))?
    };
    Some(start.checked_add(offset)? as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn index(time: f64, tr: f64) -> i64 {
        bin(nanoseconds(time).unwrap(), repetition(tr).unwrap(), 0).unwrap()
    }

    #[test]
    fn the_classic_off_by_one() {
        assert_eq!((40.23f64 / 1.49).floor(), 26.0);
        assert_eq!(index(40.23, 1.49), 27);
        let accumulated = (0..6).fold(0.0, |time, _| time + 0.72);
        assert_eq!((accumulated / 0.72f64).floor(), 5.0);
        assert_eq!(index(accumulated, 0.72), 6);
        assert_eq!(index(18.0, 0.72), 25);
        assert_eq!(index(-0.1, 0.72), -1);
    }

    /// The same query at every rate: sample `k` of a stream, and the start of every
    /// volume, are where integer arithmetic on nanoseconds says.
    #[rstest]
    fn mixed_rates(
        #[values(720_000_000i64, 1_000_000_000, 1_490_000_000, 2_000_000_000)] tr: i64,
        #[values(25i64, 30)] fps: i64,
    ) {
        let seconds = tr as f64 / 1e9;
        for k in 0..200_000i64 {
            // k / fps s, rounded half up to ns; it is never a half for 25 and 30.
            let time = (2 * k * 1_000_000_000 + fps) / (2 * fps);
            assert_eq!(
                index(k as f64 / fps as f64, seconds),
                time / tr,
                "frame {k}"
            );
            assert_eq!(index(k as f64 * seconds, seconds), k, "volume {k}");
            let start = time_of(k as f64, tr, 0).unwrap();
            assert_eq!(index(start, seconds), k, "start of volume {k}");
            let before = (k * tr - 1) as f64 / 1e9;
            assert_eq!(index(before, seconds), k - 1, "1 ns before volume {k}");
        }
    }

    /// The same with a late start and a moment within the volume: sample `k` is in the bin
    /// that integer arithmetic says, and every volume's own time is in its bin.
    #[rstest]
    fn mixed_rates_off_the_origin(
        #[values(720_000_000i64, 1_490_000_000, 2_000_000_000)] tr: i64,
        #[values(25i64, 30)] fps: i64,
        #[values(0, 2_500_000_000)] start: i64,
        #[values((0, 4), (1, 4), (2, 4), (4, 4))] (part, whole): (i64, i64),
    ) {
        let origin = origin(start, tr, part as f64 / whole as f64).unwrap();
        assert_eq!(origin, start + tr * part / whole);
        for k in 0..20_000i64 {
            let time = (2 * k * 1_000_000_000 + fps) / (2 * fps);
            let seconds = nanoseconds(k as f64 / fps as f64).unwrap();
            assert_eq!(
                bin(seconds, tr, origin),
                Some((time - origin).div_euclid(tr))
            );
            let begin = time_of(k as f64, tr, origin).unwrap();
            assert_eq!(bin(nanoseconds(begin).unwrap(), tr, origin), Some(k));
            let before = (k * tr + origin - 1) as f64 / 1e9;
            assert_eq!(bin(nanoseconds(before).unwrap(), tr, origin), Some(k - 1));
        }
    }

    #[test]
    fn what_is_no_time() {
        for seconds in [f64::NAN, f64::INFINITY, 1e10, -1e300] {
            assert_eq!(nanoseconds(seconds), None);
        }
        for tr in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-10] {
            assert_eq!(repetition(tr), None);
        }
        assert_eq!(time_of(f64::NAN, 1, 0), None);
        assert_eq!(time_of(1e300, 1, 0), None);
        assert_eq!(time_of(0.5, 1_490_000_000, 0), Some(0.745));
    }

    proptest! {
        #[test]
        fn index_is_monotone(a in -1e6f64..1e6, b in -1e6f64..1e6, tr in 1e-3f64..100.0) {
            let (a, b) = (a.min(b), a.max(b));
            prop_assert!(index(a, tr) <= index(b, tr));
        }

        #[test]
        fn time_is_the_inverse(k in -100_000i64..100_000, tr in 1i64..30_000_000_000, start in -1_000_000_000_000i64..1_000_000_000_000) {
            let time = time_of(k as f64, tr, start).unwrap();
            prop_assert_eq!(bin(nanoseconds(time).unwrap(), tr, start), Some(k));
        }
    }
}
