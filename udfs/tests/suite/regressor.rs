//! `regressor` in SQL: nilearn's numbers, whatever the order and the partitions of the events.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use serde_json::Value;
use voxql_udfs::kernels::regressor::{Event, MIN_ONSET, Model, Regressors, frame_times};

use crate::common;
use crate::golden_regressor::events;

/// A table `events` of several partitions, each with some of the events.
fn context(events: &[Event], partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(3);
    let ctx = SessionContext::new_with_config(config);
    voxql_udfs::register_all(&ctx);
    let batch = |part: usize| {
        let column = |of: fn(&Event) -> f64| {
            let values = events.iter().skip(part).step_by(partitions).map(of);
            Arc::new(Float64Array::from_iter_values(values)) as ArrayRef
        };
        RecordBatch::try_from_iter([
            ("onset", column(|event| event.onset)),
            ("duration", column(|event| event.duration)),
            ("modulation", column(|event| event.amplitude)),
        ])
        .unwrap()
    };
    let batches: Vec<Vec<RecordBatch>> = (0..partitions).map(|part| vec![batch(part)]).collect();
    let table = MemTable::try_new(batches[0][0].schema(), batches).unwrap();
    ctx.register_table("events", Arc::new(table)).unwrap();
    ctx
}

/// The one value of a query, flattened, and its type.
async fn values(ctx: &SessionContext, sql: &str) -> (Vec<f64>, DataType) {
    let batches = ctx.sql(sql).await.unwrap().collect().await.unwrap();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 1, "{sql}");
    let batch = batches.iter().find(|b| b.num_rows() > 0).unwrap();
    let data_type = batch.column(0).data_type().clone();
    let mut column = Arc::clone(batch.column(0));
    loop {
        column = match column.data_type() {
            DataType::List(_) => Arc::clone(column.as_list::<i32>().values()),
            DataType::FixedSizeList(..) => Arc::clone(column.as_fixed_size_list().values()),
            _ => break,
        };
    }
    let numbers = column.as_primitive::<Float64Type>();
    assert_eq!(numbers.null_count(), 0);
    (numbers.values().to_vec(), data_type)
}

/// The arguments from `tr` on, where the frame times of the case are those of a TR.
fn arguments(params: &Value, times: &[f64]) -> Option<String> {
    let tr = times[1] - times[0];
    let slice_time_ref = times[0] / tr;
    let regular = frame_times(times.len(), tr, slice_time_ref).ok()?;
    if regular != times {
        return None;
    }
    let model = params["hrf_model"].as_str().unwrap_or("none");
    let delays = match &params["fir_delays"] {
        Value::Null => "NULL".to_string(),
        delays => delays.to_string(),
    };
    Some(format!(
        "{tr:?}, {}, '{model}', {}, {}, {slice_time_ref:?}, {delays}",
        times.len(),
        params["oversampling"],
        params["min_onset"],
    ))
}

#[tokio::test]
async fn every_golden_case_with_a_tr() {
    let Some(golden) = common::load_cases("regressor") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("compute_regressor") {
        let (_, times) = golden.array(&case["inputs"]["frame_times"]);
        let Some(arguments) = arguments(&case["params"], &times) else {
            note!("SQL regressor {}: left out, it has no one TR", case["id"]);
            continue;
        };
        let ctx = context(&events(&golden, &case["inputs"]), 3);
        let sql = format!("SELECT regressor(onset, duration, modulation, {arguments}) FROM events");
        let (got, data_type) = values(&ctx, &sql).await;
        let (shape, want) = golden.array(&case["outputs"]["regressors"]);
        common::assert_close(&got, &want, case);
        let DataType::FixedSizeList(row, scans) = data_type else {
            panic!("{sql}: {data_type}");
        };
        assert_eq!(scans as usize, shape[0]);
        match row.data_type() {
            DataType::Float64 => assert_eq!(shape[1], 1),
            DataType::FixedSizeList(_, columns) => assert_eq!(*columns as usize, shape[1]),
            other => panic!("{sql}: {other}"),
        }
        note!("SQL regressor {}: equal", case["id"]);
        compared += 1;
    }
    assert!(compared >= 80, "{compared}");
}

/// Where a model or the number of scans is not a literal, the type does not depend on it.
#[tokio::test]
async fn without_literals_lists_have_no_length() {
    let event = Event {
        onset: 1.0,
        duration: 1.0,
        amplitude: 1.0,
    };
    let ctx = context(&[event], 1);
    let call = "(onset, duration, NULL, 2.0, 5 + 5, 'spm + derivative')";
    let one = format!("SELECT regressor{call} FROM events");
    let several = format!("SELECT regressors{call} FROM events");
    let (a, one_type) = values(&ctx, &one).await;
    let (b, _) = values(&ctx, &several).await;
    assert_eq!(a, b);
    assert_eq!(a.len(), 20);
    assert!(matches!(one_type, DataType::List(_)), "{one_type}");

    let concatenated = "SELECT regressor(onset, duration, NULL, 2.0, 10, concat('spm', ' + derivative')) FROM events";
    let error = match ctx.sql(concatenated).await {
        Ok(frame) => frame.collect().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().contains("call regressors"), "{error}");
}

