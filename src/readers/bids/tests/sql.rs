//! The made tree through SQL, from the arguments to the rows.

use arrow::array::ArrayRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;

use crate::readers::bids::testing::fmriprep;
use crate::session::{Session, Settings};

struct Tree {
    session: Session,
    root: tempfile::TempDir,
}

impl Tree {
    async fn new() -> Self {
        Self {
            session: Session::open(Settings::default()).await.unwrap(),
            root: fmriprep(),
        }
    }

    /// Rows as text; `$ds` is the root and `$prep` its derivative.
    async fn rows(&self, sql: &str) -> Result<Vec<String>, String> {
        let root = self.root.path().canonicalize().unwrap();
        let root = root.display().to_string();
        let sql = sql
            .replace("$ds", &root)
            .replace("$prep", &format!("{root}/derivatives/fmriprep"));
        let failed = |error: datafusion::error::DataFusionError| error.to_string();
        let answer = self.session.sql(&sql).await.map_err(failed)?;
        let batches: Vec<_> = answer.stream.try_collect().await.map_err(failed)?;
        let options = FormatOptions::default().with_null("NULL");
        let mut rows = vec![];
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let cell = |column: &ArrayRef| {
                    let formatter = ArrayFormatter::try_new(column, &options).unwrap();
                    formatter.value(row).to_string().replace(&root, "")
                };
                let cells: Vec<_> = batch.columns().iter().map(cell).collect();
                rows.push(cells.join(" | "));
            }
        }
        Ok(rows)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_choose_before_headers_are_read() {
    let tree = Tree::new().await;
    // The sidecar of sub-03 is broken: whoever does not ask for it does not meet it.
    let error = tree.rows("SELECT count(*) FROM read_bold('$ds')").await;
    assert!(error.unwrap_err().contains("sub-03_task-rest_bold.json"));
    let rows = tree
        .rows(
            "SELECT subject, session, run, count(*), max(repetition_time), max(cardinality(bold)) \
             FROM read_bold('$ds', subject => ['01', '02'], task => 'movie', run => [1, 2]) \
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )
        .await;
    assert_eq!(
        rows.unwrap(),
        [
            "01 | A | 1 | 3 | 1.5 | 8",
            "01 | A | 2 | 3 | 1.25 | 8",
            "01 | B | 1 | 6 | 1.5 | 8",
            "02 | NULL | 01 | 3 | 1.5 | 8",
        ]
    );
    let error = tree
        .rows("SELECT * FROM read_bold('$ds', task => 'nback')")
        .await;
    let error = error.unwrap_err();
    assert!(error.contains("here: movie, rest"), "{error}");
    let error = tree
        .rows("SELECT * FROM read_bold('$ds', sesion => 'A')")
        .await;
    assert!(error.unwrap_err().contains("did you mean `session`"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_a_run_is_a_column() {
    let tree = Tree::new().await;
    let rows = tree
        .rows(
            "SELECT DISTINCT run, mask_path, events_path, confounds_path IS NULL \
             FROM read_bold('$prep', subject => '01', session => 'A', space => 'T1w', run => [1, 3, 5, 7]) \
             ORDER BY run",
        )
        .await;
    let a = "/sub-01/ses-A/func/sub-01_ses-A_task-movie_run";
    let mask = format!("/derivatives/fmriprep{a}");
    assert_eq!(
        rows.unwrap(),
        [
            format!(
                "1 | {mask}-1_space-T1w_desc-brain_mask.nii.gz | /task-movie_events.tsv | false"
            ),
            format!("3 | {mask}-3_space-T1w_desc-brain_mask.nii.gz | {a}-3_events.tsv | false"),
            "5 | NULL | /task-movie_events.tsv | false".to_owned(),
            format!(
                "7 | {mask}-7_space-T1w_desc-brain_mask.nii.gz | /task-movie_events.tsv | true"
            ),
        ]
    );
    // They are conditions on keys: only the runs left are read.
    let with_confounds = "SELECT count(DISTINCT run) FROM read_bold('$ds', subject => '01', session => 'A', task => 'movie') \
                          WHERE confounds_path IS NOT NULL";
    assert_eq!(tree.rows(with_confounds).await.unwrap(), ["10"]);
    let plan = tree
        .rows(&format!("EXPLAIN {with_confounds}"))
        .await
        .unwrap()
        .join("\n");
    assert!(!plan.contains("run-7_bold"), "{plan}");
    // Not where a file or a glob is given.
    let error = tree
        .rows("SELECT mask_path FROM read_bold('$ds/sub-02/func/*_bold.nii')")
        .await;
    assert!(error.unwrap_err().contains("mask_path"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_fit_are_an_error_for_who_asks_for_them() {
    let tree = Tree::new().await;
    let from = "FROM read_bold('$prep', subject => '02')";
    let rows = tree
        .rows(&format!(
            "SELECT task, count(*) {from} GROUP BY 1 ORDER BY 1"
        ))
        .await;
    assert_eq!(rows.unwrap(), ["movie | 3", "rest | 3"]);
    let rows = tree
        .rows(&format!(
            "SELECT count(mask_path) {from} WHERE task = 'movie'"
        ))
        .await;
    assert_eq!(rows.unwrap(), ["3"]);
    for sql in [
        format!("SELECT mask_path {from}"),
        format!("SELECT task {from} WHERE mask_path IS NOT NULL"),
    ] {
        let error = tree.rows(&sql).await.unwrap_err();
        assert!(
            error.contains("mask_path: ") && error.contains("two files"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_join_with_runs_by_their_keys() {
    let tree = Tree::new().await;
    let rows = tree
        .rows(
            "SELECT run, count(*), min(events_from), min(events.path) \
             FROM read_bold('$ds', subject => '01', session => 'A') AS bold \
             JOIN (SELECT *, \"from\" AS events_from FROM read_events('$ds', subject => '01')) AS events \
               USING (subject, session, task, run) \
             WHERE tr = 0 AND bold.run IN ('2', '3', '4', '10') GROUP BY run ORDER BY run",
        )
        .await;
    assert_eq!(
        rows.unwrap(),
        [
            "10 | 2 | root | /task-movie_events.tsv",
            "2 | 2 | root | /task-movie_events.tsv",
            "3 | 1 | run 3 | /sub-01/ses-A/func/sub-01_ses-A_task-movie_run-3_events.tsv",
            "4 | 1 | run 4 | /sub-01/ses-A/func/sub-01_ses-A_task-movie_run-04_events.tsv",
        ]
    );
    let given = tree
        .rows("SELECT subject, onset FROM read_events('$ds/task-movie_events.tsv')")
        .await;
    assert_eq!(given.unwrap(), ["NULL | 1.0", "NULL | 2.0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn external_tables_take_the_same_arguments() {
    let tree = Tree::new().await;
    let create = "CREATE EXTERNAL TABLE bold STORED AS NIFTI LOCATION '$ds' \
                  OPTIONS (subject '01, 02', task 'rest', derivatives 'true')";
    tree.rows(create).await.unwrap();
    let rows = tree
        .rows("SELECT DISTINCT subject, space, \"desc\" FROM bold ORDER BY 1, 2")
        .await;
    assert_eq!(
        rows.unwrap(),
        ["01 | NULL | NULL", "02 | T1w | preproc", "02 | NULL | NULL"]
    );
}
