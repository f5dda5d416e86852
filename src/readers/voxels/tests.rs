//! `read_voxels` on made images and on the reference data.

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use rstest::rstest;

use super::*;
use crate::readers::format::Value;
use crate::readers::nifti::grid;
use crate::readers::nifti::testing::Image;
use crate::readers::testing::{error, here, options, project, read, scan};

fn integers(batch: &RecordBatch, name: &str) -> Vec<i64> {
    let column = batch.column_by_name(name).unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

fn numbers(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let column = batch.column_by_name(name).unwrap();
    column.as_primitive::<Float64Type>().values().to_vec()
}

fn bold(batch: &RecordBatch) -> Vec<f32> {
    let lists = batch.column_by_name("bold").unwrap();
    let values = match lists.as_fixed_size_list_opt() {
        Some(lists) => lists.values(),
        None => lists.as_list::<i32>().values(),
    };
    values.as_primitive::<Float32Type>().values().to_vec()
}

fn text(path: &Path) -> Value {
    Value::Text(path.to_str().unwrap().to_owned())
}

#[test]
fn voxels_come_in_c_order_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = Image::new([2, 3, 4], 0, 0.0).write(folder.path(), "a.nii");
    let rows = read(&Voxels, &path, &[]).unwrap();
    assert_eq!(integers(&rows, "voxel"), (0..24).collect::<Vec<_>>());
    assert_eq!(integers(&rows, "k")[..6], [0, 1, 2, 3, 0, 1]);
    assert_eq!(integers(&rows, "j")[..6], [0, 0, 0, 0, 1, 1]);
    assert_eq!(integers(&rows, "i")[11..14], [0, 1, 1]);
    // x is fastest on disk.
    assert_eq!(numbers(&rows, "value")[..5], [0.0, 6.0, 12.0, 18.0, 2.0]);
    for axis in ["x", "y", "z"] {
        let index = ["i", "j", "k"][(axis.as_bytes()[0] - b'x') as usize];
        let indices = integers(&rows, index);
        let want: Vec<f64> = indices.iter().map(|&at| 3.0 * at as f64 - 10.0).collect();
        assert_eq!(numbers(&rows, axis), want);
    }
    let schema = rows.schema();
    for name in ["i", "j", "k"] {
        let grid = grid::parse(schema.field_with_name(name).unwrap().metadata());
        assert_eq!(grid.unwrap().unwrap().shape, [2, 3, 4]);
    }
}

/// Whole numbers up to 2⁵³, labels among them, are not rounded.
#[rstest]
#[case(8, i32::MAX as f64 - 1.0)]
#[case(768, u32::MAX as f64)]
#[case(1024, 9_007_199_254_740_991.0)]
#[case(1280, 9_007_199_254_740_991.0)]
#[case(64, 0.1)]
#[case(256, -128.0)]
#[case(512, 65_535.0)]
#[case(4, -32_768.0)]
#[case(2, 255.0)]
#[case(16, 0.5)]
fn values_are_exact(#[case] code: i16, #[case] value: f64) {
    let folder = tempfile::tempdir().unwrap();
    for big_endian in [false, true] {
        let mut image = Image::mask([1, 2, 1], &[1.0, value]);
        (image.code, image.big_endian) = (code, big_endian);
        let path = image.write(folder.path(), "a.nii.gz");
        assert_eq!(
            numbers(&read(&Voxels, &path, &[]).unwrap(), "value"),
            [1.0, value]
        );
        (image.slope, image.inter) = (0.5, 3.0);
        let path = image.write(folder.path(), "b.nii");
        let scaled = numbers(&read(&Voxels, &path, &[]).unwrap(), "value");
        assert_eq!(scaled, [3.5, value * 0.5 + 3.0]);
    }
}

#[test]
fn a_mask_chooses_rows_and_numbers_them_as_read_bold_does() {
    let folder = tempfile::tempdir().unwrap();
    let inside: Vec<f64> = (0..24).map(|at| f64::from(at % 5 == 2)).collect();
    let mask = Image::mask([2, 3, 4], &inside).write(folder.path(), "mask.nii");
    let path = Image::new([2, 3, 4], 7, 1.5).write(folder.path(), "a.nii.gz");
    let given = [("mask", text(&mask))];
    let rows = read(&Voxels, &path, &given).unwrap();
    // Voxels × time is volumes × voxels turned on its side.
    let read_bold = crate::readers::by_function("read_bold").unwrap();
    let run = read(read_bold.as_ref(), &path, &given);
    let run = bold(&run.unwrap());
    let turned = bold(&rows);
    let voxels = rows.num_rows();
    assert_eq!((voxels, turned.len()), (5, 35));
    for voxel in 0..voxels {
        for time in 0..7 {
            assert_eq!(turned[voxel * 7 + time], run[time * voxels + voxel]);
        }
    }
    assert_eq!(integers(&rows, "voxel"), [0, 1, 2, 3, 4]);
    let field = rows.schema().field_with_name("bold").unwrap().clone();
    assert_eq!(field.metadata()[REPETITION_TIME_KEY], "1.5");
    assert!(matches!(field.data_type(), DataType::FixedSizeList(_, 7)));
    // Of a masked map, the same rows.
    let map = Image::new([2, 3, 4], 0, 0.0).write(folder.path(), "map.nii");
    let map = read(&Voxels, &map, &given).unwrap();
    assert_eq!(integers(&map, "k"), integers(&rows, "k"));
    assert_eq!(numbers(&map, "value")[0], f64::from(turned[0]));
}

