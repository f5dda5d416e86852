//! kill -9 while statements write: each has happened wholly or not at all.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROWS: usize = 200_000;
const KILLS: u32 = 20;

fn start(db: &Path, sql: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_voxql"))
        .arg("--db")
        .arg(db)
        .args(["--format", "csv", "-c", sql])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The answer without its header.
fn ask(db: &Path, sql: &str) -> String {
    let output = start(db, sql).wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{sql}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().skip(1).collect::<Vec<_>>().join("\n")
}

/// Runs the statement `KILLS` times and kills each run at another moment, from its
/// start to a little after its usual end; after each kill `check` looks at the database.
fn kill_at_many_moments(db: &Path, sql: impl Fn(u32) -> String, check: impl Fn(u32)) {
    let started = Instant::now();
    assert!(start(db, &sql(0)).wait().unwrap().success(), "{}", sql(0));
    let usual = started.elapsed();
    check(0);
    for i in 1..=KILLS {
        let mut child = start(db, &sql(i));
        // Spread over the run, with a jitter from the clock so that no two test runs are alike.
        let jitter = Duration::from_nanos(started.elapsed().subsec_nanos().into()) / 40_000;
        std::thread::sleep(usual * i / KILLS + jitter.min(usual / KILLS));
        child.kill().unwrap();
        child.wait().unwrap();
        check(i);
    }
}

fn left_in_staging(db: &Path) -> usize {
    let entries = std::fs::read_dir(db.join(".staging")).unwrap().flatten();
    entries.filter(|e| e.file_name() != "replaced").count()
}

fn rows(more: &str) -> String {
    format!("SELECT value AS n, sin(value) AS x {more} FROM generate_series(1, {ROWS})")
}

#[test]
fn create_table_as() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    kill_at_many_moments(
        &db,
        |i| format!("CREATE TABLE t{i} AS {}", rows("")),
        |i| {
            let tables = ask(
                &db,
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
            );
            if tables.lines().any(|table| table == format!("t{i}")) {
                assert_eq!(
                    ask(&db, &format!("SELECT count(*), count(x) FROM t{i}")),
                    format!("{ROWS},{ROWS}")
                );
            }
        },
    );
    // The next start has swept what the kills left.
    assert_eq!(left_in_staging(&db), 0);
}

#[test]
fn create_or_replace_table() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    kill_at_many_moments(
        &db,
        |i| {
            format!(
                "CREATE OR REPLACE TABLE t AS {}",
                rows(&format!(", {i} AS round"))
            )
        },
        |_| {
            // Always one whole round: the old or the new.
            let found = ask(&db, "SELECT count(*), count(DISTINCT round) FROM t");
            assert_eq!(found, format!("{ROWS},1"));
        },
    );
}

#[test]
fn insert() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    ask(&db, &format!("CREATE TABLE t AS {}", rows("")));
    kill_at_many_moments(
        &db,
        |_| format!("INSERT INTO t {}", rows("")),
        |_| {
            let count: usize = ask(&db, "SELECT count(*) FROM t").parse().unwrap();
            assert_eq!(count % ROWS, 0, "an INSERT is there in part");
        },
    );
}

/// The image is the old or the new one, whole; never a part of one.
#[test]
fn copy_of_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (run, image) = (place("run.nii"), place("image.nii.gz"));
    ask(
        &db,
        &format!(
            "COPY (SELECT (value * 7919) % 40 AS i, value / 40 % 40 AS j, value / 1600 AS k,
                          arrow_cast(range(0, 60), 'List(Int16)') AS v
                   FROM generate_series(0, 63999))
             TO '{run}' STORED AS NIFTI
             OPTIONS (like '{}', tr 2)",
            grid(folder.path())
        ),
    );
    kill_at_many_moments(
        &db,
        |i| {
            format!(
                "COPY (SELECT tr, vector_sum(bold) OVER (PARTITION BY tr) AS bold
                       FROM read_bold('{run}') WHERE tr < 60 - {i} % 2)
                 TO '{image}' STORED AS NIFTI OPTIONS (like '{run}')"
            )
        },
        |_| {
            if Path::new(&image).exists() {
                let found = ask(
                    &db,
                    &format!("SELECT count(*), sum(bold[7]), sum(tr) FROM read_bold('{image}')"),
                );
                assert!(
                    found == "60,1770.0,1770" || found == "59,1711.0,1711",
                    "{found}"
                );
            }
        },
    );
}

