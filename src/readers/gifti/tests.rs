//! Files that nibabel wrote (tests/data/make_surfaces.py), and made ones that are wrong.

use std::fs;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::readers::testing::{self, here};

const LEFT: &str = "sub-01_task-rest_hemi-L_space-fsaverage5_bold.func.gii";

fn fixture(name: &str) -> PathBuf {
    here("tests/data/surfaces").join(name)
}

fn read_all(path: &Path) -> Result<(GiftiSeries, Vec<f32>)> {
    let mut series = GiftiSeries::open(path)?;
    let mut values = vec![];
    series.read(0..series.rows, &mut values)?;
    Ok((series, values))
}

fn read_text(text: &str) -> Result<Vec<f32>, String> {
    let (_directory, path) = testing::file("a.func.gii", text);
    let read = read_all(&path).map_err(|e| e.to_string());
    read.map(|(_, values)| values)
}

fn text(name: &str) -> String {
    fs::read_to_string(fixture(name)).unwrap()
}

fn expected(rows: usize, step: f32) -> Vec<f32> {
    let value = |row: usize, vertex: usize| 10.0 * (row as f32 + 1.0) + vertex as f32 * step;
    (0..rows)
        .flat_map(|row| (0..12).map(move |vertex| value(row, vertex)))
        .collect()
}

#[rstest]
#[case(LEFT, 5, 0.25, None)]
#[case("ascii.func.gii", 5, 0.25, None)]
#[case("base64.func.gii", 5, 0.25, None)]
#[case("big_endian.func.gii", 5, 0.25, None)]
#[case("freesurfer.func.gii", 5, 0.25, Some(2.0))]
#[case("int32.func.gii", 5, 1.0, None)]
#[case("uint8.func.gii", 5, 1.0, None)]
#[case("table.func.gii", 5, 0.25, Some(0.8))]
#[case("table_column_major.func.gii", 5, 0.25, Some(0.8))]
#[case("external.func.gii", 3, 0.25, None)]
#[case("two.shape.gii", 2, 0.25, None)]
fn what_is_written(
    #[case] name: &str,
    #[case] rows: usize,
    #[case] step: f32,
    #[case] repetition_time: Option<f64>,
) {
    let (mut series, values) = read_all(&fixture(name)).unwrap();
    assert_eq!((series.rows, series.length), (rows, 12));
    assert_eq!(series.repetition_time, repetition_time);
    assert_eq!(series.is_series, name != "two.shape.gii");
    assert_eq!(values, expected(rows, step));
    for row in [rows - 1, 0, 1] {
        let mut got = vec![];
        series.read(row..row + 1, &mut got).unwrap();
        assert_eq!(got, values[12 * row..][..12]);
    }
    assert!(series.read(rows..rows + 1, &mut vec![]).is_err());
}

#[test]
fn the_structure_is_metadata() {
    let metadata = |name: &str| GiftiSeries::open(&fixture(name)).unwrap().metadata();
    assert_eq!(metadata(LEFT)["voxql.structure"], "CortexLeft");
    assert!(metadata("ascii.func.gii").is_empty());
}

#[test]
fn time_steps_are_milliseconds_or_seconds() {
    for (text, want) in [
        ("2000.000000", Some(2.0)),
        ("720", Some(0.72)),
        ("0.72", Some(0.72)),
        ("2", Some(2.0)),
        ("0.000000", None),
        ("-1", None),
        ("nan", None),
        ("two", None),
    ] {
        assert_eq!(time_step(text), want, "{text}");
    }
}

#[test]
fn layout_of_the_text_does_not_matter() {
    let bytes = text("base64.func.gii");
    let want = expected(5, 0.25);
    assert_eq!(read_text(&format!("\u{feff}{bytes}")).unwrap(), want);
    // Line ends within the numbers, as some writers have them.
    let broken = bytes.replace("<Data>AA", "<Data>\r\nA\n  A");
    assert_ne!(broken, bytes);
    assert_eq!(read_text(&broken).unwrap(), want);
    let padded = bytes.replace("</Data>", "\n</Data>");
    assert_eq!(read_text(&padded).unwrap(), want);
}

