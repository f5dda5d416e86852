//! Pairs, 3-D images, and headers as rows.

use super::*;

#[test]
fn either_half_names_a_pair() {
    let dir = here();
    let mut image = Image::new([2, 3, 4], 3, 2.0);
    let want = read(&image.write(dir.path(), "a.nii"), &Options::default()).unwrap();
    image.pair = true;
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    for (header, voxels) in [
        ("b.hdr", "b.img"),
        ("c.hdr.gz", "c.img.gz"),
        ("d.hdr", "d.img.gz"),
        ("e.hdr.gz", "e.img"),
    ] {
        let maybe_gzip = |name: &str, bytes: Vec<u8>| match name.ends_with("gz") {
            true => gzip(&bytes),
            false => bytes,
        };
        write(header, &maybe_gzip(header, image.header()));
        write(voxels, &maybe_gzip(voxels, image.voxels()));
        for half in [header, voxels] {
            let path = dir.path().join(half);
            assert_eq!(read(&path, &Options::default()).unwrap(), want, "{half}");
            assert_eq!(cell(&header_row(&path).unwrap(), "pair"), "true");
        }
    }
    // Both halves are one image, and an .img may have something before its voxels.
    let halves = ["b.hdr", "b.img", "d.img.gz", "d.hdr"].map(|name| dir.path().join(name));
    let described = Bold.describe(halves.to_vec(), &Options::default()).unwrap();
    assert_eq!(described.files, [halves[0].clone(), halves[3].clone()]);
    let mut header = image.header();
    header[108..112].copy_from_slice(&16f32.to_le_bytes());
    write("f.hdr", &header);
    write("f.img", &[vec![7; 16], image.voxels()].concat());
    let shifted = read(&dir.path().join("f.hdr"), &Options::default());
    assert_eq!(shifted.unwrap(), want);
}

#[test]
fn broken_pairs_are_named() {
    let dir = here();
    let mut image = Image::new([2, 2, 2], 3, 2.0);
    image.pair = true;
    let at = |name: &str| dir.path().join(name);
    let fails = |name: &str, parts: &[&str]| {
        let message = error(&at(name), &Options::default());
        for part in parts {
            assert!(message.contains(part), "{message}");
        }
    };
    fs::write(at("alone.hdr"), image.header()).unwrap();
    fails("alone.hdr", &["alone.hdr: ", "there is no .img"]);
    fs::write(at("lone.img"), image.voxels()).unwrap();
    fails("lone.img", &["lone.img: ", "there is no .hdr"]);
    fs::write(at("named.nii"), image.header()).unwrap();
    fails("named.nii", &["not called .hdr"]);
    image.write(dir.path(), "short.hdr");
    fs::write(at("short.img"), &image.voxels()[1..]).unwrap();
    fails(
        "short.hdr",
        &["short.img: too short", "says 96 bytes", "the file has 95"],
    );
    fs::write(at("cut.img"), image.voxels()).unwrap();
    fs::write(at("cut.hdr"), &image.header()[..100]).unwrap();
    fails("cut.img", &["cut.hdr: too short for NIfTI: 100 bytes"]);
    image.pair = false;
    fs::write(at("whole.hdr"), image.bytes()).unwrap();
    fs::write(at("whole.img"), image.voxels()).unwrap();
    fails(
        "whole.img",
        &["whole.img: ", "whole.hdr says that it is no pair"],
    );
    assert_eq!(
        read(&at("whole.hdr"), &Options::default()).unwrap().len(),
        3
    );
}

