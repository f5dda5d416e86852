//! The law of `context => 'past'`: what is said later never changes the vector of a word that was said.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use futures::TryStreamExt;
use proptest::prelude::*;
use voxql::session::{Session, Settings};

const MODEL: &str = "tests/data/embedding/bert";

/// The vector of each word, None for NULL, with so many words of context.
fn vectors(words: &[Option<String>], context: &str, count: usize) -> Vec<Option<Vec<f32>>> {
    let row = |(i, word): (usize, &Option<String>)| match word {
        Some(word) => format!("({i}.0, '{word}')"),
        None => format!("({i}.0, NULL)"),
    };
    let rows: Vec<String> = words.iter().enumerate().map(row).collect();
    let sql = format!(
        "SELECT onset, embed_span(word_context(CAST(word AS VARCHAR), '{context}', {count}) OVER (ORDER BY onset),
           model => '{MODEL}') AS v
         FROM (VALUES {}) AS t(onset, word) ORDER BY onset",
        rows.join(", ")
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let batches: Vec<RecordBatch> = runtime.block_on(async {
        let session = Session::open(Settings::default()).await.unwrap();
        let answer = session.sql(&sql).await.unwrap();
        answer.stream.try_collect().await.unwrap()
    });
    let of_batch = |batch: &RecordBatch| {
        let column = batch.column(1).as_fixed_size_list().clone();
        (0..column.len())
            .map(|i| {
                column.is_valid(i).then(|| {
                    column
                        .value(i)
                        .as_primitive::<Float32Type>()
                        .values()
                        .to_vec()
                })
            })
            .collect::<Vec<_>>()
    };
    batches.iter().flat_map(of_batch).collect()
}

fn apart(one: &[f32], other: &[f32]) -> f32 {
    one.iter()
        .zip(other)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

fn word() -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(0.9, "[a-z]{1,6}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_future_changes_no_word(
        before in prop::collection::vec(word(), 1..30),
        (after, other) in (prop::collection::vec(word(), 0..8), prop::collection::vec(word(), 0..8)),
        count in 0usize..40,
    ) {
        let with = |after: &[Option<String>]| vectors(&[before.as_slice(), after].concat(), "past", count);
        let (one, two) = (with(&after), with(&other));
        for (i, word) in before.iter().enumerate() {
            prop_assert_eq!(one[i].is_some(), word.is_some());
            // Padding to another length of batch moves the last digit.
            let moved = one[i].as_ref().zip(two[i].as_ref()).map_or(0.0, |(a, b)| apart(a, b));
            prop_assert!(moved < 1e-5, "word {i} moved by {moved}");
        }
    }
}

/// With both sides the future does count: the law above is not one of the model.
#[test]
fn with_both_sides_the_future_counts() {
    let said = |last: &str| ["the", "cat", last].map(|word| Some(word.to_string()));
    let both = |last: &str| vectors(&said(last), "both", 5);
    let (one, two) = (both("sat"), both("walk"));
    assert!(apart(one[1].as_ref().unwrap(), two[1].as_ref().unwrap()) > 1e-3);
}
