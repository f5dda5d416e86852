use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use serde_json::Value as Json;

use super::super::format::Value;
use super::super::testing::{error, file, here, options, project, read, scan};
use super::*;

const RUN: &str = "tests/data/confounds/sub-01_task-rest_run-1_desc-confounds_timeseries.tsv";

fn text(value: &str) -> Value {
    Value::Text(value.to_string())
}

fn names(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|f| f.name().as_str()).collect()
}

/// The elements of a vector column's row; NaN where one is missing.
fn vector(column: &ArrayRef, row: usize) -> Vec<f64> {
    let values = match column.as_fixed_size_list_opt() {
        Some(list) => list.value(row),
        None => column.as_list::<i32>().value(row),
    };
    let values = values.as_primitive::<Float64Type>();
    values.iter().map(|v| v.unwrap_or(f64::NAN)).collect()
}

fn named(batch: &RecordBatch, row: usize) -> Vec<String> {
    let names = batch["names"].as_list::<i32>().value(row);
    let names = names.as_string::<i32>();
    names.iter().flatten().map(str::to_string).collect()
}

/// A case's arguments, as a call would give them.
fn arguments(case: &Json) -> Vec<(&str, Value)> {
    let value = |name: &str, json: &Json| match json {
        Json::String(v) => text(v),
        Json::Bool(v) => Value::Boolean(*v),
        Json::Array(items) => {
            let items = items.iter().map(|v| v.as_str().unwrap().to_string());
            Value::Texts(items.collect())
        }
        Json::Number(v) if name == "n_compcor" => text(&v.to_string()),
        Json::Number(v) => match v.as_i64() {
            Some(v) => Value::Integer(v),
            None => Value::Float(v.as_f64().unwrap()),
        },
        other => panic!("{other}"),
    };
    let given = case["arguments"].as_object().unwrap().iter();
    given.map(|(n, v)| (n.as_str(), value(n, v))).collect()
}

/// Every case of `tests/data/confounds/make.py` against nilearn's numbers.
#[test]
fn golden() {
    let folder = here("tests/data/confounds");
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let golden: Json = serde_json::from_str(&text).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 100);
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let path = folder.join(case["file"].as_str().unwrap());
        let given = arguments(case);
        if case.get("error").is_some() {
            let message = error(&Confounds, &path, &given);
            assert!(message.contains("sub-"), "{id}: {message}");
            note!("golden confounds {id}: an error here and there");
            continue;
        }
        let batch = read(&Confounds, &path, &given).unwrap_or_else(|e| panic!("{id}: {e}"));
        let mask = batch["sample_mask"].as_boolean();
        let dropped: Vec<_> = (0..batch.num_rows()).filter(|t| !mask.value(*t)).collect();
        let want: Vec<usize> = serde_json::from_value(case["dropped"].clone()).unwrap();
        assert_eq!(dropped, want, "{id}");

        let places = case["columns"].as_array().unwrap().iter();
        let columns: Vec<_> = places
            .map(|place| &golden["columns"][place.as_u64().unwrap() as usize])
            .collect();
        let want: Vec<_> = columns.iter().map(|c| c[0].as_str().unwrap()).collect();
        for row in 0..batch.num_rows() {
            assert_eq!(named(&batch, row), want, "{id}");
            let got = vector(&batch["confounds"], row);
            assert_eq!(got.len(), columns.len(), "{id}");
            for (got, column) in got.iter().zip(&columns) {
                assert_eq!(
                    column.as_array().unwrap().len(),
                    batch.num_rows() + 1,
                    "{id}"
                );
                let want = column[row + 1].as_f64().unwrap_or(f64::NAN);
                let near = (got - want).abs() <= 1e-9 + 1e-9 * want.abs();
                assert!(
                    near || (got.is_nan() && want.is_nan()),
                    "{id}: {} of TR {row} is {got}, not {want}",
                    column[0]
                );
            }
        }
        note!("golden confounds {id}: {} columns", columns.len());
    }
}

