//! `read_bold` and `nifti_header` on the reference data.

use serde_json::Value as Json;

use super::*;

/// The golden folder: its cases, and its arrays as shape and row-major values.
pub struct Golden {
    pub cases: Vec<Json>,
    arrays: HashMap<String, Vec<f64>>,
    pub folder: PathBuf,
}

impl Golden {
    pub fn load() -> Option<Self> {
        let folder = shared("golden/nifti")?;
        let json: Json =
            serde_json::from_reader(File::open(folder.join("cases.json")).unwrap()).unwrap();
        let cases = json
            .get("cases")
            .unwrap_or(&json)
            .as_array()
            .unwrap()
            .clone();
        let file = File::open(folder.join("arrays.parquet")).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let mut arrays = HashMap::new();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let keys = arrow::compute::cast(batch.column_by_name("key").unwrap(), &DataType::Utf8);
            for (row, key) in keys.unwrap().as_string::<i32>().iter().enumerate() {
                let column = ["f64", "f32", "i64"]
                    .map(|name| batch.column_by_name(name).unwrap())
                    .into_iter()
                    .find(|column| column.is_valid(row))
                    .unwrap();
                let values = column.as_list::<i32>().value(row);
                let values = arrow::compute::cast(&values, &DataType::Float64).unwrap();
                let values = values.as_primitive::<Float64Type>().values().to_vec();
                arrays.insert(key.unwrap().to_owned(), values);
            }
        }
        Some(Golden {
            cases,
            arrays,
            folder,
        })
    }

    pub fn array(&self, reference: &Json) -> &[f64] {
        &self.arrays[reference["array"].as_str().unwrap()]
    }

    pub fn file(&self, reference: &Json) -> PathBuf {
        self.folder.join(reference["file"].as_str().unwrap())
    }
}

pub fn assert_close(
    got: impl IntoIterator<Item = f64>,
    want: &[f64],
    rtol: f64,
    atol: f64,
    id: &str,
) {
    let got: Vec<f64> = got.into_iter().collect();
    assert_eq!(got.len(), want.len(), "{id}");
    for (at, (g, w)) in got.iter().zip(want).enumerate() {
        let close = (g - w).abs() <= atol + rtol * w.abs() || (g.is_nan() && w.is_nan());
        assert!(close, "{id}: element {at} is {g}, not {w}");
    }
}

#[test]
fn golden_headers_and_values() {
    let Some(golden) = Golden::load() else { return };
    let cases: Vec<&Json> = golden
        .cases
        .iter()
        .filter(|case| case["function"] == "read")
        .collect();
    assert_eq!(cases.len(), 20);
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let path = golden.file(&case["inputs"]["img"]);
        let out = &case["outputs"];
        golden_header(&golden, &path, out, id);

        // A volume's row is in C order already; time is the last axis of the reference.
        let rows = read(&path, &Options::default()).unwrap();
        let shape: Vec<usize> = serde_json::from_value(out["shape"].clone()).unwrap();
        let volumes = shape.get(3).copied().unwrap_or(1);
        assert_eq!(rows.len(), volumes, "{id}");
        assert_eq!(rows[0].len(), shape[..3].iter().product::<usize>(), "{id}");
        if let Some(data) = out.get("data") {
            let data = golden.array(data);
            for (t, row) in rows.iter().enumerate() {
                let want: Vec<f64> = data.iter().skip(t).step_by(volumes).copied().collect();
                assert_close(row.iter().map(|&v| v.into()), &want, 1e-7, 1e-6, id);
            }
        } else {
            // Values are float32, hence not to the 1e-9 of the float64 reference.
            let at = 5 + 20 * (4 + 28 * 3);
            let voxel = rows.iter().map(|row| f64::from(row[at]));
            assert_close(voxel, golden.array(&out["voxel_3_4_5"]), 1e-6, 0.0, id);
            let mean = (0..rows[0].len())
                .map(|v| rows.iter().map(|row| f64::from(row[v])).sum::<f64>() / volumes as f64);
            assert_close(mean, golden.array(&out["mean_volume"]), 1e-6, 1e-5, id);
            let sum: f64 = rows.iter().flatten().map(|&v| f64::from(v)).sum();
            assert_close([sum], &[out["sum"].as_f64().unwrap()], 1e-7, 0.0, id);
        }
        note!("golden nifti {id}: header, affine and values");
    }
}

/// `nifti_header` of a reading case: sizes, zooms, the type on disk, the affine.
fn golden_header(golden: &Golden, path: &Path, out: &Json, id: &str) {
    let row = header_row(path).unwrap();
    let list = |name: &str| {
        let list = row.column_by_name(name).unwrap();
        let values = match list.as_list_opt::<i32>() {
            Some(list) => list.value(0),
            None => list.as_fixed_size_list().value(0),
        };
        let values = arrow::compute::cast(&values, &DataType::Float64).unwrap();
        values.as_primitive::<Float64Type>().values().to_vec()
    };
    let numbers = |value: &Json| serde_json::from_value::<Vec<f64>>(value.clone()).unwrap();
    assert_eq!(list("dimensions"), numbers(&out["shape"]), "{id}");
    let mut zooms = list("voxel_sizes");
    let time = row.column_by_name("repetition_time").unwrap();
    let want = numbers(&out["zooms"]);
    match want.get(3) {
        Some(_) => zooms.push(time.as_primitive::<Float64Type>().value(0)),
        None => assert!(time.is_null(0), "{id}"),
    }
    assert_eq!(zooms, want, "{id}");
    assert_close(list("affine"), golden.array(&out["affine"]), 1e-6, 1e-6, id);
    let (order, data_type) = match out["dtype_on_disk"].as_str().unwrap() {
        ">i2" => ("big", "int16"),
        name => ("little", name),
    };
    assert_eq!(cell(&row, "byte_order"), order, "{id}");
    assert_eq!(cell(&row, "data_type"), data_type, "{id}");
    let version = if id == "readvar_nifti2_f32" { "2" } else { "1" };
    assert_eq!(cell(&row, "version"), version, "{id}");
    // Where nibabel scales, its type becomes float64.
    let scaled = Volumes::open(path)
        .unwrap()
        .header
        .encoding
        .scaling
        .is_some();
    let is_f64 = out["scaled_dtype"] == "float64" && out["dtype_on_disk"] != "float64";
    assert_eq!(scaled, is_f64, "{id}");
}

/// The one row of `nifti_header`.
#[test]
fn golden_apply_mask() {
    let Some(golden) = Golden::load() else { return };
    for id in ["apply_sub1", "apply_sub2", "apply_sub3", "apply_sub4"] {
        let case = golden.cases.iter().find(|c| c["id"] == id).unwrap();
        let path = golden.file(&case["inputs"]["img"]);
        let mask = golden.file(&case["inputs"]["mask_file"]);
        let rows = read(&path, &masked(&mask)).unwrap();
        let means = (0..rows[0].len())
            .map(|v| rows.iter().map(|row| f64::from(row[v])).sum::<f64>() / rows.len() as f64);
        let want = golden.array(&case["outputs"]["voxel_means"]);
        assert_close(means, want, 1e-6, 1e-4, id);
        let want = golden.array(&case["outputs"]["series"]);
        let got: Vec<&Vec<f32>> = if want.len() == rows.len() * rows[0].len() {
            rows.iter().collect()
        } else {
            vec![&rows[0], &rows[7], &rows[rows.len() - 1]]
        };
        let got = got.into_iter().flatten().map(|&v| f64::from(v));
        assert_close(got, want, 1e-6, 1e-4, id);
    }
}

// ---- real files ----
