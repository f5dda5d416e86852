//! Files that nibabel wrote (tests/data/make_surfaces.py), and made ones that are wrong.

use std::fs;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::readers::format::Format;
use crate::readers::testing::{self, here};

const DENSE: &str = "sub-01_task-rest_space-fsLR_den-91k_bold.dtseries.nii";

fn fixture(name: &str) -> PathBuf {
    here("tests/data/surfaces").join(name)
}

fn read_all(path: &Path) -> Result<(CiftiSeries, Vec<f32>)> {
    let mut series = CiftiSeries::open(path)?;
    let mut values = vec![];
    series.read(0..series.rows, &mut values)?;
    Ok((series, values))
}

/// The message of a file with these bytes.
fn error(bytes: &[u8]) -> String {
    let (_directory, path) = testing::file("a.dtseries.nii", bytes);
    match read_all(&path) {
        Ok(_) => panic!("this must not be readable"),
        Err(e) => e.to_string(),
    }
}

#[rstest]
#[case(DENSE, 7, 23, 0.25, Some(0.72))]
#[case("big_endian_int16.dtseries.nii", 5, 23, 1.0, Some(0.72))]
#[case("compressed.dtseries.nii.gz", 7, 23, 0.25, Some(0.72))]
#[case("transposed.dtseries.nii", 7, 23, 0.25, Some(0.72))]
#[case("late.ptseries.nii", 4, 3, 0.25, Some(2.0))]
#[case("two.dscalar.nii", 2, 23, 0.25, None)]
fn what_nibabel_writes(
    #[case] name: &str,
    #[case] rows: usize,
    #[case] length: usize,
    #[case] step: f32,
    #[case] repetition_time: Option<f64>,
) {
    let path = fixture(name);
    let (mut series, values) = read_all(&path).unwrap();
    assert_eq!((series.rows, series.length), (rows, length));
    assert_eq!(series.repetition_time, repetition_time);
    assert_eq!(series.is_series, repetition_time.is_some());
    let want = |row: usize| {
        (0..length).map(move |element| 10.0 * (row as f32 + 1.0) + element as f32 * step)
    };
    // nibabel's slope for int16 is a float32 that is not exact.
    let close = |got: &[f32], row: usize| {
        got.iter()
            .zip(want(row))
            .all(|(got, want)| (got - want).abs() <= 1e-3 * f32::from(step == 1.0))
    };
    assert_eq!(values.len(), rows * length);
    for (row, got) in values.chunks(length).enumerate() {
        assert!(close(got, row), "{name}, row {row}: {got:?}");
    }
    // Any row, in any order, with or without what is expected.
    series.expect(1..2);
    for row in [1, 0, rows - 1, 0] {
        let mut got = vec![];
        series.read(row..row + 1, &mut got).unwrap();
        assert!(got.len() == length && close(&got, row), "{name}, row {row}");
    }
    let message = series.read(rows..rows + 1, &mut vec![]).unwrap_err();
    assert!(message.to_string().contains("was asked for"));
}