#[test]
fn columns_as_they_are() {
    let content =
        "\u{FEFF}trans_x\ttrans_x_derivative1\trun\ttr\r\n1.5\tn/a\t2\t7\r\n-2e-3\t\t3\tNaN\r\n";
    let (_dir, path) = file("sub-1_space-x_bold.tsv", content);
    let batch = read(&Confounds, &path, &[]).unwrap();
    let schema = batch.schema();
    assert_eq!(
        names(&schema),
        [
            "tr",
            "trans_x",
            "trans_x_derivative1",
            "confounds_run",
            "confounds_tr"
        ]
    );
    assert_eq!(
        batch["tr"].as_primitive::<Int64Type>().values().to_vec(),
        [0, 1]
    );
    let column = |name: &str| batch[name].as_primitive::<Float64Type>().clone();
    assert_eq!(column("trans_x").values().to_vec(), [1.5, -0.002]);
    assert_eq!(column("trans_x_derivative1").null_count(), 2);
    assert_eq!(column("confounds_run").values().to_vec(), [2.0, 3.0]);
    assert!(column("confounds_tr").is_null(1) && column("confounds_tr").value(0) == 7.0);
    // One column needs no tab.
    let (_dir, path) = file("a.tsv", "fd\n0.1\nn/a\n");
    assert_eq!(read(&Confounds, &path, &[]).unwrap().num_rows(), 2);
}

#[test]
fn several_files() {
    let (_a, a) = file("a.tsv", "csf\tx\n1\t2\n");
    let (_b, b) = file("b.tsv", "y\tcsf\n3\t4\n");
    let (_c, c) = file("c.tsv", "");
    let found = Confounds
        .describe(vec![a.clone(), b.clone(), c.clone()], &options(&[]))
        .unwrap();
    assert_eq!(found.files, [a, b.clone()]);
    assert_eq!(names(&found.schema), ["tr", "csf", "x", "y"]);
    let mut second = scan(&Confounds, &b, &[]).unwrap();
    second.schema = found.schema;
    let batch = Confounds.open(&second).unwrap().next().unwrap().unwrap();
    assert!(batch["x"].is_null(0));
    assert_eq!(batch["csf"].as_primitive::<Float64Type>().value(0), 4.0);
    let message = error(&Confounds, &c, &[]);
    assert!(message.contains("c.tsv: the file is empty"), "{message}");
}

#[test]
fn the_vector_is_fixed_where_all_files_have_as_many() {
    let folder = here("tests/data/confounds");
    let run = |name: &str| folder.join(format!("{name}_desc-confounds_timeseries.tsv"));
    let files = vec![run("sub-01_task-rest_run-1"), run("sub-01_task-rest_run-2")];
    let of = |files: &[PathBuf], given: &[(&str, Value)]| {
        let found = Confounds.describe(files.to_vec(), &options(given)).unwrap();
        found.schema.field(1).clone()
    };
    let field = of(&files, &[("strategy", text("high_pass"))]);
    assert!(matches!(field.data_type(), DataType::FixedSizeList(_, 3)));
    assert_eq!(
        field.metadata()[NAMES_KEY],
        r#"["cosine00","cosine01","cosine02"]"#
    );
    let more = [files, vec![run("sub-03_task-rest")]].concat();
    let field = of(&more, &[("strategy", text("high_pass"))]);
    assert!(matches!(field.data_type(), DataType::List(_)));
    assert_eq!(field.metadata()[MAX_LENGTH_KEY], "3");
    assert!(!field.metadata().contains_key(NAMES_KEY));
    let field = of(&more, &[("strategy", text("scrub"))]);
    assert!(matches!(field.data_type(), DataType::List(_)));
}

#[test]
fn projection_limit_and_batches() {
    for given in [vec![], vec![("strategy", text("scrubbing"))]] {
        let whole = read(&Confounds, &here(RUN), &given).unwrap();
        let mut some = scan(&Confounds, &here(RUN), &given).unwrap();
        some.limit = Some(5);
        some.batch_bytes = 1;
        let batches: Vec<_> = Confounds
            .open(&some)
            .unwrap()
            .collect::<Result<_>>()
            .unwrap();
        assert_eq!(batches.len(), 5);
        assert_eq!(batches[4], whole.slice(4, 1));
        let trs = project(some, &["tr"]);
        let last = Confounds.open(&trs).unwrap().last().unwrap().unwrap();
        assert_eq!(last["tr"].as_primitive::<Int64Type>().value(0), 4);
        let none = project(scan(&Confounds, &here(RUN), &given).unwrap(), &[]);
        let rows = Confounds
            .open(&none)
            .unwrap()
            .map(|b| b.unwrap().num_rows());
        assert_eq!(rows.sum::<usize>(), whole.num_rows());
    }
}

