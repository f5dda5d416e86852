use super::*;
use proptest::prelude::*;

fn word(onset: f64, duration: f64) -> Word {
    Word {
        onset: Some(onset),
        duration: Some(duration),
    }
}

/// Kind, word, other word and seconds.
fn report(
    words: &[Word],
    media_end: Option<f64>,
) -> Vec<(&str, Option<usize>, Option<usize>, f64)> {
    let limits = Limits::new(media_end, 2.0, 0.001);
    let found = problems(words, &limits);
    let row = |p: &Problem| {
        let size = p.seconds.unwrap_or(f64::NAN);
        (p.kind.name(), p.word, p.other, size)
    };
    found.iter().map(row).collect()
}

#[test]
fn words_in_a_row_are_no_problem() {
    // 1.19 + 0.18 is 1.3699999999999999.
    let words = [
        word(1.02, 0.17),
        word(1.19, 0.18),
        word(1.37, 0.48),
        word(3.0, 0.0),
    ];
    assert_eq!(report(&words, Some(3.0)), []);
    assert_eq!(report(&[], None), []);
    // Within the tolerance.
    assert_eq!(
        report(&[word(-0.001, 1.001), word(0.9995, 1.0)], Some(1.9985)),
        []
    );
}

#[test]
fn gaps() {
    let words = [word(2.5, 0.5), word(5.0, 1.0), word(8.5, 0.5)];
    let want = [
        ("gap", Some(0), None, 2.5),
        ("gap", Some(2), Some(1), 2.5),
        ("gap", None, Some(2), 3.0),
    ];
    assert_eq!(report(&words, Some(12.0)), want);
    assert_eq!(report(&words, None), want[..2]);
    // A long word bridges what short ones within it leave open.
    assert_eq!(
        report(&[word(0.0, 9.0), word(1.0, 0.0), word(9.5, 1.0)], None),
        []
    );
    assert_eq!(report(&[], Some(12.0)), [("gap", None, None, 12.0)]);
}

#[test]
fn overlaps() {
    let words = [
        word(0.0, 3.0),
        word(1.0, 0.5),
        word(2.5, 1.0),
        word(3.25, 1.0),
    ];
    assert_eq!(
        report(&words, None),
        [
            ("overlap", Some(1), Some(0), 0.5),
            ("overlap", Some(2), Some(0), 0.5),
            ("overlap", Some(3), Some(2), 0.25),
        ]
    );
    // The same word twice; a point shares no time.
    assert_eq!(
        report(&[word(1.0, 0.5), word(1.0, 0.5), word(1.25, 0.0)], None),
        [("overlap", Some(1), Some(0), 0.5)]
    );
}

#[test]
fn both_ends_of_the_media() {
    let words = [word(-0.5, 1.0), word(12.0, 1.5), word(13.25, 0.25)];
    let found = report(&words[..2], Some(13.0));
    assert_eq!(
        found,
        [
            ("before_start", Some(0), None, 0.5),
            ("past_end", Some(1), None, 0.5),
            ("gap", Some(1), Some(0), 11.5),
        ]
    );
    assert_eq!(
        report(&words[2..], Some(13.125))[0],
        ("past_end", Some(0), None, 0.375)
    );
}

#[test]
fn what_is_missing_or_cannot_be() {
    let none = |onset, duration| Word { onset, duration };
    let words = [
        word(1.0, -0.25),
        none(None, Some(1.0)),
        none(Some(1.5), None),
        word(0.5, 0.25),
    ];
    let found = report(&words, None);
    let kinds: Vec<_> = found.iter().map(|f| (f.0, f.1, f.2)).collect();
    assert_eq!(
        kinds,
        [
            ("missing_onset", Some(1), None),
            ("out_of_order", Some(3), Some(2)),
            ("negative_duration", Some(0), None),
            ("missing_duration", Some(2), None),
        ]
    );
    assert_eq!((found[1].3, found[2].3), (1.0, 0.25));
    let huge = [word(f64::MAX, f64::MAX), word(f64::MIN, f64::MAX)];
    assert!(!report(&huge, Some(1.0)).is_empty());
}

proptest! {
    /// Words laid end to end have no problem; any one moved into its neighbour has.
    #[test]
    fn laid_end_to_end(lengths in prop::collection::vec(1u32..2_000, 2..40), moved in 1usize..40) {
        let mut at = 0u32;
        let mut words: Vec<Word> = lengths
            .iter()
            .map(|&length| {
                let onset = f64::from(at) / 1000.0;
                at += length;
                word(onset, f64::from(length) / 1000.0)
            })
            .collect();
        let end = f64::from(at) / 1000.0;
        prop_assert_eq!(report(&words, Some(end)), []);
        let i = moved % (words.len() - 1) + 1;
        prop_assume!(lengths[i - 1] >= 100 && lengths[i] >= 100);
        words[i].onset = words[i].onset.map(|onset| onset - 0.05);
        let found = report(&words, Some(end));
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!((found[0].0, found[0].1, found[0].2), ("overlap", Some(i), Some(i - 1)));
        prop_assert!((found[0].3 - 0.05).abs() < 1e-9);
    }
}