#[tokio::test]
async fn mistakes_say_what_to_do() {
    let event = Event {
        onset: 1.5,
        duration: -1.0,
        amplitude: 1.0,
    };
    let ctx = context(&[event], 1);
    for (call, message) in [
        (
            "(onset, duration, NULL, 2.0, 10)",
            "the event at 1.5 s has the duration -1",
        ),
        (
            "(onset, NULL, NULL, 2.0, 10)",
            "write coalesce(duration, 0)",
        ),
        (
            "(NULL, 1, NULL, 2.0, 10)",
            "FILTER (WHERE onset IS NOT NULL)",
        ),
        ("(0.0 / 0.0, 1, NULL, 2.0, 10)", "the onset NaN"),
        (
            "(onset, 1, NULL, 0, 10)",
            "tr is the repetition time in seconds and must be positive, got 0",
        ),
        (
            "(onset, 1, NULL, 2.0, 1)",
            "n_scans is the number of volumes of a run",
        ),
        ("(onset, 1, NULL, NULL, 10)", "tr must be given"),
        (
            "(onset, 1, NULL, 2.0, 10, 'gamma')",
            "there is no model gamma; the models are glover",
        ),
        (
            "(onset, 1, NULL, 2.0, 10, 'fir', 50, -24, 0, [1.5])",
            "fir_delays are whole numbers",
        ),
        (
            "(onset, 1, NULL, 2.0, 10, NULL, 0)",
            "oversampling must be at least 1",
        ),
        (
            "(onset, 1, NULL, 2.0, 10, NULL, NULL, 5)",
            "min_onset is the start of the grid",
        ),
        (
            "(onset, 1, NULL, 2.0, 10, NULL, NULL, NULL, 2)",
            "slice_time_ref is a part of a TR",
        ),
        (
            "(onset, 1)",
            "regressor: the argument modulation is missing",
        ),
        (
            "('a', 1, NULL, 2.0, 10)",
            "regressor: onset must be a number, got Utf8",
        ),
        (
            "(DISTINCT onset, 1, NULL, 2.0, 10)",
            "does not take DISTINCT",
        ),
    ] {
        let sql = format!("SELECT regressor{call} FROM events");
        let error = match ctx.sql(&sql).await {
            Ok(frame) => frame.collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains(message), "{sql}: {error}");
    }
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let event = (
        -40.0..140.0f64,
        prop_oneof![Just(0.0), 0.0..30.0f64],
        -3.0..3.0f64,
    );
    let event = event.prop_map(|(onset, duration, amplitude)| Event {
        onset,
        duration,
        amplitude,
    });
    proptest::collection::vec(event, 0..30)
}

fn model() -> impl Strategy<Value = Model> {
    (0..Model::NAMES.len())
        .prop_map(|i| Model::from_name(Model::NAMES[i], &[0.0, 2.0, 5.0]).unwrap())
}

proptest! {
    #[test]
    fn the_order_of_events_makes_no_difference(
        (events, shuffled) in any_events()
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        model in model(),
    ) {
        let times = frame_times(60, 1.49, 0.5).unwrap();
        let regressors = Regressors::new(&times, &model, 16, MIN_ONSET).unwrap();
        prop_assert_eq!(regressors.columns(&events), regressors.columns(&shuffled));
    }

    /// Columns that are not made orthogonal are linear in the events, and all are in
    /// one factor.
    #[test]
    fn linear_in_modulation(a in any_events(), b in any_events(), factor in -5.0..5.0f64, model in model()) {
        let times = frame_times(60, 1.49, 0.0).unwrap();
        let regressors = Regressors::new(&times, &model, 16, MIN_ONSET).unwrap();
        let scaled: Vec<Event> = a
            .iter()
            .map(|event| Event { amplitude: factor * event.amplitude, ..*event })
            .collect();
        let (of_a, of_b) = (regressors.columns(&a), regressors.columns(&b));
        let of_scaled = regressors.columns(&scaled);
        for (scaled, a) in of_scaled.iter().flatten().zip(of_a.iter().flatten()) {
            prop_assert!((scaled - factor * a).abs() < 1e-9, "{} {}", scaled, factor * a);
        }
        let both: Vec<Event> = a.iter().chain(&b).copied().collect();
        let of_both = regressors.columns(&both);
        let fir = matches!(model, Model::Fir(_));
        let linear = if fir { of_both.len() } else { 1 };
        for j in 0..linear {
            for ((both, a), b) in of_both[j].iter().zip(&of_a[j]).zip(&of_b[j]) {
                prop_assert!((both - a - b).abs() < 1e-9, "{} {}", both, a + b);
            }
        }
    }

    /// A run is one: what partial aggregation puts together equals the whole, to the last bit.
    #[test]
    fn partitions_make_no_difference(events in any_events(), partitions in 1usize..5) {
        let times = frame_times(40, 2.0, 0.0).unwrap();
        let model = Model::from_name("glover + derivative", &[]).unwrap();
        let columns = Regressors::new(&times, &model, 50, MIN_ONSET).unwrap().columns(&events);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ctx = context(&events, partitions);
        let sql = "SELECT regressor(onset, duration, modulation, 2.0, 40, 'glover + derivative') FROM events";
        let (got, _) = runtime.block_on(values(&ctx, sql));
        prop_assert_eq!(got, crate::golden_regressor::row_major(&columns));
    }
}
