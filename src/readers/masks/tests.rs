use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::prelude::SessionContext;
use voxql_udfs::kernels::brain::epi_mask::EpiMask;

use super::*;
use crate::readers::format::{Format, Value};
use crate::readers::nifti::grid;
use crate::readers::nifti::testing::Image;
use crate::readers::scan::FileTable;
use crate::readers::testing::{error, options, project, read, scan};

/// Two volumes of 12 × 10 × 8 voxels with a bright box of 6 × 5 × 4 on a dark ground.
fn head() -> Image {
    let mut image = Image::new([12, 10, 8], 2, 2.0);
    image.values = Some(head_values(2));
    image
}

fn head_values(volumes: usize) -> Vec<f64> {
    let voxel = |i: usize| {
        let (x, y, z) = (i % 12, i / 12 % 10, i / 120 % 8);
        let bright = (3..9).contains(&x) && (3..8).contains(&y) && (2..6).contains(&z);
        (i % 7) as f64 + if bright { 500.0 } else { 0.0 }
    };
    (0..960 * volumes).map(voxel).collect()
}

const PLAIN: [(&str, Value); 2] = [
    ("opening", Value::Integer(0)),
    ("upper_cutoff", Value::Float(0.95)),
];

fn integers(batch: &RecordBatch, name: &str) -> Vec<i64> {
    let column = batch.column_by_name(name).unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

/// A table of files as a query sees it.
async fn count(format: impl Format + 'static, paths: &[&Path], given: &[(&str, Value)]) -> usize {
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    let table = FileTable::open(Arc::new(format), &paths, options(given)).unwrap();
    let ctx = SessionContext::new();
    ctx.read_table(Arc::new(table))
        .unwrap()
        .count()
        .await
        .unwrap()
}

/// Fails at planning, which looks at all headers.
fn table_error(format: impl Format + 'static, paths: &[&Path], given: &[(&str, Value)]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    let table = FileTable::open(Arc::new(format), &paths, options(given));
    table.unwrap_err().to_string()
}

#[test]
fn one_row_per_voxel_in_c_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = head().write(folder.path(), "a_bold.nii.gz");
    let rows = read(&EpiMasks, &path, &PLAIN).unwrap();
    assert_eq!(rows.num_rows(), 6 * 5 * 4);
    let voxels: Vec<[i64; 3]> = (0..rows.num_rows())
        .map(|row| ["i", "j", "k"].map(|name| integers(&rows, name)[row]))
        .collect();
    assert_eq!(voxels[..2], [[3, 3, 2], [3, 3, 3]], "z fastest");
    assert!(voxels.is_sorted());
    // 3 mm voxels from -10 on.
    let x = rows
        .column_by_name("x")
        .unwrap()
        .as_primitive::<Float64Type>();
    assert_eq!(x.value(0), -1.0);
    let z = rows
        .column_by_name("z")
        .unwrap()
        .as_primitive::<Float64Type>();
    assert_eq!(z.value(1), -1.0);
}

#[test]
fn the_grid_is_in_the_fields() {
    let folder = tempfile::tempdir().unwrap();
    let path = head().write(folder.path(), "a_bold.nii");
    let rows = read(&EpiMasks, &path, &PLAIN).unwrap();
    for name in ["i", "j", "k"] {
        let schema = rows.schema();
        let field = schema.field_with_name(name).unwrap();
        let grid = grid::parse(field.metadata()).unwrap().unwrap();
        assert_eq!(grid.shape, [12, 10, 8]);
        assert_eq!(grid.affine[1], [0.0, 3.0, 0.0, -10.0]);
    }
    // Files of different grids have none in common.
    let mut moved = head();
    moved.origin = -20.0;
    let moved = moved.write(folder.path(), "b_bold.nii");
    let schema = EpiMasks
        .describe(vec![path, moved], &options(&[]))
        .unwrap()
        .schema;
    assert!(schema.field(0).metadata().is_empty());
}

#[test]
fn types_and_dimensions_give_the_same_mask() {
    let folder = tempfile::tempdir().unwrap();
    let want = epi_mask::of_file(
        &head().write(folder.path(), "want.nii"),
        &epi_mask::epi_options("epi_mask", &options(&PLAIN)).unwrap(),
    )
    .unwrap();
    for (code, big_endian, slope) in [
        (4, false, 0.0),
        (4, true, 0.5),
        (512, true, 0.0),
        (8, false, 0.0),
        (1024, true, 0.0),
        (64, true, 0.0),
        (16, true, 2.0),
    ] {
        for volumes in [0, 1, 2] {
            let mut image = head();
            (image.code, image.big_endian, image.slope) = (code, big_endian, slope);
            image.volumes = volumes;
            image.values = Some(head_values(volumes.max(1) as usize));
            let path = image.write(folder.path(), "a.nii");
            let rows = read(&EpiMasks, &path, &PLAIN).unwrap();
            assert_eq!(rows.num_rows(), want.positions.len(), "{code} {volumes}");
        }
    }
}

#[test]
fn only_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = head().write(folder.path(), "a_bold.nii");
    let mut some = project(scan(&EpiMasks, &path, &PLAIN).unwrap(), &["z", "i"]);
    some.limit = Some(5);
    let batches: Vec<_> = EpiMasks.open(&some).unwrap().map(Result::unwrap).collect();
    assert_eq!((batches.len(), batches[0].num_rows()), (1, 5));
    assert_eq!(integers(&batches[0], "i"), [3; 5]);
    let none = project(scan(&EpiMasks, &path, &PLAIN).unwrap(), &[]);
    let rows: usize = EpiMasks
        .open(&none)
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .sum();
    assert_eq!(rows, 120);
}

