//! Pictures that `tests/data/images/make.py` has written, whole and damaged.

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, Int32Type};
use arrow_schema::extension::FixedShapeTensor;

use super::*;
use crate::readers::format::Value;
use crate::readers::testing::{error, file, here, options, project, read, scan};

fn picture(name: &str) -> PathBuf {
    here("tests/data/images").join(name)
}

/// Width, height, and the bytes of a picture.
fn pixels(path: &Path, given: &[(&str, Value)]) -> (i32, i32, Vec<u8>) {
    let batch = read(&Images, path, given).unwrap();
    let side = |name: &str| batch[name].as_primitive::<Int32Type>().value(0);
    let frame = batch["frame"].as_fixed_size_list().value(0);
    let values = frame.as_primitive::<Float32Type>().values();
    let bytes = values.iter().map(|v| (v * 255.0).round() as u8);
    (side("width"), side("height"), bytes.collect())
}

#[test]
fn one_size_is_a_tensor() {
    let batch = read(&Images, &picture("photo.png"), &[]).unwrap();
    let schema = batch.schema();
    let field = schema.field_with_name("frame").unwrap();
    let tensor = field.try_extension_type::<FixedShapeTensor>().unwrap();
    assert_eq!(tensor.list_size(), 121 * 170 * 3);
    assert_eq!(batch.num_rows(), 1);

    let grey = [
        ("color", Value::Text("grey".into())),
        ("width", Value::Integer(34)),
    ];
    let (width, height, bytes) = pixels(&picture("photo.png"), &grey);
    assert_eq!((width, height, bytes.len()), (34, 24, 34 * 24));
}

#[test]
fn several_sizes_are_lists() {
    let files = vec![
        picture("photo.png"),
        picture("small.jpg"),
        picture("turned.png"),
    ];
    let described = Images.describe(files.clone(), &options(&[])).unwrap();
    let frame = described.schema.field_with_name("frame").unwrap();
    assert!(matches!(frame.data_type(), DataType::List(_)));
    let sides = [("width", Value::Integer(8)), ("height", Value::Integer(6))];
    let described = Images.describe(files, &options(&sides)).unwrap();
    let frame = described.schema.field_with_name("frame").unwrap();
    assert!(matches!(frame.data_type(), DataType::FixedSizeList(_, 144)));
}

#[test]
fn a_jpeg_is_what_libjpeg_makes_of_it() {
    let (width, height, bytes) = pixels(&picture("small.jpg"), &[]);
    assert_eq!((width, height), (96, 70));
    let want = std::fs::read(picture("small_jpg.bin")).unwrap();
    assert_eq!(bytes.len(), want.len());
    let differences = bytes
        .iter()
        .zip(&want)
        .map(|(a, b)| u32::from(a.abs_diff(*b)));
    let (worst, sum) = differences.fold((0, 0), |(w, s), d| (d.max(w), s + d));
    // Decoders may round their transforms and their colours in different ways.
    assert!(
        worst <= 8 && f64::from(sum) / (want.len() as f64) < 1.0,
        "{worst} {sum}"
    );
}

#[test]
fn pictures_stand_upright_and_without_transparency() {
    let (width, height, turned) = pixels(&picture("turned.png"), &[]);
    assert_eq!((width, height), (64, 48));
    let (_, _, see_through) = pixels(&picture("see_through.png"), &[]);
    assert_eq!(turned, see_through);
    // Grey is repeated.
    let (_, _, grey) = pixels(&picture("grey.png"), &[]);
    assert_eq!(grey.len(), 64 * 48 * 3);
    assert!(
        grey.as_chunks::<3>()
            .0
            .iter()
            .all(|[r, g, b]| r == g && g == b)
    );
}

#[test]
fn without_the_frame_only_headers_are_read() {
    let whole = std::fs::read(picture("photo.jpg")).unwrap();
    let (_dir, path) = file("cut.jpg", &whole[..whole.len() / 2]);
    let all = scan(&Images, &path, &[]).unwrap();
    let batches: Vec<_> = Images
        .open(&project(all, &["height", "width"]))
        .unwrap()
        .collect();
    let batch = batches[0].as_ref().unwrap();
    assert_eq!(batch["height"].as_primitive::<Int32Type>().value(0), 121);
    let message = error(&Images, &path, &[]);
    assert!(
        message.contains("cut.jpg: the picture is cut off"),
        "{message}"
    );
}

#[test]
fn damaged_files_say_so() {
    let png = std::fs::read(picture("photo.png")).unwrap();
    let jpeg = std::fs::read(picture("photo.jpg")).unwrap();
    let mut flipped = png.clone();
    flipped[png.len() / 2] ^= 0xff;
    for (name, bytes, part) in [
        (
            "a.png",
            png[..png.len() / 2].to_vec(),
            "the picture is damaged",
        ),
        ("b.png", flipped, "the picture is damaged"),
        ("c.jpg", jpeg[..20].to_vec(), "its header is damaged"),
        ("d.jpg", b"GIF89a...".to_vec(), "no JPEG or PNG"),
        ("e.png", b"hello".to_vec(), "no JPEG or PNG"),
    ] {
        let (_dir, path) = file(name, bytes);
        let message = error(&Images, &path, &[]);
        assert!(
            message.contains(name) && message.contains(part),
            "{message}"
        );
    }
    let (_dir, path) = file("empty.png", b"");
    let message = Images
        .describe(vec![path], &options(&[]))
        .unwrap_err()
        .to_string();
    assert!(message.contains("empty (0 bytes)"), "{message}");
}

/// Whatever is wrong with a file, reading it ends, and with no panic.
#[test]
fn any_byte_may_be_wrong() {
    let mut state = 7u32;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for name in ["small.jpg", "grey.png"] {
        let whole = std::fs::read(picture(name)).unwrap();
        for round in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                let span = if round % 2 == 0 { bytes.len() } else { 300 };
                bytes[random(span)] = random(256) as u8;
            }
            let (_dir, path) = file(name, bytes);
            let small = [("width", Value::Integer(8)), ("height", Value::Integer(8))];
            if let Err(error) = read(&Images, &path, &small) {
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }
}

#[test]
fn a_jpeg_ends_with_its_last_scan() {
    let whole = std::fs::read(picture("small.jpg")).unwrap();
    assert!(is_whole_jpeg(&whole));
    let mut longer = whole.clone();
    longer.extend([0; 40]);
    assert!(is_whole_jpeg(&longer));
    assert!((2..whole.len()).all(|end| !is_whole_jpeg(&whole[..end])));
}
