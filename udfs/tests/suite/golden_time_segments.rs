//! Time-segment matching (golden/srm).

use crate::common::{self, assert_close};
use faer::MatRef;
use voxql_udfs::kernels::time_segments::match_segments;

#[test]
fn accuracies() {
    let Some(golden) = common::load_cases("srm") else {
        return;
    };
    let mut ids = Vec::new();
    for case in golden.of("time_segment_matching") {
        let of = |value| {
            let (shape, values) = golden.array(value);
            // Features × TRs.
            let matrix = MatRef::from_row_major_slice(&values, shape[0], shape[1]);
            matrix.transpose().to_owned()
        };
        let list = case["inputs"]["s"].as_array().unwrap();
        let subjects: Vec<_> = list.iter().map(of).collect();
        let window = case["params"]["window"].as_u64().unwrap() as usize;
        let trs = subjects[0].nrows();
        let got = match_segments(&subjects, std::slice::from_ref(&(0..trs)), window).unwrap();
        let accuracies: Vec<f64> = got.iter().map(|m| m.accuracy).collect();
        let want = golden.array(&case["outputs"]["accuracy"]).1;
        assert_close(&accuracies, &want, case);
        ids.push(case["id"].as_str().unwrap());
    }
    note!("time_segment_matching: {}", ids.join(", "));
    assert_eq!(ids.len(), 3);
}
