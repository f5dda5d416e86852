//! The program `voxql` as a person or a script uses it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use assert_cmd::Command;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use predicates::prelude::*;
use predicates::str::{contains, diff, is_empty, is_match, starts_with};

/// A vector of 80 numbers: 0.25, 1.25, …
const VECTOR: &str = "SELECT arrow_cast(array_agg(i + 0.25 ORDER BY i), 'FixedSizeList(80, Float32)') AS v \
                      FROM generate_series(0, 79) AS t(i)";

fn voxql() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxql"));
    command.env_remove("VOXQL_LOG");
    command
}

fn write(dir: &Path, name: &str, sql: &str) -> String {
    let file = dir.join(name);
    fs::write(&file, sql).unwrap();
    file.display().to_string()
}

#[test]
fn a_table_has_header_rows_and_count() {
    voxql()
        .args([
            "-c",
            "SELECT 7 AS n, 'a' AS t UNION ALL SELECT 10, NULL ORDER BY n",
        ])
        .assert()
        .success()
        .stdout(diff(
            "  n │ t\n────┼──────\n  7 │ a\n 10 │ NULL\n2 rows\n\n",
        ))
        .stderr(is_empty());
}

#[test]
fn a_pipe_gets_all_rows_and_all_text() {
    let long = "x".repeat(300);
    voxql()
        .args([
            "-c",
            &format!("SELECT value, '{long}' FROM generate_series(1, 5000)"),
        ])
        .assert()
        .success()
        .stdout(contains(format!(" 5000 │ {long}\n")).and(contains("5000 rows\n")));
}

#[test]
fn vectors_are_shortened_in_tables_only() {
    voxql()
        .args(["-c", VECTOR])
        .assert()
        .success()
        .stdout(contains(" [0.25, 1.25, … ×80]\n1 row\n"));
    let whole = starts_with("{\"v\":[0.25,1.25,2.25,").and(contains(",79.25]}"));
    voxql()
        .args(["--format", "json", "-c", VECTOR])
        .assert()
        .success()
        .stdout(whole);
    let whole = starts_with("v\n\"[0.25,1.25,2.25,").and(contains(",79.25]\""));
    voxql()
        .args(["--format", "csv", "-c", VECTOR])
        .assert()
        .success()
        .stdout(whole);
}

#[test]
fn csv() {
    voxql()
        .args([
            "--format",
            "csv",
            "-c",
            "SELECT 1 AS a, 'x,\"y' AS b, NULL AS c, 0.1 AS d",
        ])
        .assert()
        .success()
        .stdout(diff("a,b,c,d\n1,\"x,\"\"y\",,0.1\n"));
}

#[test]
fn json() {
    voxql()
        .args([
            "--format",
            "json",
            "-c",
            "SELECT i, [i, NULL] AS l FROM generate_series(1, 2) t(i)",
        ])
        .assert()
        .success()
        .stdout(diff("{\"i\":1,\"l\":[1,null]}\n{\"i\":2,\"l\":[2,null]}\n"));
}

#[test]
fn parquet_bytes_are_a_file() {
    let sql = "SELECT i, arrow_cast([i, i], 'FixedSizeList(2, Float32)') AS v \
               FROM generate_series(1, 20000) t(i) ORDER BY i";
    let output = voxql()
        .args(["--format", "parquet", "-c", sql])
        .output()
        .unwrap();
    assert!(output.status.success());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.parquet");
    fs::write(&path, &output.stdout).unwrap();
    let file = fs::File::open(&path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
    let numbers = batches
        .iter()
        .flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec());
    assert!(numbers.eq(1..=20000));
    assert_eq!(batches[0].column(1).as_fixed_size_list().value_length(), 2);
}

#[test]
fn stdout_holds_one_parquet_file() {
    voxql()
        .args(["--format", "parquet", "-c", "SELECT 1; SELECT 2"])
        .assert()
        .code(1)
        .stderr(contains("one Parquet file").and(contains("COPY")));
}

#[test]
fn statements_run_in_order_up_to_the_first_error() {
    voxql()
        .args([
            "--format",
            "csv",
            "-c",
            "SELECT 1 AS a; SELECT 1/0; SELECT 3 AS c",
            "-c",
            "SELECT 4 AS d",
        ])
        .assert()
        .code(1)
        .stdout(diff("a\n1\n"))
        .stderr(starts_with("error: ").and(contains("zero")));
}

