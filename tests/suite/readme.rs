//! Every SQL statement of README.md runs.

use voxql::session::{Session, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_the_readme_runs() {
    let scratch = tempfile::tempdir().unwrap();
    let output = format!("'{}/", scratch.path().display());
    let readme = include_str!("../../README.md").replace("'target/tour/", &output);
    let blocks: Vec<&str> = readme
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(blocks.len() > 5);

    let settings = Settings {
        db: Some(scratch.path().join("study")),
        ..Settings::default()
    };
    let session = Session::open(settings).await.unwrap();
    for block in blocks {
        for statement in session.parse(block).unwrap() {
            let text = statement.text.clone();
            let rows = async {
                use futures::TryStreamExt;
                let answer = session.execute(statement).await?;
                answer.stream.try_collect::<Vec<_>>().await
            };
            if let Err(error) = rows.await {
                panic!("{error}\nin the README's statement\n{text}");
            }
        }
    }
}
