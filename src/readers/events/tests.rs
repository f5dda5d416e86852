use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};

use super::super::testing::{error, file, options, project, read, scan, shared};
use super::*;

/// Names and types of the columns.
fn columns(schema: &Schema) -> Vec<(&str, &DataType)> {
    schema
        .fields()
        .iter()
        .map(|f| (f.name().as_str(), f.data_type()))
        .collect()
}

const F: &DataType = &DataType::Float64;
const I: &DataType = &DataType::Int64;
const S: &DataType = &DataType::Utf8;

#[test]
fn values_and_types() {
    let (_dir, path) = file(
        "a_events.tsv",
        "\u{FEFF}onset\tduration\ttrial_type\tcount\tvalue\tcode\tnone\tsign\r\n\
         1\t0.5\tface\t3\t1.5\t007\tn/a\t-3\r\n\
         2.25\tn/a\t\"a \"\"b\"\"\"\tn/a\t2\t010\t\t+4\r\n",
    );
    let batch = read(&Events, &path, &[]).unwrap();
    assert_eq!(
        columns(&batch.schema()),
        [
            ("onset", F),
            ("duration", F),
            ("trial_type", S),
            ("count", I),
            ("value", F),
            ("code", S),
            ("none", S),
            ("sign", I)
        ]
    );
    assert_eq!(
        batch["onset"]
            .as_primitive::<Float64Type>()
            .values()
            .to_vec(),
        [1.0, 2.25]
    );
    assert!(batch["duration"].is_null(1) && batch["count"].is_null(1));
    assert_eq!(batch["trial_type"].as_string::<i32>().value(1), "a \"b\"");
    assert_eq!(batch["code"].as_string::<i32>().value(0), "007");
    assert_eq!(batch["none"].null_count(), 2);
    assert_eq!(batch["sign"].as_primitive::<Int64Type>().value(1), 4);
}

#[test]
fn several_files_have_the_union_of_columns() {
    let (_a, a) = file("a.tsv", "onset\tduration\tx\ty\n1\t1\t3\t2\n");
    let (_b, b) = file(
        "b.tsv",
        "duration\tonset\tz\tx\ty\n1\t5\ttext\tn/a\tword\n2\t6\tn/a\t0.5\t1\n",
    );
    let (_c, c) = file("c.tsv", "");
    let found = Events
        .describe(vec![a.clone(), b.clone(), c], &options(&[]))
        .unwrap();
    assert_eq!(found.files, [a.clone(), b]);
    assert_eq!(
        columns(&found.schema),
        [("onset", F), ("duration", F), ("x", F), ("y", S), ("z", S)]
    );
    let mut first = scan(&Events, &a, &[]).unwrap();
    first.schema = found.schema;
    let batch = Events.open(&first).unwrap().next().unwrap().unwrap();
    assert_eq!(batch["x"].as_primitive::<Float64Type>().value(0), 3.0);
    assert_eq!(batch["y"].as_string::<i32>().value(0), "2");
    assert!(batch["z"].is_null(0));
}

#[test]
fn columns_named_as_keys_are_renamed() {
    let (_dir, path) = file("a.tsv", "onset\tduration\trun\tevents_run\n1\t1\t2\t3\n");
    let batch = read(&Events, &path, &[]).unwrap();
    let schema = batch.schema();
    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(
        names,
        ["onset", "duration", "events_events_run", "events_run"]
    );
    assert_eq!(batch["events_run"].as_primitive::<Int64Type>().value(0), 3);
}

#[test]
fn projection_limit_and_batches() {
    let (_dir, path) = file("a.tsv", "onset\tduration\tx\n1\t1\ta\n2\t1\tb\n3\t1\tc\n");
    let mut some = project(scan(&Events, &path, &[]).unwrap(), &["x", "onset"]);
    some.limit = Some(2);
    some.batch_bytes = 1;
    let batches: Vec<_> = Events.open(&some).unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[1]["x"].as_string::<i32>().value(0), "b");
    let none = project(scan(&Events, &path, &[]).unwrap(), &[]);
    let rows: usize = Events
        .open(&none)
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .sum();
    assert_eq!(rows, 3);
}