#[test]
fn a_3d_image_is_a_run_of_one_volume() {
    let dir = here();
    let at = dir.path();
    let map = Image::new([2, 1, 2], 0, 0.0).write(at, "zmap.nii.gz");
    let mask = Image::mask([2, 1, 2], &[0.0, 1.0, 1.0, 0.0]).write(at, "m.nii");
    let one = batches(&scan(&map, &masked(&mask)).unwrap()).unwrap();
    assert_eq!(rows(&one), [[2.0, 1.0]]);
    assert_eq!(cell(&one[0], "tr"), "0");
    assert_eq!(floats(&one[0], "time"), [0.0]);
    assert!(one[0].column_by_name("repetition_time").unwrap().is_null(0));
    // With a time, and beside runs that have theirs.
    let given = options(&[("tr", Value::Float(1.5))]);
    let timed = batches(&scan(&map, &given).unwrap()).unwrap();
    assert_eq!(floats(&timed[0], "repetition_time"), [1.5]);
    let run = Image::new([2, 1, 2], 3, 2.0).write(at, "run.nii");
    let nullable = |files: &[&PathBuf]| {
        let files = files.iter().map(|path| (*path).clone()).collect();
        let described = Bold.describe(files, &Options::default()).unwrap();
        described.schema.field(2).is_nullable()
    };
    assert!(nullable(&[&run, &map]));
    assert!(!nullable(&[&run]));
    // A slice is no volume.
    let mut bytes = Image::new([2, 2, 1], 0, 0.0).bytes();
    bytes[40] = 2;
    fs::write(at.join("slice.nii"), bytes).unwrap();
    let message = error(&at.join("slice.nii"), &Options::default());
    assert!(message.contains("is 2-D (2 × 2)"), "{message}");
}

#[test]
fn headers_are_rows_for_every_version() {
    let dir = here();
    let mut image = Image::new([2, 3, 4], 5, 0.72);
    (image.slope, image.inter, image.code) = (0.5, -3.0, 4);
    for (version, pair, big_endian) in [(1, false, false), (1, true, true), (2, false, true)] {
        (image.version, image.pair, image.big_endian) = (version, pair, big_endian);
        let name = if pair { "a.hdr" } else { "a.nii.gz" };
        let row = header_row(&image.write(dir.path(), name)).unwrap();
        for (column, value) in [
            ("version", version.to_string().as_str()),
            ("pair", &pair.to_string()),
            ("byte_order", if big_endian { "big" } else { "little" }),
            ("dimensions", "[2, 3, 4, 5]"),
            ("voxel_sizes", "[3.0, 3.0, 3.0]"),
            ("space_unit", "mm"),
            ("data_type", "int16"),
            ("scl_slope", "0.5"),
            ("scl_inter", "-3.0"),
            ("repetition_time", "0.72"),
            ("time_unit", "s"),
            ("qform_code", "0"),
            ("sform_code", "1"),
            (
                "affine",
                "[3.0, 0.0, 0.0, -10.0, 0.0, 3.0, 0.0, -10.0, \
                 0.0, 0.0, 3.0, -10.0, 0.0, 0.0, 0.0, 1.0]",
            ),
            ("affine_from", "sform"),
            ("descrip", "made"),
        ] {
            assert_eq!(cell(&row, column), value, "{column}");
        }
    }
}

#[test]
fn headers_are_read_without_their_voxels() {
    let dir = here();
    let image = Image::new([2, 3, 4], 5, 2.0);
    let path = dir.path().join("a.nii");
    let mut header = image.header();
    // Only the header is there, of five complex dimensions, without orientation.
    header[40..52].copy_from_slice(&[5, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0]);
    header[70] = 32;
    header[254] = 0;
    header[123] = 0;
    fs::write(&path, &header).unwrap();
    let row = header_row(&path).unwrap();
    assert_eq!(cell(&row, "dimensions"), "[2, 3, 4, 5, 6]");
    assert_eq!(cell(&row, "data_type"), "complex64");
    assert_eq!(cell(&row, "affine_from"), "voxel sizes");
    for unit in ["space_unit", "time_unit"] {
        assert!(row.column_by_name(unit).unwrap().is_null(0), "{unit}");
    }
    header[254] = 0;
    header[252] = 1;
    fs::write(&path, &header).unwrap();
    assert_eq!(cell(&header_row(&path).unwrap(), "affine_from"), "qform");
    fs::write(&path, &header[..100]).unwrap();
    let message = header_row(&path).unwrap_err().to_string();
    assert!(message.contains("a.nii: too short"), "{message}");
    header[70] = 3;
    fs::write(&path, &header).unwrap();
    let message = header_row(&path).unwrap_err().to_string();
    assert!(message.contains("3 is no data type code"), "{message}");
}
