//! Pictures as Pillow prepares them (tests/data/images/make.py), and configurations that are refused.

use serde_json::json;

use super::*;

fn parse(config: Value) -> Result<Preprocessor, String> {
    let Value::Object(config) = config else {
        panic!("an object");
    };
    Preprocessor::parse(&config)
}

/// The part of a photograph: its numbers and its shape.
fn photo() -> (Vec<f32>, (usize, usize, usize)) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/images/photo.png");
    let picture = image::open(path).unwrap().into_rgb8();
    let shape = (picture.height() as usize, picture.width() as usize, 3);
    let values = picture.into_raw().into_iter().map(|b| f32::from(b) / 255.0);
    (values.collect(), shape)
}

#[test]
fn sizes_are_changed_as_by_pillow() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/images/pillow.bin");
    let want = std::fs::read(path).unwrap();
    let mut want = &want[..];
    let (values, shape) = photo();
    for (size, resample, crop) in [
        (json!({"height": 20, "width": 28}), 0, None),
        (json!({"height": 20, "width": 28}), 1, None),
        (json!({"height": 28, "width": 20}), 2, None),
        (json!({"height": 20, "width": 28}), 4, None),
        (json!({"height": 20, "width": 28}), 5, None),
        (json!({"shortest_edge": 24}), 3, Some(24)),
        (json!({"shortest_edge": 31}), 3, Some(24)),
        (json!({"shortest_edge": 31}), 2, Some(25)),
    ] {
        let config = json!({
            "size": size, "resample": resample, "do_center_crop": crop.is_some(), "crop_size": crop,
        });
        let preprocessor = parse(config.clone()).unwrap();
        let (height, width) = preprocessor.size();
        let mut input = Vec::new();
        preprocessor.append(&values, shape, &mut input).unwrap();
        let (bytes, rest) = want.split_at(height * width * 3);
        // From colour after colour to pixel after pixel.
        let ours =
            (0..bytes.len()).map(|i| (input[i % 3 * height * width + i / 3] * 255.0).round());
        let differences = ours.zip(bytes).map(|(a, &b)| (a - f32::from(b)).abs());
        let (worst, sum) = differences.fold((0f32, 0.0), |(w, s), d| (w.max(d), s + d));
        assert!(worst <= 1.0, "{config}: {worst}");
        // Rounded another way here and there, and by the box in a third of the pixels.
        let mean = sum / bytes.len() as f32;
        assert!(
            mean < if resample == 4 { 0.4 } else { 0.05 },
            "{config}: {mean}"
        );
        if resample == 0 {
            assert_eq!(sum, 0.0);
        }
        want = rest;
    }
    assert!(want.is_empty());
}

#[test]
fn numbers_are_scaled_and_normalised() {
    let (mean, std) = ([0.5, 0.25, 0.125], [0.5, 0.25, 2.0]);
    let config = json!({
        "size": {"height": 1, "width": 2}, "resample": 2, "image_mean": mean, "image_std": std, "do_convert_rgb": true,
    });
    let picture = [1.0, 0.0, 51.0 / 255.0, 0.0, 1.0, 1.0];
    let input = |config: Value, picture: &[f32], channels: usize| -> Vec<f32> {
        let mut input = Vec::new();
        let preprocessor = parse(config).unwrap();
        preprocessor
            .append(picture, (1, 2, channels), &mut input)
            .unwrap();
        input
    };
    let want = [
        1.0,
        -1.0,
        -1.0,
        3.0,
        (0.2 - 0.125) / 2.0,
        (1.0 - 0.125) / 2.0,
    ];
    assert_eq!(input(config.clone(), &picture, 3), want.map(|v| v as f32));
    // Grey is repeated.
    let grey = input(config.clone(), &[1.0, 0.0], 1);
    assert_eq!(grey, [1.0, -1.0, 3.0, -1.0, 0.4375, -0.0625]);
    // EfficientNet divides once more.
    let mut again = config.clone();
    again["include_top"] = json!(true);
    assert_eq!(input(again, &picture, 3)[..4], [2.0, -2.0, -4.0, 12.0]);
    // Bytes as they are.
    let plain = json!({"size": {"height": 1, "width": 2}, "resample": 0, "do_rescale": false});
    assert_eq!(
        input(plain, &picture, 3),
        [255.0, 0.0, 0.0, 255.0, 51.0, 255.0]
    );

    let strict = json!({"size": {"height": 1, "width": 2}, "resample": 2});
    let error = parse(strict)
        .unwrap()
        .append(&[1.0, 0.0], (1, 2, 1), &mut vec![]);
    assert!(error.unwrap_err().contains("the picture is grey"));
}