/// One warning for a query, however often the function is there, planned or called.
#[test]
fn few_samples_of_a_response_are_a_warning() {
    let warnings = |sql: &str| {
        let output = voxql().args(["-c", sql]).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        let warnings = text.lines().filter(|line| line.starts_with("warning: "));
        warnings.map(str::to_string).collect::<Vec<_>>()
    };
    let window = |arguments: &str| {
        format!(
            "SELECT count(a), count(b) FROM (
                 SELECT hrf_convolve(x, tr => 1.5, {arguments}) OVER (PARTITION BY r ORDER BY tr) AS a,
                        hrf_convolve(2 * x, tr => 1.5, {arguments}) OVER (PARTITION BY r ORDER BY tr) AS b
                 FROM (SELECT r, tr, 1.0 AS x FROM tr_grid(n => 9, tr => 1.5)
                       CROSS JOIN generate_series(1, 5) AS g(r)))"
        )
    };
    assert_eq!(
        warnings(&window("oversampling => 5")),
        [
            "warning: hrf_convolve: with oversampling => 5 nilearn's response is up to 0.3 s late; use 50, \
          the default, or exact => true"
        ]
    );
    let found = warnings(
        "SELECT glover_hrf(tr => 2, oversampling => 1) AS a, glover_hrf(tr => 2, oversampling => 1) AS b",
    );
    assert_eq!(
        found,
        [
            "warning: glover_hrf: with oversampling => 1 nilearn's response is up to 2 s late; use 50, the \
          default, or exact => true"
        ]
    );
    for sql in [
        window("oversampling => 10"),
        window("oversampling => 1, exact => true"),
        window("model => 'fir', delays => [1], oversampling => 1"),
        "SELECT glover_hrf(tr => 2, oversampling => 1, exact => true), spm_hrf(tr => 2)".into(),
    ] {
        assert!(warnings(&sql).is_empty(), "{sql}");
    }
}

/// A model that is judged on what it was fitted on is warned about, whoever judges it.
/// Onsets in milliseconds would be a design of zeros.
#[test]
fn events_after_the_run_are_a_warning() {
    let design = |onset: &str| {
        let rows = format!(
            "SELECT run, {onset} AS onset, 1.0 AS duration FROM (VALUES (1), (2)) AS r(run)"
        );
        let sql =
            format!("SELECT max(dummy) > 0 FROM design_matrix(({rows}), tr => 2.0, n_scans => 20)");
        voxql().args(["-c", &sql]).assert().success()
    };
    design("run * 10").stderr(is_empty());
    design("run * 20000").stderr(
        contains("design_matrix: run = 1: 1 of 1 events begin after the run").and(contains("40 s")),
    );
    design("run * 20").stderr(contains("run = 2: 1 of 1"));
}

#[test]
fn judging_a_model_on_its_own_rows_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("study");
    let run = |sql: &str| {
        let output = voxql().args(["--db"]).arg(&db).args(["-c", sql]).output();
        let output = output.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        let warnings = text.lines().filter(|line| line.starts_with("warning: "));
        warnings.map(str::to_string).collect::<Vec<_>>()
    };
    run("CREATE TABLE bold AS
             SELECT 's' || s AS subject, r AS run, t AS tr,
                    array_agg(sin(r + t * 0.9) * sin(v * s) + cos(t * t * 0.11) * cos(v + s) ORDER BY v) AS bold
             FROM generate_series(1, 3) AS a(s), generate_series(1, 2) AS b(r), generate_series(0, 29) AS c(t),
                  generate_series(1, 5) AS d(v)
             GROUP BY s, r, t;
         CREATE MODEL m USING srm OPTIONS (features 2) AS SELECT subject, run, tr, bold FROM bold WHERE run = 1;
         CREATE MODEL e USING ridge OPTIONS (alphas '1') AS
             SELECT subject, run, tr, [sin(tr)] AS x, bold FROM bold WHERE run = 1");
    let shared =
        "SELECT subject, run, tr, srm_transform(bold, subject, model => 'm') AS shared FROM bold";
    let predicted = "SELECT subject, run, tr, bold, ridge_predict([sin(tr)], model => 'e', subject => subject) AS p FROM bold";
    for (call, model) in [
        (format!("isc(({shared}))"), "m"),
        (format!("isfc(({shared}))"), "m"),
        (format!("time_segment_matching(({shared}))"), "m"),
        (format!("encoding_scores(({predicted}))"), "e"),
    ] {
        let rows = |condition: &str| {
            let judged = call.replace("FROM bold", &format!("FROM bold WHERE {condition}"));
            run(&format!("SELECT count(*) FROM {judged}"))
        };
        let function = call.split('(').next().unwrap();
        assert_eq!(
            rows("run IN (1, 2)"),
            [format!(
                "warning: {function}: 90 of 180 rows are TRs that the model {model} was fitted on, so the result is too \
                 good; fit on some runs and judge on others (docs/splits.md)"
            )]
        );
        assert!(rows("run = 2").is_empty(), "{call}");
    }
    // Voxels themselves were made by no model.
    let voxels = "SELECT count(*) FROM isc((SELECT subject, run, tr, bold FROM bold))";
    assert!(run(voxels).is_empty());
}

