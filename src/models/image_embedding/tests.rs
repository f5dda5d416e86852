//! Encoders beside onnxruntime in Python (tests/data/images/make.py), on both backends.

use super::*;
use crate::models::backend::Backend;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn backends() -> Vec<Backend> {
    let all = [Backend::OnnxRuntime, Backend::Tract];
    let (there, absent): (Vec<_>, Vec<_>) = all.into_iter().partition(|b| b.is_available());
    absent
        .iter()
        .for_each(|backend| note!("skipped: {backend}"));
    there
}

fn picture(name: &str) -> (Vec<f32>, (usize, usize, usize)) {
    let picture = image::open(here("tests/data/images").join(name))
        .unwrap()
        .into_rgb8();
    let shape = (picture.height() as usize, picture.width() as usize, 3);
    let values = picture.into_raw().into_iter().map(|b| f32::from(b) / 255.0);
    (values.collect(), shape)
}

#[test]
fn a_photograph_has_the_vector_that_python_gives_it() {
    let folder = here("../shared/models/efficientnet-lite0");
    if !folder.exists() {
        note!("skipped: {} is not there", folder.display());
        return;
    }
    let want = std::fs::read(here("tests/data/images/embedding.bin")).unwrap();
    let want: Vec<f32> = want
        .as_chunks()
        .0
        .iter()
        .map(|&v| f32::from_le_bytes(v))
        .collect();
    let (values, shape) = picture("photo.png");
    for backend in backends() {
        let encoder = Encoder::open("efficientnet-lite0", &folder, backend).unwrap();
        assert_eq!(encoder.dimension(), 1280);
        let pixels = || Pixels {
            shape,
            values: &values,
        };
        let got = encoder
            .embed(&[Some(pixels()), None, Some(pixels())])
            .unwrap();
        let largest = want.iter().fold(0f32, |most, v| most.max(v.abs()));
        for row in [&got[..1280], &got[2560..]] {
            let worst = row
                .iter()
                .zip(&want)
                .fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(worst < 2e-5 * largest, "{backend}: {worst} of {largest}");
        }
        assert!(got[1280..2560].iter().all(|&v| v == 0.0));
    }
}

#[test]
fn more_pictures_than_go_through_the_graph_at_once() {
    for backend in backends() {
        let encoder = Encoder::open("clip", &here("tests/data/images/clip"), backend).unwrap();
        assert_eq!(encoder.dimension(), 3);
        let pictures: Vec<Vec<f32>> = (0..BATCH + 5)
            .map(|i| vec![i as f32 / 255.0; 24 * 30 * 3])
            .collect();
        let given: Vec<_> = pictures
            .iter()
            .map(|values| {
                Some(Pixels {
                    shape: (24, 30, 3),
                    values,
                })
            })
            .collect();
        let got = encoder.embed(&given).unwrap();
        // The graph gives the mean of each colour, normalised.
        for (i, vector) in got.chunks_exact(3).enumerate() {
            let want = (i as f32 / 255.0 - 0.48145466) / 0.26862954;
            assert!(
                (vector[0] - want).abs() < 1e-5,
                "{backend}: {i}: {vector:?}"
            );
        }
    }
}

#[test]
fn folders_that_are_no_encoders() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let opened = Encoder::open("x", folder.path(), Backend::Tract);
        opened.err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(open().contains("is not an encoder of pictures"));
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("model.onnx", b"not a graph");
    write(CONFIG, b"{");
    assert!(open().contains("this is not JSON"), "{}", open());
    write(
        CONFIG,
        br#"{"size": {"height": 8, "width": 8}, "resample": 2}"#,
    );
    assert!(open().contains("model.onnx"), "{}", open());
}

#[test]
fn the_identity_is_that_of_graph_and_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let clip = here("tests/data/images/clip");
    std::fs::copy(
        clip.join("onnx/vision_model.onnx"),
        folder.path().join("model.onnx"),
    )
    .unwrap();
    let config = std::fs::read_to_string(clip.join(CONFIG)).unwrap();
    let identity = |config: &str| {
        std::fs::write(folder.path().join(CONFIG), config).unwrap();
        Encoder::open("org/clip", folder.path(), Backend::Tract)
            .unwrap()
            .identity()
    };
    let (first, other) = (
        identity(&config),
        identity(&config.replace("\"resample\": 3", "\"resample\": 2")),
    );
    assert!(
        first.starts_with("clip@") && first.len() == "clip@".len() + 12,
        "{first}"
    );
    assert_ne!(first, other);
    assert_eq!(first, identity(&config));
}
