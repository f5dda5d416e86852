//! `read_bold` against the reference data, real files, and made ones that are wrong.

use std::fs::{self, File};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::readers::format::Value;
use crate::readers::nifti::NiftiHeader;
use crate::readers::nifti::testing::{Image, gzip};
use crate::readers::nifti::volumes::Volumes;

mod golden;
mod kinds;
mod ranges;
mod reduce;

fn options(pairs: &[(&str, Value)]) -> Options {
    Options(
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect(),
    )
}

fn masked(path: &Path) -> Options {
    options(&[("mask", text(path))])
}

fn text(path: &Path) -> Value {
    Value::Text(path.to_str().unwrap().to_owned())
}

fn scan(path: &Path, options: &Options) -> Result<FileScan> {
    let description = Bold.describe(vec![path.to_owned()], options)?;
    Ok(FileScan {
        path: path.to_owned(),
        options: options.clone(),
        schema: description.schema,
        limit: None,
        bounds: Default::default(),
        batch_bytes: 8 << 20,
        threads: 1,
    })
}

fn batches(scan: &FileScan) -> Result<Vec<RecordBatch>> {
    Bold.open(scan)?.collect()
}

/// The rows of `bold`.
fn rows(batches: &[RecordBatch]) -> Vec<Vec<f32>> {
    let of_batch = |batch: &RecordBatch| {
        let bold = batch.column_by_name("bold").unwrap();
        let row = |array: ArrayRef| array.as_primitive::<Float32Type>().values().to_vec();
        match bold.as_fixed_size_list_opt() {
            Some(list) => list.iter().map(|r| row(r.unwrap())).collect::<Vec<_>>(),
            None => {
                let list = bold.as_list::<i32>().iter();
                list.map(|r| row(r.unwrap())).collect()
            }
        }
    };
    batches.iter().flat_map(of_batch).collect()
}

fn read(path: &Path, options: &Options) -> Result<Vec<Vec<f32>>> {
    Ok(rows(&batches(&scan(path, options)?)?))
}

fn error(path: &Path, options: &Options) -> String {
    read(path, options).unwrap_err().to_string()
}

