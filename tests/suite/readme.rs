//! Every SQL statement of README.md and of the pages of docs/ about one subject runs.

use voxql::session::{Session, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_the_readme_runs() {
    let run = run(include_str!("../../README.md"), "the README").await;
    assert!(run > 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_about_time_runs() {
    let run = run(include_str!("../../docs/time.md"), "docs/time.md").await;
    assert!(run > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_about_encoding_runs() {
    let run = run(include_str!("../../docs/encoding.md"), "docs/encoding.md").await;
    assert!(run > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_about_splits_runs() {
    let run = run(include_str!("../../docs/splits.md"), "docs/splits.md").await;
    assert!(run > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_about_embeddings_runs() {
    let run = run(
        include_str!("../../docs/embeddings.md"),
        "docs/embeddings.md",
    )
    .await;
    assert!(run > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_about_search_runs() {
    let run = run(include_str!("../../docs/search.md"), "docs/search.md").await;
    assert!(run > 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_about_indexes_runs() {
    let run = run(include_str!("../../docs/index.md"), "docs/index.md").await;
    assert!(run > 1);
}

/// Runs the SQL blocks of `page`, and gives their number.
async fn run(page: &str, name: &str) -> usize {
    let scratch = tempfile::tempdir().unwrap();
    let output = format!("'{}/", scratch.path().display());
    let page = page.replace("'target/tour/", &output);
    let blocks: Vec<&str> = page
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();

    let settings = Settings {
        db: Some(scratch.path().join("study")),
        ..Settings::default()
    };
    let session = Session::open(settings).await.unwrap();
    for block in &blocks {
        for statement in session.parse(block).unwrap() {
            let text = statement.text.clone();
            let rows = async {
                use futures::TryStreamExt;
                let answer = session.execute(statement).await?;
                answer.stream.try_collect::<Vec<_>>().await
            };
            if let Err(error) = rows.await {
                panic!("{error}\nin the statement of {name}\n{text}");
            }
        }
    }
    blocks.len()
}