#[test]
fn metadata_says_where_elements_are() {
    let metadata = |name: &str| CiftiSeries::open(&fixture(name)).unwrap().metadata();
    let dense = metadata(DENSE);
    let models: serde_json::Value = serde_json::from_str(&dense["voxql.brain_models"]).unwrap();
    assert_eq!(models[1]["structure"], "CIFTI_STRUCTURE_CORTEX_RIGHT");
    assert_eq!(models[1]["type"], "SURFACE");
    assert_eq!(
        (&models[1]["offset"], &models[1]["count"]),
        (&10.into(), &9.into())
    );
    assert_eq!(models[1]["vertices"], 12);
    assert_eq!(models[2]["type"], "VOXELS");
    assert_eq!(
        dense["voxql.volume"],
        r#"{"dimensions":[4,5,6],"affine":[[-2.0,0.0,0.0,90.0],[0.0,2.0,0.0,-126.0],[0.0,0.0,2.0,-72.0]]}"#
    );
    let parcels = metadata("late.ptseries.nii");
    assert_eq!(
        parcels["voxql.parcels"],
        r#"["Visual & more","Thalamus","Nothing"]"#
    );
    let maps = metadata("two.dscalar.nii");
    assert_eq!(maps["voxql.maps"], r#"["faces","houses & more"]"#);
    assert_eq!(maps["voxql.elements"], dense["voxql.elements"]);
    assert_ne!(parcels["voxql.elements"], dense["voxql.elements"]);
}

#[test]
fn other_matrices_are_named() {
    let message = |name: &str| CiftiSeries::open(&fixture(name)).err().unwrap().to_string();
    assert!(message("small.pconn.nii").contains("PARCELS by PARCELS"));
    assert!(message("one.dlabel.nii").contains("BRAIN_MODELS by LABELS"));
    assert!(message("hertz.dtseries.nii").contains("in HERTZ"));
    assert!(message("ascii.func.gii").contains("not a NIfTI file"));
}

#[test]
fn elements_as_rows() {
    let read = |name: &str| testing::read(&CiftiElements, &fixture(name), &[]).unwrap();
    let dense = read(DENSE);
    assert_eq!(dense.num_rows(), 23);
    let integers = |name: &str, row: usize| {
        let column = dense.column_by_name(name).unwrap();
        let column = column.as_primitive::<Int64Type>();
        (!arrow::array::Array::is_null(column, row)).then(|| column.value(row))
    };
    assert_eq!(
        (integers("element", 5), integers("vertex", 5)),
        (Some(5), Some(6))
    );
    assert_eq!((integers("i", 5), integers("i", 20)), (None, Some(1)));
    assert_eq!((integers("j", 20), integers("k", 20)), (Some(2), Some(4)));
    let x = dense.column_by_name("x").unwrap();
    assert_eq!(x.as_primitive::<Float64Type>().value(20), 88.0);
    let z = dense.column_by_name("z").unwrap();
    assert_eq!(z.as_primitive::<Float64Type>().value(20), -64.0);

    let parcels = read("late.ptseries.nii");
    let element = parcels.column_by_name("element").unwrap();
    assert_eq!(
        element.as_primitive::<Int64Type>().values(),
        &[0, 0, 0, 1, 1, 2]
    );
    let name = parcels.column_by_name("parcel").unwrap();
    assert_eq!(name.as_string::<i32>().value(5), "Nothing");
    let message = testing::error(&CiftiElements, &fixture("small.pconn.nii"), &[]);
    assert!(message.contains("connectivity"), "{message}");
    assert_eq!(read("one.dlabel.nii").num_rows(), 23);
}

#[test]
fn damaged_headers_are_refused() {
    let good = fs::read(fixture(DENSE)).unwrap();
    let fails = |at: usize, new: &[u8], part: &str| {
        let mut bytes = good.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        let message = error(&bytes);
        assert!(message.contains(part), "{message}");
    };
    fails(504, &0i32.to_le_bytes(), "with intent 0");
    fails(16, &5i64.to_le_bytes(), "only CIFTI-2 matrices");
    fails(24, &2i64.to_le_bytes(), "only CIFTI-2 matrices");
    fails(56, &8i64.to_le_bytes(), "too short");
    fails(
        56,
        &6i64.to_le_bytes(),
        "lists 7 SERIES for matrix dimension 0, its header says 6",
    );
    fails(64, &22i64.to_le_bytes(), "lists 23 BRAIN_MODELS");
    fails(56, &(1i64 << 40).to_le_bytes(), "too short");
    fails(56, &i64::MAX.to_le_bytes(), "too short");
    fails(64, &i64::MAX.to_le_bytes(), "too short");
    fails(168, &i64::MAX.to_le_bytes(), "vox_offset");
    fails(168, &(1i64 << 50).to_le_bytes(), "too short");
    fails(168, &544i64.to_le_bytes(), "no CIFTI header extension");
    fails(12, &32i16.to_le_bytes(), "complex64");
    // The extension: its size and code.
    fails(544, &(1i32 << 30).to_le_bytes(), "an extension of");
    fails(544, &0i32.to_le_bytes(), "no CIFTI header extension");
    fails(544, &(-16i32).to_le_bytes(), "an extension of 0 bytes");
    fails(548, &4i32.to_le_bytes(), "no CIFTI header extension");
    fails(552, b"\xff", "no UTF-8");
    fails(552, b"x", "damaged XML");
    assert!(error(&good[..good.len() - 1]).contains("too short"));

    // Another extension may stand before.
    let offset = i64::from_le_bytes(good[168..176].try_into().unwrap());
    let mut bytes = good.clone();
    bytes[168..176].copy_from_slice(&(offset + 32).to_le_bytes());
    let mut other = [0u8; 32];
    other[..8].copy_from_slice(&[32, 0, 0, 0, 6, 0, 0, 0]);
    bytes.splice(544..544, other);
    let (_directory, path) = testing::file("a.dtseries.nii", &bytes);
    assert_eq!(
        read_all(&path).unwrap().1,
        read_all(&fixture(DENSE)).unwrap().1
    );
}

#[test]
fn a_gzip_file_that_ends_early_is_noticed() {
    let good = fs::read(fixture("compressed.dtseries.nii.gz")).unwrap();
    for n in [30, 100, good.len() / 2, good.len() - 9, good.len() - 1] {
        assert!(error(&good[..n]).contains("a.dtseries.nii"), "{n} bytes");
    }
    let mut wrong = good.clone();
    let at = good.len() - 6;
    wrong[at] ^= 1;
    assert!(error(&wrong).contains("damaged"), "the checksum");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_file_panics(
        name in prop::sample::select(vec![DENSE, "late.ptseries.nii", "transposed.dtseries.nii",
            "two.dscalar.nii", "compressed.dtseries.nii.gz", "big_endian_int16.dtseries.nii"]),
        cut in prop::option::of(0.0..1.0f64),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = fs::read(fixture(name)).unwrap();
        if let Some(part) = cut {
            bytes.truncate((bytes.len() as f64 * part) as usize);
        }
        for (at, value) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        let (_directory, path) = testing::file("a.dtseries.nii", &bytes);
        if let Ok((series, values)) = read_all(&path) {
            prop_assert_eq!(values.len(), series.rows * series.length);
            let _ = series.metadata();
        }
        let described = CiftiElements.describe(vec![path.clone()], &Default::default()).unwrap();
        prop_assert_eq!(described.files.len(), 1);
        let _ = testing::read(&CiftiElements, &path, &[]);
    }
}
