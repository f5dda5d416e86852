//! `tr_index` and `vector_avg` against the golden bins (SPEC.md 3): the mean of a
//! feature stream in each volume.
//!
//! The reference takes `floor(t / tr)` in floating point, which moves a sample that
//! lies exactly on the start of a volume into the volume before it now and then.
//! `tr_index` does not. The test says which samples these are (edges, all of them),
//! and holds every other bin to the reference.

use crate::common;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array, RecordBatch,
};
use arrow::datatypes::{DataType, Field, Float32Type, Int64Type};
use datafusion::prelude::SessionContext;

/// Bin to (mean vector, number of samples).
type Bins = BTreeMap<i64, (Vec<f64>, i64)>;

async fn bins(t: &[f64], x: &[f64], width: usize, single: bool, tr: f64) -> Bins {
    let values: ArrayRef = if single {
        Arc::new(Float32Array::from_iter_values(x.iter().map(|x| *x as f32)))
    } else {
        Arc::new(Float64Array::from(x.to_vec()))
    };
    let item = Field::new_list_field(values.data_type().clone(), true);
    let x = FixedSizeListArray::new(Arc::new(item), width as i32, values, None);
    let t: ArrayRef = Arc::new(Float64Array::from(t.to_vec()));
    let batch = RecordBatch::try_from_iter([("t", t), ("x", Arc::new(x))]).unwrap();

    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);
    ctx.register_batch("stream", batch).unwrap();
    let sql = format!(
        "SELECT tr_index(t, tr => {tr}) AS tr, vector_avg(x) AS mean, count(*) AS n FROM stream GROUP BY 1"
    );
    let mut bins = Bins::new();
    for batch in ctx.sql(&sql).await.unwrap().collect().await.unwrap() {
        let means = batch.column(1).as_fixed_size_list();
        assert_eq!(means.value_type(), DataType::Float32);
        for i in 0..batch.num_rows() {
            let tr = batch.column(0).as_primitive::<Int64Type>().value(i);
            let mean = means.value(i);
            let mean = mean.as_primitive::<Float32Type>().values();
            let n = batch.column(2).as_primitive::<Int64Type>().value(i);
            bins.insert(tr, (mean.iter().map(|x| f64::from(*x)).collect(), n));
        }
    }
    bins
}

#[tokio::test]
async fn means_per_volume() {
    let Some(cases) = common::load_cases("continuous") else {
        return;
    };
    let mut compared = 0;
    let mut moved_in = BTreeMap::new();
    for case in cases.of("tr_bin_mean") {
        let tr = case["params"]["tr"].as_f64().unwrap();
        let n_tr = case["params"]["n_tr"].as_i64().unwrap();
        let (_, t) = cases.array(&case["inputs"]["t"]);
        let (shape, x) = cases.array(&case["inputs"]["x"]);
        let width = shape.get(1).copied().unwrap_or(1);
        let single = cases.is_f32(&case["inputs"]["x"]);
        let got = bins(&t, &x, width, single, tr).await;

        // Where the two rules differ the sample is the first of its volume.
        let mut touched = BTreeSet::new();
        let mut moved = 0;
        for t in &t {
            let float = (t / tr).floor() as i64;
            let (ns, tr_ns) = ((t * 1e9).round() as i64, (tr * 1e9).round() as i64);
            let exact = ns.div_euclid(tr_ns);
            if float != exact {
                assert_eq!(ns % tr_ns, 0, "{}: {t} is no edge", case["id"]);
                assert_eq!(float, exact - 1);
                touched.extend([float, exact]);
                moved += 1;
            }
        }
        moved_in.insert(case["id"].as_str().unwrap().to_string(), moved);

        let (_, mean) = cases.array(&case["outputs"]["mean"]);
        let (_, count) = cases.array(&case["outputs"]["count"]);
        for bin in (0..n_tr).filter(|bin| !touched.contains(bin)) {
            let row = bin as usize * width;
            let empty = (vec![f64::NAN; width], 0);
            let (got_mean, got_count) = got.get(&bin).unwrap_or(&empty);
            common::assert_close(got_mean, &mean[row..row + width], case);
            assert_eq!(*got_count, count[bin as usize] as i64, "{}", case["id"]);
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} bins were compared");
    let edges = moved_in.remove("edges/bin").unwrap();
    assert!(edges > 0, "the edges cases are there to differ");
    note!(
        "{compared} bins compared; samples moved by floating point: {edges} in edges, {moved_in:?}"
    );
}
