//! `interpolate` beyond what SQL literals can say: types, metadata, odd times.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float32Array, Float64Array, Int64Array,
    LargeListArray, NullArray, RecordBatch, StringViewArray, StructArray,
};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int32Type, Int64Type, Schema};
use datafusion::prelude::SessionContext;

/// `interpolate(x, time, method)` of the rows, with the schema of the result.
async fn interpolate(x: ArrayRef, time: ArrayRef, method: &str) -> RecordBatch {
    let metadata = HashMap::from([("voxql.model".to_string(), "minilm".to_string())]);
    let schema = Schema::new(vec![
        Field::new("x", x.data_type().clone(), true).with_metadata(metadata),
        Field::new("time", time.data_type().clone(), true),
        Field::new("row", DataType::Int64, false),
    ]);
    let row = Int64Array::from_iter_values(0..x.len() as i64);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![x, time, Arc::new(row)]).unwrap();
    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);
    ctx.register_batch("t", batch).unwrap();
    let sql = format!(
        "SELECT interpolate(x, time, method => '{method}') OVER (ORDER BY time, row) AS y
         FROM t ORDER BY row"
    );
    let batches = ctx.sql(&sql).await.unwrap().collect().await.unwrap();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn seconds(times: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(times.to_vec()))
}

#[tokio::test]
async fn any_type_with_its_metadata() {
    let inner = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from(vec![Some("a"), None, Some("c")])),
        Arc::new(DictionaryArray::<Int32Type>::from_iter([
            Some("a"),
            None,
            Some("c"),
        ])),
        Arc::new(StructArray::new(
            vec![Field::new("inner", DataType::Int64, true)].into(),
            vec![inner],
            Some(vec![true, false, true].into()),
        )),
        Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1)]),
            None,
            Some(vec![None, Some(3)]),
        ])),
        Arc::new(NullArray::new(3)),
    ];
    for x in columns {
        let result = interpolate(Arc::clone(&x), seconds(&[0.0, 1.0, 2.0]), "previous").await;
        let field = result.schema().field(0).clone();
        assert_eq!(field.data_type(), x.data_type());
        assert_eq!(field.metadata()["voxql.model"], "minilm");
        let y = result.column(0);
        assert_eq!(y.slice(0, 1).as_ref(), x.slice(0, 1).as_ref());
        assert_eq!(y.slice(1, 1).as_ref(), x.slice(0, 1).as_ref());
        assert_eq!(y.slice(2, 1).as_ref(), x.slice(2, 1).as_ref());
    }
}

/// A grid row may stand before an event of the same time, and Float32 times mean the
/// decimal numbers that they print as.
#[tokio::test]
async fn equal_times() {
    let x = Arc::new(Int64Array::from(vec![None, Some(1), Some(2), None]));
    for time in [
        seconds(&[18.72, 18.72, 18.72, 20.0]),
        Arc::new(Float32Array::from(vec![18.72, 18.72, 18.72, 20.0])),
    ] {
        let y = interpolate(Arc::clone(&x) as ArrayRef, time, "previous").await;
        let y = y.column(0).as_primitive::<Int64Type>();
        assert_eq!(y.values(), &[2, 2, 2, 2]);
    }
}

#[tokio::test]
async fn rows_without_a_time() {
    let x = Arc::new(Float64Array::from(vec![
        Some(1.0),
        None,
        Some(9.0),
        Some(9.0),
    ]));
    let time = Arc::new(Float64Array::from(vec![
        Some(0.0),
        Some(1.0),
        Some(f64::NAN),
        None,
    ]));
    let y = interpolate(x, time, "nearest").await;
    let y: Vec<_> = y.column(0).as_primitive::<Float64Type>().iter().collect();
    assert_eq!(y, [Some(1.0), Some(1.0), None, None]);
}

#[tokio::test]
async fn linear_keeps_the_type_and_what_is_missing() {
    let x = LargeListArray::from_iter_primitive::<Float32Type, _, _>([
        Some(vec![Some(0.0), None, Some(1.0)]),
        None,
        Some(vec![Some(4.0), Some(1.0), Some(f32::NAN)]),
    ]);
    let kind = x.data_type().clone();
    let y = interpolate(Arc::new(x), seconds(&[0.0, 1.0, 4.0]), "linear").await;
    assert_eq!(y.column(0).data_type(), &kind);
    let middle = y.column(0).as_list::<i64>().value(1);
    let middle = middle.as_primitive::<Float32Type>();
    assert_eq!(middle.value(0), 1.0);
    assert!(middle.is_null(1));
    assert!(middle.value(2).is_nan());
}