#[test]
fn commands_and_files_mix_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "two.sql", "SELECT b + 1 AS c FROM t;\n");
    voxql()
        .args(["--format", "csv", "-c", "CREATE TABLE t AS SELECT 1 AS b"])
        .args(["-f", &file, "-c", "SELECT b + 2 AS d FROM t"])
        .assert()
        .success()
        .stdout(diff("c\n2\nd\n3\n"));
}

#[test]
fn errors_name_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "bad.sql",
        "-- one\nSELECT 1;\n\n/* two\n*/\nSELECT *\nFROM missing;\n",
    );
    voxql()
        .args(["-f", &file])
        .assert()
        .code(1)
        .stdout(contains("1 row\n"))
        .stderr(starts_with(format!("error: {file}:6: ")).and(contains("missing")));
}

#[test]
fn syntax_errors_name_their_own_line_and_nothing_runs() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "bad.sql", "SELECT 1;\nSELECT\n  2 +\n;\n");
    voxql()
        .args(["-f", &file])
        .assert()
        .code(1)
        .stdout(is_empty())
        .stderr(starts_with(format!("error: {file}:4: syntax error: ")));
}

#[test]
fn a_file_that_is_not_there() {
    voxql()
        .args(["-f", "nowhere.sql"])
        .assert()
        .code(1)
        .stderr(contains("cannot read nowhere.sql"));
}

#[test]
fn sql_comes_from_stdin() {
    voxql()
        .args(["--format", "csv"])
        .write_stdin("SELECT 1 AS a;\nSELECT 2 AS b")
        .assert()
        .success()
        .stdout(diff("a\n1\nb\n2\n"));
    voxql()
        .write_stdin("\nSELECT nope;")
        .assert()
        .code(1)
        .stderr(starts_with("error: <stdin>:2: "));
    voxql()
        .write_stdin("")
        .assert()
        .success()
        .stdout(is_empty());
}

#[test]
fn errors_are_plain_and_keep_suggestions() {
    voxql()
        .args(["-c", "SELECT cosine_distanc([1], [2])"])
        .assert()
        .code(1)
        .stderr(
            contains("cosine_distance")
                .and(contains("Error during").not())
                .and(contains("backtrace").not()),
        );
}

#[test]
fn wrong_arguments_say_what_is_right() {
    for (arguments, said) in [
        (["--memory-limit", "8"], "unit is missing"),
        (["--memory-limit", "8XB"], "GiB"),
        (["--memory-limit", "lots"], "8GB"),
        (["--format", "xml"], "csv"),
        (["--threads", "0"], "0 is not in 1.."),
    ] {
        voxql()
            .args(arguments)
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(contains(said));
    }
}