fn ints(batch: &RecordBatch, name: &str) -> Vec<i64> {
    let column = batch.column_by_name(name).unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

fn floats(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let column = batch.column_by_name(name).unwrap();
    column.as_primitive::<Float64Type>().values().to_vec()
}

fn here() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A shared folder, or a line that says why the test did nothing.
fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new("../shared").join(folder);
    if !path.exists() {
        note!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

// ---- reference data ----

fn header_row(path: &Path) -> Result<RecordBatch> {
    crate::readers::testing::read(&NiftiHeader, path, &[])
}

/// A value as it prints.
fn cell(row: &RecordBatch, name: &str) -> String {
    let column = row.column_by_name(name).unwrap();
    arrow::util::display::array_value_to_string(column, 0).unwrap()
}

#[test]
fn haxby_with_its_mask() {
    let Some(folder) = shared("data/fmri/haxby") else {
        return;
    };
    let mask = masked(&folder.join("mask.nii.gz"));
    let rows = read(&folder.join("bold.nii.gz"), &mask).unwrap();
    // Numbers from a few lines of Python that read the bytes themselves.
    assert_eq!((rows.len(), rows[0].len()), (1452, 530));
    assert_eq!(rows[0][..5], [287.0, 327.0, 433.0, 511.0, 580.0]);
    assert_eq!(rows[1451][527..], [900.0, 1017.0, 193.0]);
    let sum: f64 = rows.iter().flatten().map(|&v| f64::from(v)).sum();
    assert_eq!(sum, 1_118_771_612.0);

    let runs: Vec<PathBuf> = (1..=12)
        .map(|run| folder.join(format!("sub001_25mm/run-{run:02}_bold_25mm.nii.gz")))
        .collect();
    let options = masked(&folder.join("sub001_25mm/brain.nii.gz"));
    let description = Bold.describe(runs, &options).unwrap();
    let bold = description.schema.field_with_name("bold").unwrap();
    assert!(matches!(bold.data_type(), DataType::FixedSizeList(_, _)));
    for path in description.files {
        assert_eq!(read(&path, &options).unwrap().len(), 121);
    }
}

#[rstest]
#[case("nitime/fmri1.nii.gz", 1.35)]
#[case("nitime/fmri2.nii.gz", 1.35)]
#[case("nipy/functional.nii.gz", 2.0)]
fn real_runs_have_their_times(#[case] file: &str, #[case] tr: f64) {
    let Some(folder) = shared("data/fmri") else {
        return;
    };
    let given = options(&[("tr", Value::Float(tr))]);
    let batches = batches(&scan(&folder.join(file), &given).unwrap()).unwrap();
    let first = &batches[0];
    let seconds = floats(first, "repetition_time")[0];
    let times = floats(first, "time");
    assert_eq!(times[..3], [0.0, seconds, seconds * 2.0]);
    eprintln!("{file}: {seconds} s");
}

#[test]
fn empty_images_are_left_out() {
    let Some(folder) = shared("data/bids/ds114/sub-01/ses-test/func") else {
        return;
    };
    let empty = folder.join("sub-01_ses-test_task-linebisection_bold.nii.gz");
    let message = error(&empty, &Options::default());
    assert!(message.contains("are empty (0 bytes)"), "{message}");

    let dir = here();
    let whole = Image::new([2, 2, 2], 3, 2.0).write(dir.path(), "a.nii");
    let found = Bold.describe(vec![empty, whole.clone()], &Options::default());
    assert_eq!(found.unwrap().files, [whole]);
}

// ---- made files ----

/// The values of one volume in C order, from values in file order.
fn flat_c(shape: [i16; 3], values: &[f64]) -> Vec<f32> {
    let [nx, ny, nz] = shape.map(|n| n as usize);
    let mut flat = vec![];
    for x in 0..nx {
        for y in 0..ny {
            for z in 0..nz {
                flat.push(values[x + nx * (y + ny * z)] as f32);
            }
        }
    }
    flat
}

#[rstest]
fn every_type_in_both_byte_orders(
    #[values(2, 256, 512, 4, 768, 8, 1280, 1024, 16, 64)] code: i16,
    #[values(false, true)] big_endian: bool,
    #[values(0.0, 0.5)] slope: f32,
    #[values("a.nii", "a.nii.gz", "a.hdr", "a.hdr.gz")] name: &str,
    #[values(1, 2)] version: u8,
) {
    let mut image = Image::new([3, 4, 5], 2, 2.0);
    (image.version, image.pair) = (version, name.contains(".hdr"));
    (image.code, image.big_endian) = (code, big_endian);
    (image.slope, image.inter) = (slope, 10.0);
    if [256, 4, 8, 1024, 16, 64].contains(&code) {
        image.values = Some((0..120).map(|v| f64::from(v) - 60.0).collect());
    }
    let dir = here();
    let rows = read(&image.write(dir.path(), name), &Options::default()).unwrap();
    let scaled = |v: &f64| if slope == 0.0 { *v } else { v * 0.5 + 10.0 };
    let values: Vec<f64> = image.values().iter().map(scaled).collect();
    let want: Vec<Vec<f32>> = values.chunks(60).map(|v| flat_c(image.shape, v)).collect();
    assert_eq!(rows, want);
}

#[test]
fn large_numbers_are_scaled_in_double_precision() {
    let mut image = Image::new([1, 1, 2], 1, 2.0);
    image.code = 8;
    image.values = Some(vec![2_000_000_001.0, -7.0]);
    (image.slope, image.inter) = (1.0, -2_000_000_000.0);
    let dir = here();
    let rows = read(&image.write(dir.path(), "a.nii"), &Options::default()).unwrap();
    assert_eq!(rows, [[1.0, -2_000_000_007.0]]);
}

#[test]
fn columns_times_limit_and_batches() {
    let dir = here();
    let path = Image::new([2, 3, 4], 30, 0.72).write(dir.path(), "a.nii.gz");
    let mut scan = scan(&path, &Options::default()).unwrap();
    scan.batch_bytes = 24 * 4 * 7;
    let all = batches(&scan).unwrap();
    let sizes: Vec<usize> = all.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes, [7, 7, 7, 7, 2]);
    assert_eq!(all[0].schema(), scan.schema);
    let tr = all[1].column(0).as_primitive::<Int64Type>();
    assert_eq!(tr.values().as_ref(), [7, 8, 9, 10, 11, 12, 13]);
    // Volume 25 is the fifth of the fourth batch.
    assert_eq!(floats(&all[3], "time")[4], 18.0);
    assert_eq!(floats(&all[0], "repetition_time"), [0.72; 7]);

    scan.batch_bytes = 1;
    scan.limit = Some(3);
    let limited = batches(&scan).unwrap();
    assert_eq!(limited.len(), 3);
    assert_eq!(rows(&limited), rows(&all)[..3]);
}

#[test]
fn without_bold_nothing_is_decompressed() {
    let dir = here();
    // Random values compress badly, so the cut leaves the header but not the volumes.
    let mut image = Image::new([8, 8, 8], 40, 2.0);
    image.values = Some((0..8 * 8 * 8 * 40).map(|v| f64::from(v).sin()).collect());
    let path = dir.path().join("a.nii.gz");
    let whole = gzip(&image.bytes());
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let full = scan(&path, &Options::default()).unwrap();
    assert!(batches(&full).is_err());
    for columns in [vec![], vec![1], vec![2, 0]] {
        let schema = Arc::new(full.schema.project(&columns).unwrap());
        let narrow = FileScan {
            schema,
            ..full.clone()
        };
        let narrow = batches(&narrow).unwrap();
        assert_eq!(narrow[0].num_columns(), columns.len());
        assert_eq!(narrow[0].num_rows(), 40);
    }
}

#[test]
fn masks_choose_voxels_in_c_order() {
    let dir = here();
    let image = Image::new([2, 3, 4], 2, 2.0);
    let path = image.write(dir.path(), "a.nii.gz");
    let mut inside = vec![0.0; 24];
    for at in [0, 5, 6, 7, 23] {
        inside[at] = 3.0;
    }
    let mut image_of_mask = Image::mask([2, 3, 4], &inside);
    image_of_mask.code = 2;
    let mask = image_of_mask.write(dir.path(), "m.nii");
    let rows = read(&path, &masked(&mask)).unwrap();
    // x, y, z of file positions 0, 5, 6, 7, 23: 000, 120, 001, 101, 123.
    assert_eq!(rows[0], [0.0, 6.0, 7.0, 5.0, 23.0]);
    assert_eq!(rows[1], [24.0, 30.0, 31.0, 29.0, 47.0]);
    let schema = scan(&path, &masked(&mask)).unwrap().schema;
    let bold = schema.field_with_name("bold").unwrap();
    assert_eq!(bold.metadata()[MASK_KEY], mask.to_str().unwrap());
}

#[test]
fn masks_per_subject_and_lists() {
    let dir = here();
    let at = dir.path();
    for (subject, inside) in [("01", [1.0, 0.0]), ("02", [1.0, 1.0])] {
        Image::new([2, 1, 1], 3, 2.0).write(at, &format!("sub-{subject}_bold.nii"));
        Image::mask([2, 1, 1], &inside).write(at, &format!("sub-{subject}_mask.nii.gz"));
    }
    let files = vec![at.join("sub-01_bold.nii"), at.join("sub-02_bold.nii")];
    let options = masked(&at.join("sub-{subject}_mask.nii.gz"));
    let schema = Bold.describe(files.clone(), &options).unwrap().schema;
    let bold = schema.field_with_name("bold").unwrap();
    assert!(matches!(bold.data_type(), DataType::List(_)));
    assert_eq!(bold.metadata()[MAX_LENGTH_KEY], "2");
    let mut scan = scan(&files[0], &options).unwrap();
    scan.schema = schema;
    assert_eq!(rows(&batches(&scan).unwrap()), [[0.0], [2.0], [4.0]]);

    for (pattern, part) in [
        (
            "sub-{sub}.nii",
            "{sub} is no BIDS entity; there are subject",
        ),
        ("{run}.nii", "does not say its run"),
        ("sub-{subject.nii", "without its }"),
        ("absent/sub-{subject}.nii", "absent/sub-01.nii"),
    ] {
        let message = error(&files[0], &masked(Path::new(pattern)));
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn wrong_masks_are_refused() {
    let dir = here();
    let at = dir.path();
    let path = Image::new([2, 1, 2], 3, 2.0).write(at, "a.nii");
    let fails = |mask: Image, parts: &[&str]| {
        let message = error(&path, &masked(&mask.write(at, "m.nii.gz")));
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
    };
    let good = Image::mask([2, 1, 2], &[1.0, 0.0, 1.0, 1.0]);
    assert!(read(&path, &masked(&good.write(at, "m.nii"))).is_ok());
    fails(
        Image::mask([2, 2, 1], &[1.0; 4]),
        &["has 2 × 1 × 2", "m.nii.gz has 2 × 2 × 1", "resample"],
    );
    fails(
        Image {
            origin: -10.01,
            ..good.clone()
        },
        &["-10.0]", "-10.01", "resample"],
    );
    fails(Image::mask([2, 1, 2], &[0.0; 4]), &["empty mask"]);
    fails(
        Image::mask([2, 1, 2], &[0.0, 1.0, 2.0, 1.0]),
        &["1 and 2", "threshold"],
    );
    fails(
        Image::mask([2, 1, 2], &[0.2, 0.4, 0.6, 0.8]),
        &["0.2 and 0.4"],
    );
    fails(Image::mask([2, 1, 2], &[f64::NAN, 1.0, 0.0, 1.0]), &["NaN"]);
    fails(
        Image::new([2, 1, 2], 2, 1.0),
        &["a mask must be 3-D, this image has 2 volumes"],
    );
    let nearly = Image {
        origin: -10.00005,
        ..good
    };
    assert!(read(&path, &masked(&nearly.write(at, "m.nii"))).is_ok());
}

#[test]
fn short_files_say_where_they_end() {
    let dir = here();
    let mut image = Image::new([8, 8, 8], 10, 2.0);
    image.values = Some((0..5120).map(|v| f64::from(v).sin()).collect());
    let bytes = image.bytes();
    let path = dir.path().join("a.nii");
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let message = error(&path, &Options::default());
    assert!(
        message.contains("a.nii: too short: the header says 20832 bytes")
            && message.contains("the file has 20831"),
        "{message}"
    );

    let gz = gzip(&bytes);
    let cut = |n: usize| {
        let path = dir.path().join("b.nii.gz");
        fs::write(&path, &gz[..n]).unwrap();
        error(&path, &Options::default())
    };
    let message = cut(gz.len() / 2);
    assert!(
        message.contains("b.nii.gz: the file ends early, in volume "),
        "{message}"
    );
    assert!(
        message.contains("of the 10 that the header says"),
        "{message}"
    );
    assert!(cut(gz.len() - 1).contains("does not end well"));
    assert!(cut(1).contains("too short"));
    for n in (0..gz.len()).step_by(97) {
        assert!(cut(n).contains("b.nii.gz"));
    }
    // A member that ends too early, but well.
    let path = dir.path().join("c.nii.gz");
    fs::write(&path, gzip(&bytes[..bytes.len() - 2048])).unwrap();
    assert!(error(&path, &Options::default()).contains("in volume 10 of the 10"));
}

#[test]
fn damaged_and_odd_streams() {
    let dir = here();
    let mut image = Image::new([8, 8, 8], 4, 2.0);
    image.values = Some((0..2048).map(|v| f64::from(v).sin()).collect());
    let bytes = image.bytes();
    let want = read(&image.write(dir.path(), "a.nii"), &Options::default()).unwrap();
    let path = dir.path().join("b.nii.gz");
    let read_gz = |gz: &[u8]| {
        fs::write(&path, gz).unwrap();
        read(&path, &Options::default())
    };
    // A flipped bit is noticed, by the decompressor or by the checksum.
    let gz = gzip(&bytes);
    for at in (2000..gz.len()).step_by(211) {
        let mut bad = gz.clone();
        bad[at] ^= 4;
        assert!(read_gz(&bad).is_err(), "bit flipped in byte {at}");
    }
    // Several members one after the other are one file.
    let members = [gzip(&bytes[..1000]), gzip(&bytes[1000..])].concat();
    assert_eq!(read_gz(&members).unwrap(), want);
    // Bytes left over are only a warning.
    let mut longer = bytes.clone();
    longer.extend([1, 2, 3]);
    assert_eq!(read_gz(&gzip(&longer)).unwrap(), want);
    // Compressed or not is told by the content, not by the name.
    assert_eq!(read_gz(&bytes).unwrap(), want);
}

#[test]
fn a_header_that_claims_too_much_costs_no_memory() {
    let dir = here();
    let mut image = Image::new([2, 2, 2], 4, 2.0);
    image.values = Some(vec![0.0; 32]);
    image.shape = [1200, 1200, 1200];
    let message = error(&image.write(dir.path(), "a.nii.gz"), &Options::default());
    assert!(message.contains("more than"), "{message}");
    let message = error(&image.write(dir.path(), "a.nii"), &Options::default());
    assert!(message.contains("too short"), "{message}");
}

/// Incompressible bytes could be as many voxels, by their number.
#[test]
fn many_voxels_are_not_listed_before_the_first_volume_is_read() {
    let dir = here();
    let mut image = Image::new([500, 500, 300], 1, 2.0);
    image.code = 2;
    let mut state = 5u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 24)
    });
    image.values = Some(noise.take(100_000).collect());
    let path = image.write(dir.path(), "a.nii.gz");
    let mut run = super::volume_run::VolumeRun::open(&path).unwrap();
    let request = Request::parse(&Options::default()).unwrap();
    let message = run.select(&request).unwrap_err().to_string();
    assert!(
        message.contains("a.nii.gz: the file ends early"),
        "{message}"
    );
}

#[test]
fn wrong_trs_are_refused() {
    let dir = here();
    let path = Image::new([1, 1, 1], 2, 0.0).write(dir.path(), "a.nii");
    let tr = |v: f64| options(&[("tr", Value::Float(v))]);
    assert!(error(&path, &Options::default()).contains("tr => 2.0"));
    for bad in [0.0, -2.0, f64::NAN] {
        assert!(error(&path, &tr(bad)).contains("is not a repetition time"));
    }
    assert_eq!(read(&path, &tr(1.49)).unwrap().len(), 2);
    let message = error(&dir.path().join("no.nii"), &Options::default());
    assert!(message.contains("no.nii"), "{message}");
}

#[test]
fn a_mask_that_changed_is_noticed() {
    let dir = here();
    let path = Image::new([2, 1, 1], 2, 2.0).write(dir.path(), "a.nii");
    let mask = Image::mask([2, 1, 1], &[1.0, 0.0]).write(dir.path(), "m.nii");
    let scan = scan(&path, &masked(&mask)).unwrap();
    Image::mask([2, 1, 1], &[1.0, 1.0]).write(dir.path(), "m.nii");
    let message = batches(&scan).unwrap_err().to_string();
    assert!(message.contains("has changed"), "{message}");
}
