//! Smoothing, masks, parcels and resampling against nilearn 0.14.1 and SciPy (golden/nifti): every
//! case but `read`, `unmask` and the `apply_mask` without smoothing, which are the readers' part.

mod images;

use crate::common::{self, Cases, assert_close};
use images::{Image, Series, c_order, x_fastest};
use serde_json::Value;
use voxql_udfs::kernels::brain::epi_mask::EpiMask;
use voxql_udfs::kernels::brain::intersect::Intersection;
use voxql_udfs::kernels::brain::parcels::{Parcels, Strategy};
use voxql_udfs::kernels::brain::resample::{Interpolation, Resampler};
use voxql_udfs::kernels::brain::smooth::Smoother;
use voxql_udfs::kernels::brain::{Shape, components, ensure_finite, morphology};
use voxql_udfs::kernels::signal::butterworth::Band;
use voxql_udfs::kernels::signal::clean::{Cleaner, Filter, Options};
use voxql_udfs::kernels::signal::standardize::Standardize;

/// Runs `compare` on the cases of some functions, and says which they were.
fn every(functions: &[&str], count: usize, mut compare: impl FnMut(&Cases, &Value)) {
    let Some(golden) = common::load_cases("nifti") else {
        return;
    };
    let mut compared = 0;
    for function in functions {
        for case in golden.of(function) {
            compare(&golden, case);
            note!("nifti {function} {}: equal", case["id"]);
            compared += 1;
        }
    }
    assert_eq!(compared, count, "{functions:?}");
}

/// The voxels of a golden mask, x fastest.
fn mask(golden: &Cases, value: &Value) -> (Shape, Vec<bool>) {
    let (shape, values) = golden.array(value);
    let shape: Shape = shape.try_into().unwrap();
    let values = x_fastest(shape, &values);
    (shape, values.into_iter().map(|v| v != 0.0).collect())
}

fn assert_same_mask(got: &[bool], golden: &Cases, case: &Value) {
    let (_, want) = mask(golden, &case["outputs"]["mask"]);
    let differ = got.iter().zip(&want).filter(|(a, b)| a != b).count();
    assert_eq!(got.len(), want.len(), "{}", case["id"]);
    assert_eq!(differ, 0, "{}: voxels that differ", case["id"]);
    if let Some(n) = case["outputs"]["n_voxels"].as_u64() {
        assert_eq!(
            got.iter().filter(|v| **v).count() as u64,
            n,
            "{}",
            case["id"]
        );
    }
}

/// What a case does not say is nilearn's default.
fn epi_options(params: &Value) -> EpiMask {
    let default = EpiMask::default();
    let flag = |name: &str, default| params[name].as_bool().unwrap_or(default);
    EpiMask {
        lower_cutoff: params["lower_cutoff"]
            .as_f64()
            .unwrap_or(default.lower_cutoff),
        upper_cutoff: params["upper_cutoff"]
            .as_f64()
            .unwrap_or(default.upper_cutoff),
        opening: match &params["opening"] {
            Value::Bool(on) => usize::from(*on),
            Value::Number(n) => n.as_u64().unwrap() as usize,
            _ => default.opening,
        },
        connected: flag("connected", default.connected),
        exclude_zeros: flag("exclude_zeros", default.exclude_zeros),
        ensure_finite: flag("ensure_finite", default.ensure_finite),
    }
}

/// The mask of an image's mean, in the image's type.
fn epi_mask(options: EpiMask, image: &Image) -> Vec<bool> {
    let mask = match image.mean() {
        Series::Single(mut mean) => options.of(&mut mean, image.shape),
        Series::Double(mut mean) => options.of(&mut mean, image.shape),
    };
    mask.unwrap()
}

#[test]
fn every_case_of_compute_epi_mask() {
    every(&["compute_epi_mask"], 22, |golden, case| {
        let image = Image::of(golden, &case["inputs"]["img"]);
        let got = epi_mask(epi_options(&case["params"]), &image);
        assert_same_mask(&got, golden, case);
    });
}

#[test]
fn every_case_of_compute_multi_epi_mask() {
    every(&["compute_multi_epi_mask"], 5, |golden, case| {
        let params = &case["params"];
        let threshold = params["threshold"].as_f64().unwrap();
        let options = epi_options(params);
        let files = case["inputs"]["imgs"].as_array().unwrap();
        let mut all = None;
        for file in files {
            let image = Image::of(golden, file);
            let all = all.get_or_insert_with(|| {
                Intersection::new(image.shape, threshold, options.connected).unwrap()
            });
            all.add(&epi_mask(options, &image));
        }
        assert_same_mask(&all.unwrap().finish(), golden, case);
    });
}

