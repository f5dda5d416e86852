//! Smoothing, parcels, masks made or moved: against the reference data, and made images.

use super::golden::{Golden, assert_close};
use super::*;

fn number(value: f64) -> Value {
    Value::Floats(vec![value])
}

fn word(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn words(texts: &[&str]) -> Value {
    Value::Texts(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn golden_smoothing() {
    let Some(golden) = Golden::load() else { return };
    let mask = golden.folder.join("files/mask.nii.gz");
    let mut seen = 0;
    for case in &golden.cases {
        let id = case["id"].as_str().unwrap();
        let (Some(fwhm), true) = (
            case["params"]["smoothing_fwhm"].as_f64(),
            case["inputs"]["img"]["file"].is_string(),
        ) else {
            continue;
        };
        let options = options(&[("mask", text(&mask)), ("smoothing_fwhm", number(fwhm))]);
        let rows = read(&golden.file(&case["inputs"]["img"]), &options).unwrap();
        let got = [0, 5, rows.len() - 1]
            .into_iter()
            .flat_map(|row| rows[row].iter().map(|&v| f64::from(v)));
        let want = golden.array(&case["outputs"]["series_rows_0_5_last"]);
        assert_close(got, want, 2e-6, 2e-3, id);
        note!("golden nifti {id}: read_bold");
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn golden_parcels() {
    let Some(golden) = Golden::load() else { return };
    let mut seen = 0;
    for case in &golden.cases {
        if case["function"] != "img_to_signals_labels" {
            continue;
        }
        let id = case["id"].as_str().unwrap();
        let atlas = golden.file(&case["inputs"]["labels"]);
        let strategy = case["params"]["strategy"].as_str().unwrap();
        let mut given = vec![("atlas", text(&atlas)), ("strategy", word(strategy))];
        if !case["inputs"]["mask"].is_null() {
            given.push(("mask", text(&golden.folder.join("files/mask.nii.gz"))));
        }
        let path = golden.file(&case["inputs"]["img"]);
        let scan = scan(&path, &options(&given)).unwrap();
        let labels = &scan.schema.field(3).metadata()[LABELS_KEY];
        let want: Vec<String> = case["outputs"]["labels"]
            .as_array()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(*labels, want.join(","), "{id}");
        let rows = rows(&batches(&scan).unwrap());
        let got = rows.iter().flatten().map(|&v| f64::from(v));
        // bold is float32, which rounds the reference's float64 by 6e-8 of it.
        let rtol = case["tol"]["rtol"].as_f64().unwrap();
        let atol = case["tol"]["atol"].as_f64().unwrap();
        assert_close(
            got,
            golden.array(&case["outputs"]["signals"]),
            rtol,
            atol,
            id,
        );
        note!("golden nifti {id}: read_bold");
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn computed_masks_are_those_of_epi_mask() {
    let Some(golden) = Golden::load() else { return };
    let case = golden.cases.iter().find(|c| c["id"] == "epi_sub2").unwrap();
    let path = golden.file(&case["inputs"]["img"]);
    let scan = scan(&path, &options(&[("brain_mask", word("epi"))])).unwrap();
    assert!(matches!(
        scan.schema.field(3).data_type(),
        DataType::List(_)
    ));
    let rows = rows(&batches(&scan).unwrap());
    assert_eq!(
        rows[0].len() as i64,
        case["outputs"]["n_voxels"].as_i64().unwrap()
    );
    // The same voxels as with the mask from the reference.
    let inside = golden.array(&case["outputs"]["mask"]);
    let all = read(&path, &Options::default()).unwrap();
    let want: Vec<f32> = all[7]
        .iter()
        .zip(inside)
        .filter_map(|(&value, &inside)| (inside != 0.0).then_some(value))
        .collect();
    assert_eq!(rows[7], want);
}

/// A run of 2 × 2 × 2 voxels, and a mask and an atlas beside it.
struct Made {
    dir: TempDir,
    run: PathBuf,
}

impl Made {
    fn new() -> Self {
        let dir = here();
        let run = Image::new([2, 2, 2], 3, 2.0).write(dir.path(), "sub-1_task-x_bold.nii");
        Self { dir, run }
    }

    fn map(&self, name: &str, shape: [i16; 3], values: &[f64]) -> Value {
        text(&Image::mask(shape, values).write(self.dir.path(), name))
    }
}

#[test]
fn parcels_of_a_made_run() {
    let made = Made::new();
    // x fastest: the run's values are 0 to 7 in this order, then 8 to 15.
    let atlas = made.map("atlas.nii", [2, 2, 2], &[0., 3., 3., 1., 1., 1., 0., 3.]);
    let mean = read(&made.run, &options(&[("atlas", atlas.clone())])).unwrap();
    assert_eq!(mean[0], [4.0, 10.0 / 3.0]);
    assert_eq!(mean[1], [12.0, 34.0 / 3.0]);
    let median = options(&[("atlas", atlas.clone()), ("strategy", word("median"))]);
    assert_eq!(read(&made.run, &median).unwrap()[0], [4.0, 2.0]);
    let background = options(&[
        ("atlas", atlas.clone()),
        ("background_label", Value::Integer(3)),
        ("strategy", word("sum")),
    ]);
    assert_eq!(read(&made.run, &background).unwrap()[0], [6.0, 12.0]);
    // A mask that leaves one parcel.
    let mask = made.map("mask.nii", [2, 2, 2], &[1., 0., 0., 1., 0., 0., 0., 0.]);
    let masked = options(&[("atlas", atlas), ("mask", mask)]);
    assert_eq!(read(&made.run, &masked).unwrap()[2], [19.0]);
}

#[test]
fn another_grid_is_an_error_until_it_is_resampled() {
    let made = Made::new();
    // Twice as long along x: the run's half of it is what counts.
    let mask = made.map(
        "mask.nii",
        [4, 2, 2],
        &[
            1., 0., 0., 0., 1., 1., 0., 0., 0., 0., 0., 0., 0., 0., 1., 1.,
        ],
    );
    let message = error(&made.run, &options(&[("mask", mask.clone())]));
    assert!(
        message.contains("4 × 2 × 2") && message.contains("resample => 'mask'"),
        "{message}"
    );
    assert_eq!(message.matches("[3.0, 0.0, 0.0").count(), 2, "{message}");
    let moved = options(&[("mask", mask.clone()), ("resample", words(&["mask"]))]);
    assert_eq!(read(&made.run, &moved).unwrap()[0], [0.0, 2.0, 3.0]);
    // The run on the mask's grid: outside of the run is 0.
    let moved = options(&[
        ("mask", mask),
        ("resample", words(&["bold"])),
        ("interpolation", word("nearest")),
    ]);
    assert_eq!(
        read(&made.run, &moved).unwrap()[0],
        [0.0, 2.0, 3.0, 0.0, 0.0]
    );
    let atlas = made.map("atlas.nii", [1, 2, 2], &[5., 5., 6., 6.]);
    let message = error(&made.run, &options(&[("atlas", atlas.clone())]));
    assert!(message.contains("resample => 'atlas'"), "{message}");
    let moved = options(&[("atlas", atlas), ("resample", words(&["atlas"]))]);
    assert_eq!(read(&made.run, &moved).unwrap()[0], [1.0, 5.0]);
}

#[test]
fn smoothing_keeps_a_constant_and_takes_what_is_not_finite_as_0() {
    let dir = here();
    let mut image = Image::new([3, 3, 3], 0, 0.0);
    image.values = Some(vec![7.0; 27]);
    let path = image.write(dir.path(), "a.nii");
    let smoothed = |fwhm: Vec<f64>| options(&[("smoothing_fwhm", Value::Floats(fwhm))]);
    for value in &read(&path, &smoothed(vec![4.0, 0.0, 9.0])).unwrap()[0] {
        assert!((value - 7.0).abs() < 1e-5, "{value}");
    }
    image.values.as_mut().unwrap()[13] = f64::NAN;
    let path = image.write(dir.path(), "b.nii");
    let rows = read(&path, &smoothed(vec![4.0])).unwrap();
    assert!(rows[0].iter().all(|v| v.is_finite() && *v < 7.0));
    let whole = read(&path, &smoothed(vec![0.0])).unwrap();
    assert!(whole[0][13].is_nan(), "no smoothing, no change");
}

#[test]
fn a_mask_beside_the_run_is_found_by_its_name() {
    let dir = here();
    let run = |name: &str| Image::new([2, 2, 2], 3, 2.0).write(dir.path(), name);
    let path = run("sub-1_task-x_space-T1w_desc-preproc_bold.nii");
    let missing = error(&path, &options(&[("brain_mask", word("bids"))]));
    assert!(missing.contains("desc-brain_mask"), "{missing}");
    Image::mask([2, 2, 2], &[0., 1., 0., 1., 0., 0., 0., 0.])
        .write(dir.path(), "sub-1_task-x_space-T1w_desc-brain_mask.nii");
    for choice in ["bids", "auto"] {
        let found = read(&path, &options(&[("brain_mask", word(choice))])).unwrap();
        assert_eq!(found[0], [1.0, 3.0], "{choice}");
    }
}

#[rstest]
#[case(&[("strategy", word("mean"))], "give an atlas")]
#[case(&[("atlas", word("a.nii")), ("strategy", word("mode"))], "there is no strategy 'mode'")]
#[case(&[("brain_mask", word("guess"))], "there is no brain_mask 'guess'")]
#[case(&[("brain_mask", word("epi")), ("mask", word("m.nii"))], "not both")]
#[case(&[("smoothing_fwhm", number(-1.0))], "must be 0 mm or more")]
#[case(&[("smoothing_fwhm", number(f64::NAN))], "must be 0 mm or more")]
#[case(&[("smoothing_fwhm", Value::Floats(vec![1.0, 2.0]))], "not 2 numbers")]
#[case(&[("resample", words(&["mask"]))], "needs a mask or an atlas")]
#[case(&[("resample", words(&["run"]))], "cannot resample 'run'")]
#[case(&[("mask", word("m.nii")), ("resample", words(&["mask", "bold"]))], "leave one out")]
#[case(&[("brain_mask", word("epi")), ("resample", words(&["bold"]))], "needs a grid")]
#[case(&[("brain_mask", word("epi")), ("atlas", word("a.nii"))], "cannot be known")]
#[case(&[("mask", word("m.nii")), ("interpolation", word("linear"))], "resample => 'bold'")]
fn wrong_arguments(#[case] given: &[(&str, Value)], #[case] message: &str) {
    let made = Made::new();
    let got = error(&made.run, &options(given));
    assert!(got.contains(message), "{got}");
}

#[test]
fn atlases_that_are_none() {
    let made = Made::new();
    let parts = made.map("parts.nii", [2, 2, 2], &[0.5; 8]);
    let message = error(&made.run, &options(&[("atlas", parts)]));
    assert!(message.contains("whole numbers"), "{message}");
    let empty = made.map("empty.nii", [2, 2, 2], &[0.0; 8]);
    assert!(error(&made.run, &options(&[("atlas", empty)])).contains("empty.nii"));
    let run = text(&made.run);
    let message = error(&made.run, &options(&[("atlas", run)]));
    assert!(message.contains("must be 3-D"), "{message}");
}