/// An image of 40 × 40 × 40 voxels of 0, for its grid.
fn grid(folder: &Path) -> String {
    let mut bytes = vec![0u8; 352 + 64_000];
    bytes[..4].copy_from_slice(&348i32.to_le_bytes());
    for (i, n) in [3i16, 40, 40, 40, 1, 1, 1, 1].iter().enumerate() {
        bytes[40 + 2 * i..42 + 2 * i].copy_from_slice(&n.to_le_bytes());
    }
    bytes[70..72].copy_from_slice(&2i16.to_le_bytes());
    bytes[108..112].copy_from_slice(&352f32.to_le_bytes());
    bytes[344..348].copy_from_slice(b"n+1\0");
    let path = folder.join("grid.nii");
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

#[test]
fn create_model() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let bold = "SELECT s AS subject, t AS tr, array_agg(sin(t * (v + s) * 0.1) ORDER BY v) AS bold
                FROM generate_series(1, 3) a(s), generate_series(1, 60) b(t), generate_series(1, 200) c(v)
                GROUP BY s, t";
    ask(&db, &format!("CREATE TABLE bold AS {bold}"));
    kill_at_many_moments(
        &db,
        |i| {
            format!(
                "CREATE MODEL m{i} USING srm OPTIONS (features 5, demean true) AS SELECT subject, tr, bold FROM bold"
            )
        },
        |i| {
            let models = ask(&db, "SHOW MODELS");
            if models
                .lines()
                .any(|model| model.starts_with(&format!("m{i},")))
            {
                let sql = format!(
                    "SELECT count(srm_transform(bold, subject, model => 'm{i}')) FROM bold"
                );
                assert_eq!(ask(&db, &sql), "180");
            }
        },
    );
    assert_eq!(left_in_staging(&db), 0);
}

#[test]
fn create_index() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let vectors = "SELECT i AS id, array_agg(sin(i * i * (j + 1) * 0.37) ORDER BY j) AS emb
                   FROM generate_series(1, 6000) a(i), generate_series(1, 16) b(j) GROUP BY i";
    ask(&db, &format!("CREATE TABLE t AS {vectors}"));
    let query =
        "SELECT id FROM t ORDER BY l2_distance(emb, (SELECT emb FROM t WHERE id = 77)) LIMIT 1";
    kill_at_many_moments(
        &db,
        |_| {
            "DROP INDEX IF EXISTS i; CREATE INDEX i ON t USING hnsw (emb) WITH (metric = 'l2')"
                .to_string()
        },
        |_| {
            // Whole, or not there; and what it answers is right.
            let shown = ask(&db, "SHOW INDEXES");
            assert!(shown.is_empty() || shown.ends_with(",used"), "{shown}");
            assert_eq!(ask(&db, query), "77");
        },
    );
    assert_eq!(left_in_staging(&db), 0);
}

/// A file of a model that was cut off, changed, or lost is an error that names it, and the model can be made anew.
#[test]
fn a_damaged_model_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let make = |more: &str| {
        format!(
            "CREATE {more} MODEL m USING srm OPTIONS (features 2) AS
             SELECT s AS subject, t AS tr, array_agg(sin(t * (v + s) * 0.1) ORDER BY v) AS bold
             FROM generate_series(1, 3) a(s), generate_series(1, 20) b(t), generate_series(1, 9) c(v) GROUP BY s, t"
        )
    };
    ask(&db, &make(""));
    let model = db.join("models/m");
    let files = [
        "model.json",
        "subjects.parquet",
        "shared.parquet",
        "sigma.parquet",
        "times.parquet",
    ];
    let mut there: Vec<_> = std::fs::read_dir(&model)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut expected = files;
    expected.sort_unstable();
    assert_eq!(there, expected);
    for name in files {
        let file = model.join(name);
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        let damages: [Option<&[u8]>; 4] = [
            Some(&whole[..whole.len() / 2]),
            Some(&[]),
            Some(&flipped),
            None,
        ];
        for damage in damages {
            // A changed letter of the description may mean nothing, or another description.
            if name == "model.json" && damage == Some(&flipped[..]) {
                continue;
            }
            match damage {
                Some(bytes) => std::fs::write(&file, bytes).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            let sql = "SELECT count(*) FROM model_weights('m')";
            let output = start(&db, sql).wait_with_output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{name} was damaged");
            assert!(
                error.contains("CREATE OR REPLACE MODEL makes it anew"),
                "{error}"
            );
            ask(&db, &make("OR REPLACE"));
            assert_eq!(ask(&db, sql), "6");
        }
    }
}

#[test]
fn copy_to_a_sound() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let target = folder.path().join("tone.wav");
    kill_at_many_moments(
        &db,
        |_| {
            format!(
                "COPY (SELECT sin(value / 10.0) AS sample FROM generate_series(1, {ROWS}) ORDER BY value) \
                 TO '{}' STORED AS WAV OPTIONS (sample_rate 8000)",
                target.display()
            )
        },
        |_| {
            let sound = format!(
                "SELECT sum(array_length(samples)) FROM read_audio('{}')",
                target.display()
            );
            assert_eq!(ask(&db, &sound), ROWS.to_string());
        },
    );
}
