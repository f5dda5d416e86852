//! Design matrices against nilearn's `make_first_level_design_matrix` (golden/design).

use std::collections::BTreeMap;

use crate::common;
use crate::golden_regressor::{model, row_major};

use serde_json::{Value, json};
use voxql_udfs::kernels::design::{Drift, design_matrix};
use voxql_udfs::kernels::regressor::{Event, Regressors};

/// The events of a case by condition, in nilearn's order.
fn conditions(golden: &common::Cases, events: &Value) -> BTreeMap<String, Vec<Event>> {
    let mut conditions: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    if events.is_null() {
        return conditions;
    }
    let (_, onsets) = golden.array(&events["onset"]);
    let (_, durations) = golden.array(&events["duration"]);
    for (i, onset) in onsets.iter().enumerate() {
        let name = events["trial_type"][i].as_str().unwrap_or("dummy");
        let event = Event {
            onset: *onset,
            duration: durations[i],
            amplitude: events["modulation"][i].as_f64().unwrap_or(1.0),
        };
        conditions.entry(name.to_string()).or_default().push(event);
    }
    conditions
}

#[test]
fn every_case() {
    let Some(golden) = common::load_cases("design") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("make_first_level_design_matrix") {
        let mut params = case["params"].clone();
        if params.get("hrf_model").is_none() {
            params["hrf_model"] = json!("glover");
        }
        let number = |name: &str, default: f64| params[name].as_f64().unwrap_or(default);
        let (_, frame_times) = golden.array(&case["inputs"]["frame_times"]);
        let model = model(&params);
        let oversampling = number("oversampling", 50.0) as usize;
        let regressors = Regressors::new(
            &frame_times,
            &model,
            oversampling,
            number("min_onset", -24.0),
        )
        .unwrap();
        let drift = match params.get("drift_model") {
            None => "cosine",
            Some(name) => name.as_str().unwrap_or("none"),
        };
        let order = number("drift_order", 1.0) as usize;
        let drifts = Drift::from_name(drift, number("high_pass", 0.01), order)
            .and_then(|drift| drift.columns(&frame_times))
            .unwrap();
        let added = match case["inputs"].get("add_regs") {
            None => Vec::new(),
            Some(regressors) => {
                let (shape, values) = golden.array(regressors);
                (0..shape[1])
                    .map(|j| values.iter().skip(j).step_by(shape[1]).copied().collect())
                    .collect()
            }
        };
        let conditions = conditions(&golden, &case["inputs"]["events"]);
        let mut names: Vec<String> = conditions.keys().flat_map(|c| model.names(c)).collect();
        names.extend((0..added.len()).map(|i| format!("reg{i}")));
        names.extend((1..=drifts.len()).map(|i| format!("drift_{i}")));
        names.push("constant".into());
        assert_eq!(json!(names), case["outputs"]["columns"], "{}", case["id"]);

        let events: Vec<&[Event]> = conditions.values().map(Vec::as_slice).collect();
        let (columns, regularised) =
            design_matrix(&events, &regressors, &added, &drifts, frame_times.len()).unwrap();
        // Not even `cosine_saturated` is: it has more columns than rows, which are independent.
        assert!(!regularised, "{}", case["id"]);
        let (_, want) = golden.array(&case["outputs"]["matrix"]);
        common::assert_close(&row_major(&columns), &want, case);
        note!("design_matrix {}: equal", case["id"]);
        compared += 1;
    }
    assert_eq!(compared, golden.cases.len());
}