#[test]
fn wrong_files_are_named() {
    let fails = |name: &str, from: &str, to: &str, part: &str| {
        let good = text(name);
        assert!(good.contains(from), "{from} is not in {good}");
        let message = read_text(&good.replacen(from, to, 1)).unwrap_err();
        assert!(message.contains(part), "{from} -> {to}: {message}");
    };
    let left = |from: &str, to: &str, part: &str| fails(LEFT, from, to, part);
    left("Dim0=\"12\"", "Dim0=\"11\"", "rows of 11");
    left(
        "Dim0=\"12\"",
        "Dim0=\"13\"",
        "has 12 × 1 numbers, where 5 rows of 13 are expected",
    );
    left("Dim0=\"12\"", "Dim0=\"0\"", "without numbers");
    left("Dim0=\"12\"", "Dim0=\"-12\"", "Dim0");
    left("Dim0=\"12\"", "", "no attribute Dim0");
    left("Dim0=\"12\"", "Dim0=\"99999999999\"", "too large");
    left(
        "Dimensionality=\"1\"",
        "Dimensionality=\"7\"",
        "7 dimensions",
    );
    left(
        "NIFTI_INTENT_TIME_SERIES",
        "NIFTI_INTENT_POINTSET",
        "the geometry of a surface",
    );
    left("NIFTI_INTENT_TIME_SERIES", "NIFTI_INTENT_LABEL", "labels");
    left(
        "NIFTI_INTENT_TIME_SERIES",
        "NIFTI_INTENT_NODE_INDEX",
        "some vertices only",
    );
    left(
        "NIFTI_TYPE_FLOAT32",
        "NIFTI_TYPE_COMPLEX64",
        "NIFTI_TYPE_COMPLEX64",
    );
    left("NIFTI_TYPE_FLOAT32", "NIFTI_TYPE_FLOAT64", "fewer numbers");
    left(
        "NIFTI_TYPE_FLOAT32",
        "NIFTI_TYPE_INT16",
        "more than its dimensions",
    );
    left("GZipBase64Binary", "Base64Binary", "its dimensions say");
    left("GZipBase64Binary", "Zip", "Encoding");
    left("RowMajorOrder", "Rows", "ArrayIndexingOrder");
    left("LittleEndian", "Middle", "Endian");
    left(
        "NumberOfDataArrays=\"5\"",
        "NumberOfDataArrays=\"6\"",
        "has 5 data arrays, its GIFTI tag says 6",
    );
    left(
        "NumberOfDataArrays=\"5\"",
        "NumberOfDataArrays=\"4\"",
        "where 4 rows",
    );
    left(
        "NumberOfDataArrays=\"5\"",
        "NumberOfDataArrays=\"0\"",
        "0 data arrays",
    );
    left("NumberOfDataArrays=\"5\"", "", "no GIFTI file");
    left(
        "<Data>eJ",
        "<Data>e!",
        "data array 1: its numbers are damaged",
    );
    left("<Data>eJ", "<Data><!-- x -->eJ<!-- y -->", "one text");
    left("<Data>", "<Data><![CDATA[x]]>", "one text");
    left("</GIFTI>", "", "ends early, before </GIFTI>");
    fails("ascii.func.gii", "10.500000", "ten", "\"ten\"");
    fails("ascii.func.gii", "10.500000", "", "fewer numbers");
    fails("ascii.func.gii", "10.500000", "1 2", "more numbers");
    fails(
        "table.func.gii",
        "Dim1=\"5\"",
        "Dim1=\"6\"",
        "fewer numbers",
    );
    fails(
        "table.func.gii",
        "Dim1=\"5\"",
        "Dim1=\"500000000\"",
        "can hold",
    );
    fails(
        "external.func.gii",
        "external.func.gii.dat",
        "../x.dat",
        "beside it",
    );
    fails(
        "external.func.gii",
        "external.func.gii.dat",
        "/etc/hosts",
        "beside it",
    );
    fails(
        "external.func.gii",
        "external.func.gii.dat",
        "no.dat",
        "no.dat",
    );
    assert!(
        read_text("<html></html>")
            .unwrap_err()
            .contains("no GIFTI file")
    );
    assert!(read_text("").unwrap_err().contains("ends early"));
    assert!(read_text("\u{1f}\u{8b}").is_err());
    let (_directory, path) = testing::file("a.func.gii", [0x1f, 0x8b, 8, 0]);
    assert!(
        read_all(&path)
            .err()
            .unwrap()
            .to_string()
            .contains("gunzip")
    );
}

#[test]
fn a_short_external_file_is_noticed() {
    let (directory, path) = testing::file("external.func.gii", text("external.func.gii"));
    let numbers = fs::read(fixture("external.func.gii.dat")).unwrap();
    let beside = directory.path().join("external.func.gii.dat");
    fs::write(&beside, &numbers).unwrap();
    assert_eq!(read_all(&path).unwrap().1, expected(3, 0.25));
    fs::write(&beside, &numbers[..100]).unwrap();
    let message = read_all(&path).err().unwrap().to_string();
    assert!(
        message.contains("data array 3") && message.contains("fewer"),
        "{message}"
    );
}

/// A row's room is made before its numbers are read, but not for numbers that cannot be there.
#[test]
fn numbers_that_cannot_be_there_are_noticed_by_the_index() {
    for (encoding, data) in [
        ("ASCII", "1 2"),
        ("Base64Binary", "AACAPwAAAEA="),
        ("GZipBase64Binary", "eJxjYGiwBwABBAC/"),
        ("ExternalFileBinary\" ExternalFileName=\"a.func.gii", ""),
    ] {
        let array = |count: usize| {
            format!(
                "<GIFTI NumberOfDataArrays=\"1\"><DataArray Intent=\"NIFTI_INTENT_TIME_SERIES\" \
                 DataType=\"NIFTI_TYPE_FLOAT32\" Dimensionality=\"1\" Dim0=\"{count}\" \
                 Encoding=\"{encoding}\"><Data>{data}</Data></DataArray></GIFTI>"
            )
        };
        let (_directory, path) = testing::file("a.func.gii", array(2_147_483_647));
        let message = GiftiSeries::open(&path)
            .unwrap()
            .index()
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("data array 1: it has fewer numbers") && message.contains("can hold"),
            "{message}"
        );
        let (_directory, path) = testing::file("a.func.gii", array(2));
        GiftiSeries::open(&path).unwrap().index().unwrap();
    }
}

#[test]
fn bombs_and_depth_are_harmless() {
    let bomb = "<!DOCTYPE GIFTI [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\
                <GIFTI NumberOfDataArrays=\"1\"><MetaData><MD><Name>&b;</Name></MD></MetaData></GIFTI>";
    assert!(read_text(bomb).unwrap_err().contains("&b;"));
    let deep = format!("<GIFTI NumberOfDataArrays=\"1\">{}", "<a>".repeat(100_000));
    assert!(read_text(&deep).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_file_panics(
        name in prop::sample::select(vec![LEFT, "ascii.func.gii", "base64.func.gii",
            "table.func.gii", "two.shape.gii"]),
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
        let (_directory, path) = testing::file("a.func.gii", &bytes);
        if let Ok((series, values)) = read_all(&path) {
            prop_assert_eq!(values.len(), series.rows * series.length);
        }
    }
}