#[test]
fn a_header_alone_is_no_rows() {
    let (_dir, path) = file("a.tsv", "onset\tduration\n");
    assert_eq!(read(&Events, &path, &[]).unwrap().num_rows(), 0);
}

#[test]
fn bad_files() {
    for (content, parts) in [
        (
            &b"hello, world\n"[..],
            ["no tab in its first line", "\"hello, world\""],
        ),
        (
            b"onset,duration\n1,2\n",
            ["no tab in its first line", "\"onset,duration\""],
        ),
        (b"\n", ["no header line", ""]),
        (
            b"start\tduration\n1\t2\n",
            ["no column onset", "its columns are start, duration"],
        ),
        (b"onset\tlength\n1\t2\n", ["no column duration", "read_tsv"]),
        (b"onset\tduration\t\n1\t2\t\n", ["column 3 has no name", ""]),
        (
            b"onset\tduration\tonset\n1\t2\t3\n",
            ["two columns are named onset", ""],
        ),
        (
            b"onset\tduration\n1\t2\n3\n",
            ["line 3", "1 values for 2 columns"],
        ),
        (
            b"onset\tduration\n1\t2\t3\n",
            ["line 2", "3 values for 2 columns"],
        ),
        (
            b"onset\tduration\n1\t2\nsoon\t2\n",
            ["line 3", "onset is \"soon\""],
        ),
        (b"onset\tduration\nNaN\t2\n", ["line 2", "onset is \"NaN\""]),
        (
            b"onset\tduration\tx\n1\t2\t\"a\n2\t2\tb\n",
            ["line 2", "quotation"],
        ),
        (
            b"onset\tduration\tx\n1\t2\tcaf\xE9\n",
            ["line 2", "iconv -f LATIN1"],
        ),
        (b"\x1F\x8B\x08\0\t\0\n", ["not a text file", "line 1"]),
        // UTF-16, as some programs of Windows write it.
        (b"\xFF\xFEo\0\t\0d\0\n\0", ["line 1", "save it as UTF-8"]),
    ] {
        let (_dir, path) = file("bad.tsv", content);
        let message = error(&Events, &path, &[]);
        let named = message.contains("bad.tsv: ");
        assert!(
            named && parts.iter().all(|part| message.contains(part)),
            "{message}"
        );
    }
}

#[test]
fn real_files() {
    let Some(ds114) = shared("bids/ds114") else {
        return;
    };
    let line = "func/sub-04_ses-test_task-linebisection_events.tsv";
    let batch = read(&Events, &ds114.join("sub-04/ses-test").join(line), &[]).unwrap();
    assert_eq!(
        columns(&batch.schema()),
        [
            ("onset", F),
            ("duration", F),
            ("weight", F),
            ("trial_type", S)
        ]
    );
    assert_eq!(
        batch["onset"].as_primitive::<Float64Type>().value(1),
        25.9463
    );

    let batch = read(&Events, &ds114.join("task-fingerfootlips_events.tsv"), &[]).unwrap();
    assert_eq!(columns(&batch.schema())[2], ("weight", I));

    let Some(haxby) = shared("fmri/haxby/sub001_25mm") else {
        return;
    };
    let runs = (1..=12)
        .map(|run| haxby.join(format!("run-{run:02}_events.tsv")))
        .collect();
    let found = Events.describe(runs, &options(&[])).unwrap();
    assert_eq!(found.files.len(), 12);
    assert_eq!(
        columns(&found.schema),
        [("onset", F), ("duration", F), ("trial_type", S)]
    );
    let rows = found
        .files
        .iter()
        .map(|path| read(&Events, path, &[]).unwrap().num_rows());
    assert_eq!(rows.sum::<usize>(), 96); // 8 blocks in each run

    let Some(words) = shared("text/studyforrest_locations_run-1_events.tsv") else {
        return;
    };
    let batch = read(&Events, &words, &[]).unwrap();
    // Signs such as ++ beside 0: a text.
    assert_eq!(columns(&batch.schema())[6], ("flow_of_time", S));
    assert_eq!(batch["flow_of_time"].as_string::<i32>().value(1), "++");
}