#[test]
fn every_case_of_intersect_masks() {
    every(&["intersect_masks"], 6, |golden, case| {
        let params = &case["params"];
        let threshold = params["threshold"].as_f64().unwrap();
        let connected = params["connected"].as_bool().unwrap();
        let masks = case["inputs"]["masks"].as_array().unwrap();
        let masks: Vec<_> = masks.iter().map(|m| mask(golden, m)).collect();
        let mut all = Intersection::new(masks[0].0, threshold, connected).unwrap();
        for (_, mask) in &masks {
            all.add(mask);
        }
        assert_same_mask(&all.finish(), golden, case);
    });
}

#[test]
fn every_case_of_components_and_morphology() {
    let functions = [
        "largest_connected_component",
        "binary_erosion",
        "binary_dilation",
    ];
    every(&functions, 8, |golden, case| {
        let (shape, volume) = mask(golden, &case["inputs"]["vol"]);
        let times = case["params"]["iterations"].as_u64().unwrap_or(0) as usize;
        let got = match case["function"].as_str().unwrap() {
            "binary_erosion" => morphology::erode(&volume, shape, times),
            "binary_dilation" => morphology::dilate(&volume, shape, times),
            _ => components::largest(&volume, shape).unwrap(),
        };
        assert_same_mask(&got, golden, case);
    });
}

/// One width, or one an axis.
fn fwhm(value: &Value) -> [Option<f64>; 3] {
    match value.as_array() {
        Some(widths) => std::array::from_fn(|axis| widths[axis].as_f64()),
        None => [value.as_f64(); 3],
    }
}

#[test]
fn every_case_of_smooth_img() {
    every(&["smooth_img"], 3, |golden, case| {
        let image = Image::of_data(golden, &case["inputs"]);
        let widths = fwhm(&case["params"]["fwhm"]);
        let mut smoother = Smoother::new(image.shape, &image.affine, widths).unwrap();
        let got = match image.volume(0) {
            Series::Single(mut volume) => {
                smoother.apply(&mut volume);
                volume.into_iter().map(f64::from).collect()
            }
            Series::Double(mut volume) => {
                smoother.apply(&mut volume);
                volume
            }
        };
        let (_, want) = golden.array(&case["outputs"]["vol"]);
        assert_close(&c_order(image.shape, &got), &want, case);
    });
}

/// The cases that smooth, or have values that are not finite, in kernels alone.
#[test]
fn the_smoothed_cases_of_apply_mask() {
    let Some(golden) = common::load_cases("nifti") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("apply_mask") {
        let (params, inputs) = (&case["params"], &case["inputs"]);
        let image = match inputs.get("data") {
            Some(_) => Image::of_data(&golden, inputs),
            None if params["smoothing_fwhm"].is_null() => continue,
            None => Image::of(&golden, &inputs["img"]),
        };
        let widths = fwhm(&params["smoothing_fwhm"]);
        let mut smoother = Smoother::new(image.shape, &image.affine, widths).unwrap();
        let (_, mask) = mask(&golden, &inputs["mask"]);
        let inside = c_order(image.shape, &mask);
        let (rows, want) = match case["outputs"].get("series") {
            Some(series) => ((0..image.volumes).collect(), series),
            None => (
                vec![0, 5, image.volumes - 1],
                &case["outputs"]["series_rows_0_5_last"],
            ),
        };
        let mut got = vec![];
        for row in rows {
            let volume = match image.volume(row) {
                Series::Single(mut volume) => {
                    smoother.apply(&mut volume);
                    volume.into_iter().map(f64::from).collect()
                }
                Series::Double(mut volume) => {
                    smoother.apply(&mut volume);
                    volume
                }
            };
            let values = c_order(image.shape, &volume);
            got.extend(
                values
                    .into_iter()
                    .zip(&inside)
                    .filter(|(_, i)| **i)
                    .map(|(v, _)| v),
            );
        }
        assert_close(&got, &golden.array(want).1, case);
        note!("nifti apply_mask {}: equal", case["id"]);
        compared += 1;
    }
    assert_eq!(compared, 6);
}