#[test]
fn short_runs() {
    let given = [("strategy", text("global_signal"))];
    let (_dir, path) = file("a.tsv", "global_signal\tx\n");
    assert_eq!(read(&Confounds, &path, &given).unwrap().num_rows(), 0);
    let (_dir, path) = file("a.tsv", "global_signal\tx\nn/a\t1\n");
    let batch = read(&Confounds, &path, &given).unwrap();
    assert!(vector(&batch["confounds"], 0)[0].is_nan());
    // Every volume is gone: nothing has a mean.
    let content = "global_signal\tframewise_displacement\tstd_dvars\n1\t9\t1\n2\t9\t1\n";
    let (_dir, path) = file("a.tsv", content);
    let components = ["global_signal", "scrub"].map(str::to_string).to_vec();
    let batch = read(&Confounds, &path, &[("strategy", Value::Texts(components))]).unwrap();
    assert_eq!(batch["sample_mask"].as_boolean().true_count(), 0);
    assert!(vector(&batch["confounds"], 1)[0].is_nan());
}

#[test]
fn bad_files() {
    for (content, parts) in [
        ("\n", ["no header line; the first line of confounds", ""]),
        ("a,b,c\n1,2,3\n", ["no tab in its first line", ""]),
        ("1.5\t2\n3\t4\n", ["first line holds numbers", ""]),
        ("a\tb\ta\n1\t2\t3\n", ["two columns are named a", ""]),
        ("a\t\n1\t2\n", ["column 2 has no name", ""]),
        ("a\tb\n1\t2\n3\n", ["line 3", "1 values for 2 columns"]),
        ("a\tb\n1\tx y\n", ["line 2", "b is \"x y\", not a number"]),
        ("a\tb\n1\tinf\n", ["line 2", "b is \"inf\""]),
    ] {
        let (_dir, path) = file("bad.tsv", content);
        let message = error(&Confounds, &path, &[]);
        let named = message.contains("bad.tsv: ");
        assert!(
            named && parts.iter().all(|part| message.contains(part)),
            "{message}"
        );
    }
}

#[test]
fn what_a_strategy_lacks_is_named() {
    let (_dir, path) = file("a.tsv", "trans_x\ttrans_y\trot_x\tcsf\n1\t2\t3\t4\n");
    let of = |strategy: &str, given: &[(&'static str, Value)]| {
        let strategy = strategy.split(' ').map(str::to_string).collect();
        let given = [&[("strategy", Value::Texts(strategy))], given].concat();
        error(&Confounds, &path, &given)
    };
    let message = of("motion wm_csf scrub", &[("motion", text("basic"))]);
    assert!(
        message.contains(
            "a.tsv: the strategy needs columns that this file lacks: trans_z, rot_y, rot_z (for motion); \
             white_matter (for wm_csf); framewise_displacement, std_dvars (for scrub)"
        ),
        "{message}"
    );
    let message = of("ica_aroma", &[("ica_aroma", text("basic"))]);
    assert!(
        message.contains("aroma_motion_… (for ica_aroma)"),
        "{message}"
    );
    let message = of("high_pass compcor", &[]);
    assert!(message.contains("compcor needs the JSON"), "{message}");
    std::fs::write(path.with_extension("json"), "{\n\"a_comp_cor_00\": }").unwrap();
    let message = of("high_pass compcor", &[]);
    assert!(
        message.contains("a.json: not valid JSON") && message.contains("line 2"),
        "{message}"
    );
    let component = r#"{"a_comp_cor_00": {"Mask": "combined"}}"#;
    std::fs::write(path.with_extension("json"), component).unwrap();
    let message = of("high_pass compcor", &[]);
    assert!(
        message.contains("lacks: a_comp_cor_00 (for compcor)"),
        "{message}"
    );

    let (_dir, path) = file("a.tsv", "X\tFramewiseDisplacement\n1\t2\n");
    let message = error(&Confounds, &path, &[("strategy", text("simple"))]);
    assert!(
        message.contains("FramewiseDisplacement are those of fMRIPrep before 1.2"),
        "{message}"
    );
}

#[test]
fn an_image_that_aroma_cleaned_is_looked_for_by_its_run() {
    let (dir, path) = file("sub-1_task-x_run-1_desc-confounds_timeseries.tsv", "csf\n");
    let put = |name: &str| std::fs::write(dir.path().join(name), "").unwrap();
    put("sub-1_task-x_run-2_space-a_desc-smoothAROMAnonaggr_bold.nii.gz");
    put("sub-1_task-x_run-1_space-a_desc-preproc_bold.nii.gz");
    assert!(!has_cleaned_image(&path));
    put("sub-1_task-x_run-1_space-a_desc-smoothAROMAnonaggr_bold.nii.gz");
    assert!(has_cleaned_image(&path));
}