#[test]
fn what_is_not_said_is_the_processors_own() {
    let filter = |kind: &str| {
        let config = json!({"image_processor_type": kind, "size": {"height": 8, "width": 8}});
        parse(config).map(|p| p.resize.unwrap().1)
    };
    assert_eq!(filter("EfficientNetImageProcessor"), Ok(ResizeAlg::Nearest));
    let bilinear = ResizeAlg::Convolution(FilterType::Bilinear);
    assert_eq!(filter("ViTImageProcessorFast"), Ok(bilinear));
    let bicubic = ResizeAlg::Convolution(FilterType::CatmullRom);
    assert_eq!(filter("CLIPImageProcessor"), Ok(bicubic));
    assert!(
        filter("OtherImageProcessor")
            .unwrap_err()
            .contains("resample is missing")
    );

    let old = |kind: &str| {
        parse(json!({"feature_extractor_type": kind, "size": 8, "resample": 2, "do_center_crop": true, "crop_size": 6}))
            .map(|p| p.resize.unwrap().0)
    };
    assert_eq!(old("CLIPFeatureExtractor"), Ok(Target::ShortestEdge(8)));
    assert_eq!(old("ViTFeatureExtractor"), Ok(Target::Exact(8, 8)));
    assert!(
        old("NewFeatureExtractor")
            .unwrap_err()
            .contains("different ways")
    );
}

#[test]
fn what_is_not_known_is_refused() {
    for (config, message) in [
        (
            json!({"size": {"height": 8, "width": 8}, "resample": 2, "do_pad": true}),
            "the step do_pad",
        ),
        (
            json!({"size": {"height": 8, "width": 8}, "resample": 2, "crop_pct": 0.9}),
            "the step crop_pct",
        ),
        (
            json!({"size": {"height": 8, "width": 8}, "resample": 2, "rescale_offset": true}),
            "rescale_offset",
        ),
        (
            json!({"size": {"height": 8, "width": 8}, "resample": 6}),
            "from 0 to 5",
        ),
        (
            json!({"size": {"height": 0, "width": 8}, "resample": 2}),
            "from 1 to 4096",
        ),
        (
            json!({"size": {"longest_edge": 8}, "resample": 2}),
            "size has longest_edge",
        ),
        (
            json!({"size": {"shortest_edge": 8}, "resample": 2}),
            "different sizes",
        ),
        (
            json!({"size": {"shortest_edge": 8}, "resample": 2, "do_center_crop": true, "crop_size": 9}),
            "larger than",
        ),
        (json!({"do_resize": true}), "needs size"),
        (json!({}), "different sizes"),
        (
            json!({"size": {"height": 8, "width": 8}, "resample": 2, "do_normalize": true, "image_mean": [0.5]}),
            "three numbers",
        ),
        (
            json!({"size": {"height": 8, "width": 8}, "resample": 2, "image_mean": [0, 0, 0], "image_std": [1, 0, 1]}),
            "must not be 0",
        ),
        (
            json!({"size": {"height": 8, "width": 8}, "resample": 2, "do_rescale": "yes"}),
            "true or false",
        ),
    ] {
        let error = parse(config.clone()).unwrap_err();
        assert!(error.contains(message), "{config}: {error}");
    }
    // What is off does not matter.
    let off = json!({"size": {"height": 8, "width": 8}, "resample": 2, "do_pad": false, "crop_pct": null});
    assert!(parse(off).is_ok());

    let cut =
        parse(json!({"do_center_crop": true, "crop_size": {"height": 4, "width": 6}})).unwrap();
    let error = cut.append(&[0.0; 36], (3, 4, 3), &mut vec![]).unwrap_err();
    assert!(error.contains("the picture is 4 x 3"), "{error}");
}