/// The labels of the voxels in C order, 0 where a mask leaves them out.
fn parcels(golden: &Cases, case: &Value) -> Parcels {
    let labels = Image::of(golden, &case["inputs"]["labels"]);
    let mut values = c_order(labels.shape, &labels.volume(0).doubles());
    if let Some(given) = case["inputs"].get("mask") {
        let inside = c_order(labels.shape, &mask(golden, given).1);
        for (value, inside) in values.iter_mut().zip(inside) {
            if !inside {
                *value = 0.0;
            }
        }
    }
    let parcels = Parcels::new(&values, 0).unwrap();
    let want: Vec<i64> = case["outputs"]["labels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|label| label.as_i64().unwrap())
        .collect();
    assert_eq!(parcels.labels, want, "{}", case["id"]);
    parcels
}

/// Volumes × labels.
fn signals(image: &Image, parcels: &mut Parcels, strategy: Strategy) -> Vec<f64> {
    let mut signals = vec![];
    for volume in 0..image.volumes {
        match image.volume(volume) {
            Series::Single(values) => {
                let mut row: Vec<f32> = vec![];
                parcels.reduce(strategy, &c_order(image.shape, &values), &mut row);
                signals.extend(row.into_iter().map(f64::from));
            }
            Series::Double(values) => {
                parcels.reduce(strategy, &c_order(image.shape, &values), &mut signals);
            }
        }
    }
    signals
}

#[test]
fn every_case_of_img_to_signals_labels() {
    every(&["img_to_signals_labels"], 6, |golden, case| {
        let image = Image::of(golden, &case["inputs"]["img"]);
        let strategy = Strategy::from_name(case["params"]["strategy"].as_str().unwrap()).unwrap();
        let got = signals(&image, &mut parcels(golden, case), strategy);
        assert_close(&got, &golden.array(&case["outputs"]["signals"]).1, case);
    });
}

#[test]
fn every_case_of_the_labels_masker() {
    every(&["NiftiLabelsMasker.fit_transform"], 1, |golden, case| {
        let image = Image::of(golden, &case["inputs"]["img"]);
        let mut parcels = parcels(golden, case);
        let means = signals(&image, &mut parcels, Strategy::Mean);
        let params = &case["params"];
        let options = Options {
            tr: params["t_r"].as_f64().unwrap(),
            detrend: params["detrend"].as_bool().unwrap(),
            standardize: Standardize::from_name(params["standardize"].as_str().unwrap()),
            filter: Filter::Butterworth(Band {
                high_pass: params["high_pass"].as_f64(),
                low_pass: None,
            }),
            ..Options::default()
        };
        let width = parcels.labels.len();
        let rows: Vec<Option<&[f64]>> = means.chunks(width).map(Some).collect();
        let mut got = vec![0.0; means.len()];
        Cleaner::new(&options, &vec![true; image.volumes], &[])
            .unwrap()
            .clean(&rows, width, &mut got)
            .unwrap();
        assert_close(&got, &golden.array(&case["outputs"]["signals"]).1, case);
    });
}

#[test]
fn every_case_of_resampling() {
    every(&["resample_to_img", "resample_img"], 6, |golden, case| {
        let (params, inputs) = (&case["params"], &case["inputs"]);
        let image = match inputs["data"].get("file") {
            Some(_) => Image::of(golden, &inputs["data"]),
            None => Image::of_data(golden, inputs),
        };
        let number = |value: &Value| value.as_f64().unwrap();
        let affine = &params["target_affine"];
        let affine = std::array::from_fn(|r| std::array::from_fn(|c| number(&affine[r][c])));
        let shape: Shape =
            std::array::from_fn(|axis| params["target_shape"][axis].as_u64().unwrap() as usize);
        let how = Interpolation::from_name(params["interpolation"].as_str().unwrap()).unwrap();
        let mut resampler = Resampler::new(image.shape, &image.affine, shape, &affine, how)
            .unwrap()
            .clipped(params["clip"].as_bool().unwrap());
        let voxels = shape.iter().product();
        let got = match image.volume(0) {
            Series::Single(volume) => {
                let mut target = vec![0f32; voxels];
                resampler.apply(&volume, &mut target);
                target.into_iter().map(f64::from).collect()
            }
            Series::Double(volume) => {
                let mut target = vec![0f64; voxels];
                resampler.apply(&volume, &mut target);
                target
            }
        };
        let (_, want) = golden.array(&case["outputs"]["vol"]);
        assert_close(&c_order(shape, &got), &want, case);
    });
}

/// `ensure_finite` is what nilearn does to volumes that are not smoothed.
#[test]
fn values_that_are_not_finite_become_zero() {
    let mut volume = [1.0f32, f32::NAN, f32::NEG_INFINITY, -2.5];
    ensure_finite(&mut volume);
    assert_eq!(volume, [1.0, 0.0, 0.0, -2.5]);
}