#[test]
fn small_batches_and_limits_give_the_first_rows() {
    let folder = tempfile::tempdir().unwrap();
    for volumes in [0, 5] {
        let path = Image::new([3, 3, 3], volumes, 1.0).write(folder.path(), "a.nii.gz");
        let all = read(&Voxels, &path, &[]).unwrap();
        let mut scan = scan(&Voxels, &path, &[]).unwrap();
        scan.batch_bytes = 300;
        let batches: Vec<_> = Voxels.open(&scan).unwrap().map(Result::unwrap).collect();
        assert!(batches.len() > 5);
        assert_eq!(
            arrow::compute::concat_batches(&scan.schema, &batches).unwrap(),
            all
        );
        scan.limit = Some(7);
        let batches: Vec<_> = Voxels.open(&scan).unwrap().map(Result::unwrap).collect();
        let first = arrow::compute::concat_batches(&scan.schema, &batches).unwrap();
        assert_eq!(first, all.slice(0, 7));
        scan.limit = Some(0);
        assert_eq!(Voxels.open(&scan).unwrap().count(), 0);
    }
}

/// Indices of a file whose voxels are damaged: nothing of them is looked at.
#[test]
fn indices_decompress_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for volumes in [0, 5] {
        let path = Image::new([3, 3, 3], volumes, 1.0).write(folder.path(), "a.nii.gz");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
        let whole = scan(&Voxels, &path, &[]).unwrap();
        assert!(
            Voxels
                .open(&whole)
                .and_then(Iterator::collect::<Result<Vec<_>>>)
                .is_err()
        );
        let narrow = project(whole.clone(), &["k", "x"]);
        let rows = Voxels
            .open(&narrow)
            .unwrap()
            .map(|batch| batch.unwrap().num_rows());
        assert_eq!(rows.sum::<usize>(), 27);
        let none = project(whole, &[]);
        let rows = Voxels
            .open(&none)
            .unwrap()
            .map(|batch| batch.unwrap().num_rows());
        assert_eq!(rows.sum::<usize>(), 27);
    }
}

#[test]
fn several_files() {
    let folder = tempfile::tempdir().unwrap();
    let write =
        |name: &str, shape, volumes| Image::new(shape, volumes, 2.0).write(folder.path(), name);
    let describe = |files: &[&PathBuf]| {
        let files = files.iter().map(|path| (*path).clone()).collect();
        Voxels.describe(files, &options(&[]))
    };
    let a = write("a.nii", [2, 2, 2], 3);
    let b = write("b.nii", [2, 2, 3], 4);
    let c = write("c.nii", [2, 2, 2], 0);
    let schema = describe(&[&a, &b]).unwrap().schema;
    let bold = schema.field_with_name("bold").unwrap();
    assert!(matches!(bold.data_type(), DataType::List(_)));
    assert_eq!(bold.metadata()[MAX_LENGTH_KEY], "4");
    assert!(schema.field_with_name("i").unwrap().metadata().is_empty());
    let rows = Voxels
        .open(&FileScan {
            schema,
            ..scan(&Voxels, &a, &[]).unwrap()
        })
        .unwrap();
    assert_eq!(
        rows.map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
        8
    );
    let message = describe(&[&a, &c]).unwrap_err().to_string();
    assert!(
        message.contains("c.nii: is 3-D, but") && message.contains("is 4-D"),
        "{message}"
    );
}

#[test]
fn what_is_no_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    std::fs::write(&path, "not an image").unwrap();
    assert!(error(&Voxels, &path, &[]).contains("a.nii"));
    let mut line = Image::new([5, 1, 1], 0, 0.0);
    let mut bytes = line.bytes();
    bytes[40] = 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(error(&Voxels, &path, &[]).contains("is 1-D (5)"));
    line.shape = [2, 2, 2];
    let path = line.write(folder.path(), "b.nii");
    let mask = Image::mask([2, 2, 3], &[1.0; 12]).write(folder.path(), "mask.nii");
    let message = error(&Voxels, &path, &[("mask", text(&mask))]);
    assert!(message.contains("2 × 2 × 3"), "{message}");
}

/// Labels, and a mask of another reader, as the reference data have them.
#[test]
fn reference_images() {
    let folder = here("../shared/golden/nifti/files");
    if !folder.exists() {
        note!("skipped: {} is not there", folder.display());
        return;
    }
    let labels = read(&Voxels, &folder.join("labels.nii.gz"), &[]).unwrap();
    let values = numbers(&labels, "value");
    assert!(values.iter().all(|v| v.fract() == 0.0) && values.iter().any(|v| *v > 0.0));
    let mask = folder.join("mask.nii.gz");
    let rows = read(&Voxels, &mask, &[("mask", text(&mask))]).unwrap();
    assert!(numbers(&rows, "value").iter().all(|v| *v == 1.0));
}
