//! `read_audio` against `librosa.load`, all cases.

use std::collections::HashMap;
use std::fs::File;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value as Json;

use super::*;

/// Where neither rate is a whole multiple of the other, soxr loses at the start what its
/// first stage says of the time before 0: its first three samples are off by up to 5e-3.
const SOXR_START: usize = 3;

#[test]
fn librosa_load() {
    let folder = here("../shared/golden/mel");
    if !folder.is_dir() {
        note!("skipped: no golden data at {}", folder.display());
        return;
    }
    let cases = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: Json = serde_json::from_str(&cases).unwrap();
    let arrays = arrays(&folder);
    let mut tested = 0;
    for case in cases["cases"].as_array().unwrap() {
        if case["function"] != "librosa.load" {
            continue;
        }
        let id = case["id"].as_str().unwrap();
        let params = &case["params"];
        let path = folder.join(case["inputs"]["wav"]["file"].as_str().unwrap());
        let want = &arrays[case["outputs"]["y"]["array"].as_str().unwrap()];
        let tolerance = case["tol"]["atol"].as_f64().unwrap() as f32;
        let load = |path: &Path, more: &[(&str, Value)]| {
            let rate = params["sr"]
                .as_i64()
                .map(|rate| ("sample_rate", Value::Integer(rate)));
            let options: Vec<_> = [WHOLE].into_iter().chain(rate).collect();
            samples(&read(&Audio, path, &[&options, more].concat()).unwrap())
        };

        let got = if params["mono"] == false {
            let channel = |name: &str| load(&path, &[("channel", Value::Text(name.to_owned()))]);
            [channel("left"), channel("right")].concat()
        } else if let Some(offset) = params["offset"].as_f64() {
            // librosa cuts before it resamples, and so hears silence around the cut.
            let end = offset + params["duration"].as_f64().unwrap();
            let range = [("start", Value::Float(offset)), ("end", Value::Float(end))];
            let part = samples(&read(&Audio, &path, &[&[WHOLE], &range[..]].concat()).unwrap());
            let own = rate(&read(&Audio, &path, &[]).unwrap());
            let (_directory, cut) = file("cut.wav", wav(own as u32, 1, &part));
            // Away from the cut, the range of the whole has the same numbers.
            let inner = 150..want.len() - 150;
            let range = load(&path, &range);
            assert_eq!(range.len(), want.len(), "{id}");
            let difference = largest_difference(&range[inner.clone()], &want[inner]);
            assert!(difference <= tolerance, "{id}: {difference}");
            load(&cut, &[])
        } else {
            load(&path, &[])
        };
        assert_eq!(got.len(), want.len(), "{id}");
        let own = rate(&read(&Audio, &path, &[]).unwrap()) as i64;
        let to = params["sr"].as_i64().unwrap_or(own);
        let skip = match own % to == 0 || to % own == 0 {
            true => 0,
            false => SOXR_START,
        };
        let difference = largest_difference(&got[skip..], &want[skip..]);
        println!("{id}: {own} to {to} Hz, at most {difference:.1e} off");
        assert!(difference <= tolerance, "{id}: {difference}");
        assert!(
            largest_difference(&got[..skip], &want[..skip]) < 5e-3,
            "{id}"
        );
        tested += 1;
    }
    assert_eq!(tested, 9);
}

fn arrays(folder: &Path) -> HashMap<String, Vec<f32>> {
    let file = File::open(folder.join("arrays.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let mut arrays = HashMap::new();
    for batch in reader {
        let batch = batch.unwrap();
        let keys =
            arrow::compute::cast(batch.column_by_name("key").unwrap(), &DataType::Utf8).unwrap();
        let values = batch.column_by_name("f32").unwrap().as_list::<i32>();
        for (i, key) in keys.as_string::<i32>().iter().enumerate() {
            if values.is_valid(i) {
                let row = values.value(i);
                arrays.insert(
                    key.unwrap().to_string(),
                    row.as_primitive::<Float32Type>().values().to_vec(),
                );
            }
        }
    }
    arrays
}
