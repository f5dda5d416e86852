//! Nothing crosses a run: laws of every window function over a run.
//!
//! A new function is one more line in [`WINDOWS`].

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch,
    StringArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

/// Calls of all window functions over a run, on the columns `x` (a number), `v` (a
/// vector), `picture` (the same as 1 × 2 pixels), `tr` and `time`.
const WINDOWS: &[&str] = &[
    "hrf_convolve(x, tr => 1.0)",
    "hrf_convolve(v, tr => 1.0, model => 'spm')",
    "interpolate(x, time)",
    "interpolate(v, time, method => 'linear')",
    "interpolate(x, time, method => 'nearest')",
    "fir_delays(v, [1, 0, -2])",
    "clean(x)",
    "clean(v, NULL, 1.0, true, 'psc')",
    "detrend(v)",
    "zscore(x)",
    "percent_change(v)",
    "high_variance_confounds(v, 1, 100)",
    "word_context(CAST(x AS VARCHAR), 'past', 2)",
    "word_context(CAST(x AS VARCHAR), 'both')",
    "motion_energy(picture, 6.0, [2.0], [0.0, 1.0], [0.0, 180.0])",
];

/// A row of a run: TR and value.
type Row = (i64, Option<f64>);

/// A run has a subject and a number; not all files say which run they are.
type Key = (String, Option<String>);

/// The rows of all runs, each with its run, as they come from a table.
type Table = Vec<(Key, Row)>;