#[test]
fn errors_name_the_file_and_say_what_to_try() {
    let folder = tempfile::tempdir().unwrap();
    let path = head().write(folder.path(), "a_bold.nii");
    let message = error(&EpiMasks, &path, &[("opening", Value::Integer(5))]);
    assert!(
        message.contains("a_bold.nii") && message.contains("smaller opening"),
        "{message}"
    );
    for given in [
        ("opening", Value::Integer(-1)),
        ("lower_cutoff", Value::Float(0.9)),
        ("upper_cutoff", Value::Float(1.5)),
    ] {
        let message = error(&EpiMasks, &path, std::slice::from_ref(&given));
        assert!(
            message.contains("epi_mask") && message.contains(given.0),
            "{message}"
        );
    }
    let mut flat = Image::new([5, 4, 1], 3, 2.0);
    flat.values = Some((0..60).map(|v| f64::from(v % 20)).collect());
    let message = error(&EpiMasks, &flat.write(folder.path(), "flat_bold.nii"), &[]);
    assert!(message.contains("opening => 0"), "{message}");
}

#[tokio::test]
async fn one_mask_for_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let a = head().write(folder.path(), "a_bold.nii");
    // The second brain lacks a slice of the first one's.
    let mut smaller = head();
    let values = smaller.values.as_mut().unwrap();
    for (i, value) in values.iter_mut().enumerate() {
        if i / 120 % 8 == 2 {
            *value = 0.0;
        }
    }
    let b = smaller.write(folder.path(), "b_bold.nii.gz");
    let given = |threshold: f64| {
        let [opening, upper] = PLAIN;
        [opening, upper, ("threshold", Value::Float(threshold))]
    };
    assert_eq!(count(MultiEpiMask, &[&a, &b], &given(0.5)).await, 90);
    assert_eq!(count(MultiEpiMask, &[&a, &b], &given(0.0)).await, 120);
    // By a directory, and by rows of each file.
    assert_eq!(count(MultiEpiMask, &[folder.path()], &given(1.0)).await, 90);
    assert_eq!(count(EpiMasks, &[folder.path()], &PLAIN).await, 210);
    let table = |format| FileTable::open(format, &[a.display().to_string()], options(&[])).unwrap();
    let columns = |format| {
        use datafusion::catalog::TableProvider;
        let schema = table(format).schema();
        schema
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        columns(Arc::new(MultiEpiMask)),
        ["i", "j", "k", "x", "y", "z"]
    );
    assert_eq!(columns(Arc::new(EpiMasks)).last().unwrap(), "path");
}

#[tokio::test]
async fn grids_that_differ_are_an_error_with_both_files() {
    let folder = tempfile::tempdir().unwrap();
    let a = head().write(folder.path(), "a_bold.nii");
    let mut moved = head();
    moved.origin = -20.0;
    let moved = moved.write(folder.path(), "moved_bold.nii");
    let small = Image::new([4, 4, 4], 2, 2.0).write(folder.path(), "small_bold.nii");
    for (other, part) in [(&moved, "lies elsewhere"), (&small, "4 × 4 × 4")] {
        let message = table_error(MultiEpiMask, &[&a, other], &[]);
        assert!(
            message.contains("a_bold.nii") && message.contains(part),
            "{message}"
        );
    }
    let message = table_error(MultiEpiMask, &[&a], &[("threshold", Value::Float(2.0))]);
    assert!(message.contains("threshold is 2"), "{message}");
}

#[tokio::test]
async fn masks_have_voxels_in_common() {
    let folder = tempfile::tempdir().unwrap();
    let mask =
        |name: &str, values: [f64; 8]| Image::mask([2, 2, 2], &values).write(folder.path(), name);
    let a = mask("a_mask.nii", [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    let b = mask("b_mask.nii.gz", [3.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 3.0]);
    let empty = mask("empty_mask.nii", [0.0; 8]);
    let threshold = |t: f64| ("threshold", Value::Float(t));
    let apart = ("connected", Value::Boolean(false));
    assert_eq!(
        count(IntersectMasks, &[&a, &b], std::slice::from_ref(&apart)).await,
        2
    );
    assert_eq!(count(IntersectMasks, &[&a, &b], &[]).await, 1);
    let all = [threshold(0.0), apart];
    assert_eq!(count(IntersectMasks, &[&a, &b, &empty], &all).await, 4);

    let read_all = |paths: &[&PathBuf], given: &[(&str, Value)]| {
        let mut scan = scan(&IntersectMasks, paths[0], given).unwrap();
        let files = paths.iter().map(|p| p.display().to_string()).collect();
        scan.options
            .0
            .insert("files".to_owned(), Value::Texts(files));
        IntersectMasks
            .open(&scan)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    let message = read_all(&[&a, &empty], &[threshold(1.0)]);
    assert!(message.contains("lower threshold"), "{message}");
    let two = mask("two_mask.nii", [0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let message = read_all(&[&a, &two], &[]);
    assert!(
        message.contains("two_mask.nii") && message.contains("1 and 2"),
        "{message}"
    );
    let nan = mask("nan_mask.nii", [f64::NAN; 8]);
    assert!(read_all(&[&a, &nan], &[]).contains("NaN"));
    let run = head().write(folder.path(), "run_mask.nii");
    assert!(table_error(IntersectMasks, &[&run], &[]).contains("2 volumes"));
}

#[test]
fn defaults_are_those_of_nilearn() {
    let options = epi_mask::epi_options("epi_mask", &options(&[])).unwrap();
    assert_eq!(options, EpiMask::default());
}