#[test]
fn a_query_that_needs_more_memory_says_what_to_raise() {
    let side = "SELECT value AS n, repeat('x', 300) || CAST(value AS VARCHAR) AS x FROM generate_series(1, 100000)";
    let join = format!(
        "SELECT count(*) FROM ({side}) a JOIN ({side}) b ON a.n = b.n WHERE a.x <> upper(b.x)"
    );
    let with = |limit: &str| {
        let mut command = voxql();
        command.args(["--memory-limit", limit, "--threads", "1", "-c", &join]);
        command.assert()
    };
    with("512MiB").success();
    with("16MiB").code(1).stderr(
        contains("out of memory: ")
            .and(contains("may hold 16.0 MB"))
            .and(contains("a higher --memory-limit")),
    );
}

#[test]
fn the_version_names_the_engine() {
    voxql()
        .arg("--version")
        .assert()
        .success()
        .stdout(is_match(r"^voxql \d+\.\d+\.\d+\nDataFusion 55\..*\ninference: ").unwrap());
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let command = format!(
        "{} --format csv -c 'SELECT * FROM generate_series(1, 3000000)' | head -n 1; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_voxql")
    );
    Command::new("bash")
        .args(["-c", &command])
        .assert()
        .success()
        .stdout(diff("value\n"))
        .stderr(is_empty());
}

#[cfg(unix)]
#[test]
fn an_interrupt_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_voxql"))
        .env("TMPDIR", dir.path())
        .args(["--format", "csv", "-c", "SELECT 1 AS running"])
        .args([
            "-c",
            "SELECT count(*) FROM generate_series(1, 1000000000000)",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(program.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "running\n");
    std::thread::sleep(Duration::from_millis(300));
    let id = program.id().to_string();
    Command::new("kill").args(["-INT", &id]).assert().success();
    assert_eq!(program.wait().unwrap().code(), Some(130));
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 0, "the temporary database is still there");
}

/// The number of rows in a folder of Parquet.
fn rows_of(folder: &Path) -> String {
    let count = format!("SELECT count(*) AS n FROM '{}/'", folder.display());
    let done = voxql()
        .args(["--format", "csv", "-c", &count])
        .assert()
        .success();
    let text = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
    text.lines().last().unwrap_or_default().to_string()
}

#[test]
fn a_folder_is_written_once_or_replaced_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("aligned");
    let copy = |rows: &str, options: &str| {
        let sql = format!(
            "COPY ({rows}) TO '{}/' STORED AS PARQUET PARTITIONED BY (subject) {options}",
            folder.display()
        );
        voxql().args(["-c", &sql]).assert()
    };
    let rows = "SELECT '0' || value AS subject, value AS tr FROM generate_series(1, 4)";
    copy(rows, "").success();
    assert_eq!(rows_of(&folder), "4");
    copy(rows, "")
        .failure()
        .code(1)
        .stderr(contains("the folder is not empty").and(contains("OPTIONS (overwrite true)")));
    assert_eq!(rows_of(&folder), "4");
    copy(
        "SELECT '1' AS subject, value AS tr FROM generate_series(1, 2)",
        "OPTIONS (overwrite true)",
    )
    .success();
    assert_eq!(rows_of(&folder), "2");

    // A query that fails half-way leaves what was there, and nothing else.
    copy(
        "SELECT '2' AS subject, 1 / (value - 90000) AS tr FROM generate_series(1, 100000)",
        "OPTIONS (overwrite true)",
    )
    .failure();
    assert_eq!(rows_of(&folder), "2");
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    copy(rows, "OPTIONS (overwrite perhaps)")
        .failure()
        .stderr(contains("overwrite is true or false"));

    // Not the folder in which the database lies.
    let database = scratch.path().join("study");
    let over_it = format!(
        "COPY ({rows}) TO '{}/' STORED AS PARQUET OPTIONS (overwrite true)",
        scratch.path().display()
    );
    voxql()
        .arg("--db")
        .arg(&database)
        .args(["-c", &over_it])
        .assert()
        .failure()
        .stderr(contains("the database lies in this folder"));
    assert!(database.join("voxql.json").exists());

    let file = scratch.path().join("mine");
    fs::write(&file, "mine").unwrap();
    let onto_a_file = format!(
        "COPY ({rows}) TO '{}' STORED AS PARQUET PARTITIONED BY (subject) OPTIONS (overwrite true)",
        file.display()
    );
    voxql()
        .args(["-c", &onto_a_file])
        .assert()
        .failure()
        .stderr(contains("this is a file"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}