fn context(table: &Table, batch: usize) -> SessionContext {
    let config = SessionConfig::new()
        .with_batch_size(batch)
        .with_target_partitions(3);
    let ctx = SessionContext::new_with_config(config);
    voxql_udfs::register_all(&ctx);
    let batch_of = |rows: &[(Key, Row)]| {
        let subject = StringArray::from_iter_values(rows.iter().map(|r| &r.0.0));
        let run = StringArray::from_iter(rows.iter().map(|r| r.0.1.as_deref()));
        let tr = Int64Array::from_iter_values(rows.iter().map(|r| r.1.0));
        let x = Float64Array::from_iter(rows.iter().map(|r| r.1.1));
        let pixels = rows.iter().flat_map(|r| {
            let x = r.1.1.unwrap_or(0.0) as f32;
            [x, 2.0 * x]
        });
        let item = Arc::new(Field::new_list_field(DataType::Float32, false));
        let picture = FixedSizeListArray::new(
            Arc::clone(&item),
            2,
            Arc::new(Float32Array::from_iter_values(pixels)),
            None,
        );
        let tensor = [
            ("ARROW:extension:name", "arrow.fixed_shape_tensor"),
            ("ARROW:extension:metadata", r#"{"shape":[1,2]}"#),
        ];
        let tensor = tensor.map(|(key, value)| (key.to_string(), value.to_string()));
        let schema = Schema::new(vec![
            Field::new("subject", DataType::Utf8, false),
            Field::new("run", DataType::Utf8, true),
            Field::new("tr", DataType::Int64, false),
            Field::new("x", DataType::Float64, true),
            Field::new("picture", DataType::FixedSizeList(item, 2), false)
                .with_metadata(tensor.into()),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(subject),
            Arc::new(run),
            Arc::new(tr),
            Arc::new(x),
            Arc::new(picture),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    };
    let batches: Vec<RecordBatch> = table.chunks(batch).map(batch_of).collect();
    let schema = batches[0].schema();
    let (front, back) = batches.split_at(batches.len() / 2);
    let table = MemTable::try_new(schema, vec![front.to_vec(), back.to_vec()]).unwrap();
    ctx.register_table("t", Arc::new(table)).unwrap();
    ctx
}

/// What `function` gives for each row, as text: it must be the same to the last digit.
fn results(
    table: &Table,
    batch: usize,
    function: &str,
    over: &str,
) -> Result<BTreeMap<(Key, i64), String>> {
    let sql = format!(
        "SELECT subject, run, tr, {function} OVER ({over}) AS y
         FROM (SELECT *, CAST(tr AS DOUBLE) AS time,
                      CASE WHEN x IS NOT NULL THEN [x, 2 * x] END AS v FROM t)"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let frame = context(table, batch).sql(&sql).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let rows = concat_batches(&schema, &frame.collect().await?)?;
        let text = |column: usize, row: usize| {
            let column = rows.column(column);
            let text = array_value_to_string(column, row).unwrap();
            (!column.is_null(row)).then_some(text)
        };
        let key = |row| {
            let run = (text(0, row).unwrap(), text(1, row));
            (run, text(2, row).unwrap().parse().unwrap())
        };
        let value = |row| text(3, row).unwrap_or("NULL".into());
        Ok((0..rows.num_rows())
            .map(|row| (key(row), value(row)))
            .collect())
    })
}

/// None where a run holds too little for the function, whatever the other runs hold.
fn enough(result: Result<BTreeMap<(Key, i64), String>>) -> Option<BTreeMap<(Key, i64), String>> {
    let too_little = ["confounds are more than", "no TR is left"];
    match result {
        Err(error) if too_little.iter().any(|m| error.to_string().contains(m)) => None,
        result => Some(result.unwrap()),
    }
}

const APART: &str = "PARTITION BY subject, run ORDER BY tr";

/// The values of one run from its first TR on.
fn series() -> impl Strategy<Value = (i64, Vec<Option<f64>>)> {
    let values = prop::collection::vec(prop::option::weighted(0.8, -10.0..10.0), 1..25);
    (0i64..40, values)
}

/// Two to five runs of up to three subjects, in any order of their rows.
fn tables() -> impl Strategy<Value = (Table, Table)> {
    let run = (0usize..3, prop::option::weighted(0.8, 0usize..3));
    let runs = prop::collection::btree_map(run, (series(), series()), 2..6);
    runs.prop_flat_map(|runs| {
        let changed = 0..runs.len();
        let rows: usize = runs.values().map(|(series, _)| series.1.len()).sum();
        let order = Just((0..rows).collect::<Vec<_>>()).prop_shuffle();
        (Just(runs), changed, order)
    })
    .prop_map(|(runs, changed, order)| {
        let (mut before, mut after): (Table, Table) = (Vec::new(), Vec::new());
        for (i, ((subject, run), (series, other))) in runs.into_iter().enumerate() {
            let key = (format!("{subject:02}"), run.map(|run| run.to_string()));
            let rows = |(first, values): &(i64, Vec<Option<f64>>)| -> Table {
                let row = |(i, x): (usize, &Option<f64>)| (key.clone(), (first + i as i64, *x));
                values.iter().enumerate().map(row).collect()
            };
            before.extend(rows(&series));
            if i == changed {
                after.extend(rows(&other));
            } else {
                after.extend(rows(&series));
            }
        }
        let shuffled = order.iter().map(|i| before[*i].clone()).collect();
        (shuffled, after)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens to one run (other values, other times, other length, another order
    /// of the table's rows, other batches), all other runs keep their results.
    #[test]
    fn a_run_is_its_own(
        (before, after) in tables(),
        batches in prop::sample::select(vec![(1usize, 64usize), (3, 1), (7, 2), (64, 5)]),
    ) {
        let rows_of = |table: &Table, key: &Key| -> Vec<Row> {
            let mut rows: Vec<Row> = table.iter().filter(|r| r.0 == *key).map(|r| r.1).collect();
            rows.sort_by_key(|row| row.0);
            rows
        };
        for function in WINDOWS {
            let old = enough(results(&before, batches.0, function, APART));
            let new = enough(results(&after, batches.1, function, APART));
            let (Some(old), Some(new)) = (old, new) else {
                continue;
            };
            let mut kept = 0;
            for ((key, tr), value) in &old {
                if rows_of(&before, key) == rows_of(&after, key) {
                    prop_assert_eq!(new.get(&(key.clone(), *tr)), Some(value), "{} {:?}", function, key);
                    kept += 1;
                }
            }
            prop_assert!(kept > 0, "all runs but one are as they were");
        }
    }

    /// Without a run's key in PARTITION BY a table of two runs is refused, even where the
    /// second begins at the TR after the first.
    #[test]
    fn two_runs_are_refused(
        (first, second) in (series(), series()),
        subject in any::<bool>(),
        batch in prop::sample::select(vec![1usize, 3, 64]),
        turned in any::<bool>(),
    ) {
        let other = if subject { ("02", "1") } else { ("01", "2") };
        let key = |(subject, run): (&str, &str)| (subject.to_string(), Some(run.to_string()));
        let mut table: Table = Vec::new();
        for (key, values) in [(key(("01", "1")), first.1), (key(other), second.1)] {
            for x in values {
                table.push((key.clone(), (table.len() as i64, x)));
            }
        }
        if turned {
            table.reverse();
        }
        let missing = if subject { "subject" } else { "run" };
        let partial = if subject { "PARTITION BY run ORDER BY tr" } else { "PARTITION BY subject ORDER BY tr" };
        for function in WINDOWS {
            enough(results(&table, batch, function, APART));
            for over in ["ORDER BY tr", partial] {
                let error = results(&table, batch, function, over).unwrap_err().to_string();
                let name = function.split('(').next().unwrap();
                prop_assert!(error.contains(&format!("{name}: one partition holds rows of {missing} = ")), "{}", error);
                prop_assert!(error.contains("ORDER BY tr"), "{}", error);
            }
        }
    }

    /// One run needs no PARTITION BY, nor does one that was chosen.
    #[test]
    fn one_run_is_free(run in prop::option::of(0usize..3), (first, values) in series()) {
        let run = run.map(|run| run.to_string());
        let row = |(i, x): (usize, &Option<f64>)| (("01".to_string(), run.clone()), (first + i as i64, *x));
        let table: Table = values.iter().enumerate().map(row).collect();
        for function in WINDOWS {
            let free = enough(results(&table, 4, function, "ORDER BY tr"));
            prop_assert_eq!(free, enough(results(&table, 4, function, APART)));
        }
    }
}

/// Every window function of the crate is in the list.
#[test]
fn all_functions_are_tried() {
    for function in voxql_udfs::register::windows() {
        let call = format!("{}(", function.name());
        assert!(
            WINDOWS.iter().any(|window| window.starts_with(&call)),
            "{call}…) is missing in WINDOWS"
        );
    }
}

fn error(sql: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let ctx = SessionContext::new();
        voxql_udfs::register_all(&ctx);
        match ctx.sql(sql).await {
            Err(error) => error.to_string(),
            Ok(frame) => match frame.collect().await {
                Err(error) => error.to_string(),
                Ok(_) => String::new(),
            },
        }
    })
}

/// The message has the clause to write, with the names as the query must write them.
#[test]
fn the_fix_can_be_copied() {
    let runs = "(VALUES ('01', '1', 0, 1.0), ('01', '2', 1, 1.0)) AS f(subject, run, tr, x)";
    let call = "SELECT hrf_convolve(f.x, tr => 1) OVER";
    let message = error(&format!("{call} (ORDER BY tr) FROM {runs}"));
    assert!(
        message.contains(
            "hrf_convolve: one partition holds rows of run = 1 and run = 2, and what is computed \
             from one run must not reach another; write hrf_convolve(…) OVER (PARTITION BY \
             subject, run ORDER BY tr)"
        ),
        "{message}"
    );
    let message = error(&format!(
        "{call} (PARTITION BY subject ORDER BY tr) FROM {runs}"
    ));
    assert!(
        message.contains("OVER (PARTITION BY subject, run ORDER BY tr)"),
        "{message}"
    );

    // Both sides of a join have the keys.
    let scans = "(VALUES ('01', '1', 0), ('01', '2', 1)) AS b(subject, run, tr)";
    let joined =
        format!("{runs} JOIN {scans} ON f.subject = b.subject AND f.run = b.run AND f.tr = b.tr");
    let message = error(&format!("{call} (ORDER BY f.tr) FROM {joined}"));
    assert!(
        message.contains("OVER (PARTITION BY f.subject, f.run ORDER BY f.tr)"),
        "{message}"
    );
    let apart = format!("{call} (PARTITION BY f.subject, f.run ORDER BY f.tr) FROM {joined}");
    assert_eq!(error(&apart), "");

    // The holes of an outer join have no keys, and go with the run.
    let grid = format!(
        "{call} (ORDER BY g.tr) FROM generate_series(0, 5) AS g(tr) \
         LEFT JOIN (SELECT * FROM {runs} WHERE run = '2') AS f ON f.tr = g.tr"
    );
    assert_eq!(error(&grid), "");
}
