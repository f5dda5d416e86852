//! Regressors against nilearn's `compute_regressor` (golden/regressor).

use crate::common;

use serde_json::Value;
use voxql_udfs::kernels::regressor::{Event, Model, Regressors};

/// The events of a case.
pub fn events(golden: &common::Cases, inputs: &Value) -> Vec<Event> {
    let column = |name: &str| golden.array(&inputs[name]).1;
    let (onsets, durations) = (column("onsets"), column("durations"));
    let amplitudes = column("amplitudes");
    (0..onsets.len())
        .map(|i| Event {
            onset: onsets[i],
            duration: durations[i],
            amplitude: amplitudes[i],
        })
        .collect()
}

/// The model of a case, by nilearn's name; None is `none`.
pub fn model(params: &Value) -> Model {
    let delays: Vec<f64> = params["fir_delays"]
        .as_array()
        .map(|delays| delays.iter().map(|d| d.as_f64().unwrap()).collect())
        .unwrap_or_else(|| vec![0.0]);
    Model::from_name(params["hrf_model"].as_str().unwrap_or("none"), &delays).unwrap()
}

#[test]
fn every_case() {
    let Some(golden) = common::load_cases("regressor") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("compute_regressor") {
        let params = &case["params"];
        let (_, frame_times) = golden.array(&case["inputs"]["frame_times"]);
        let model = model(params);
        let regressors = Regressors::new(
            &frame_times,
            &model,
            params["oversampling"].as_u64().unwrap() as usize,
            params["min_onset"].as_f64().unwrap(),
        )
        .unwrap();
        let columns = regressors.columns(&events(&golden, &case["inputs"]));
        let got = row_major(&columns);
        let (shape, want) = golden.array(&case["outputs"]["regressors"]);
        assert_eq!(shape, [frame_times.len(), columns.len()], "{}", case["id"]);
        common::assert_close(&got, &want, case);
        assert_eq!(
            serde_json::to_value(model.names("cond")).unwrap(),
            case["outputs"]["names"],
            "{}",
            case["id"]
        );
        note!("regressor {}: equal", case["id"]);
        compared += 1;
    }
    assert_eq!(compared, golden.cases.len());
}

/// Columns as nilearn lays them out: frames × columns.
pub fn row_major(columns: &[Vec<f64>]) -> Vec<f64> {
    let rows = columns.first().map_or(0, Vec::len);
    (0..rows)
        .flat_map(|i| columns.iter().map(move |column| column[i]))
        .collect()
}
