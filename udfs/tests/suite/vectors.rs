//! The vector functions through SQL: types, metadata, partial aggregation, laws.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use voxql_udfs::identity::MODEL_METADATA;
use voxql_udfs::vectors::vector_type;

fn context() -> SessionContext {
    let ctx = SessionContext::new_with_config(
        SessionConfig::new()
            .with_target_partitions(3)
            .with_batch_size(7),
    );
    voxql_udfs::register_all(&ctx);
    ctx
}

async fn collect(ctx: &SessionContext, sql: &str) -> RecordBatch {
    let frame = ctx.sql(sql).await.unwrap();
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.unwrap();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

async fn error(ctx: &SessionContext, sql: &str) -> String {
    match ctx.sql(sql).await {
        Err(error) => error.to_string(),
        Ok(frame) => frame.collect().await.unwrap_err().to_string(),
    }
}

/// 100 vectors of width 4 in 10 groups, over several partitions.
fn table(ctx: &SessionContext, metadata: &[(&str, &str)], name: &str) {
    let values = Float32Array::from_iter_values((0..400).map(|i| ((i * 37) % 101) as f32));
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let v: ArrayRef = Arc::new(FixedSizeListArray::new(item, 4, Arc::new(values), None));
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    let schema = Arc::new(Schema::new(vec![
        Field::new("g", DataType::Int64, false),
        Field::new("v", v.data_type().clone(), true).with_metadata(metadata),
    ]));
    let g: ArrayRef = Arc::new(Int64Array::from_iter_values((0..100).map(|i| i % 10)));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![g, v]).unwrap();
    let parts = (0..4).map(|p| vec![batch.slice(p * 25, 25)]).collect();
    let table = MemTable::try_new(schema, parts).unwrap();
    ctx.register_table(name, Arc::new(table)).unwrap();
}

/// Each aggregate of vectors equals DataFusion's aggregate of each element.
#[tokio::test]
async fn aggregates_agree_with_scalar_ones() {
    let ctx = context();
    table(&ctx, &[], "t");
    for (ours, theirs) in [
        ("vector_avg(v)", "avg"),
        ("vector_sum(v)", "sum"),
        ("vector_min(v)", "min"),
        ("vector_max(v)", "max"),
        ("vector_std(v)", "stddev_pop"),
        ("vector_std(v, ddof => 1)", "stddev"),
    ] {
        for group in ["GROUP BY g ORDER BY g", ""] {
            let elements: Vec<String> = (1..=4).map(|i| format!("{theirs}(v[{i}])")).collect();
            let sql = format!("SELECT {ours}, {} FROM t {group}", elements.join(", "));
            let rows = collect(&ctx, &sql).await;
            assert_eq!(rows.column(0).data_type(), &vector_type(Some(4)));
            for i in 0..rows.num_rows() {
                let got = rows.column(0).as_fixed_size_list().value(i);
                for (j, x) in got
                    .as_primitive::<Float32Type>()
                    .values()
                    .iter()
                    .enumerate()
                {
                    let want =
                        arrow::compute::cast(rows.column(j + 1), &DataType::Float64).unwrap();
                    let want = want.as_primitive::<Float64Type>().value(i);
                    assert!(
                        (f64::from(*x) - want).abs() < 1e-4,
                        "{ours} {group}: {x} {want}"
                    );
                }
            }
        }
    }
}

/// Sorted input is aggregated as it streams by; also over a window.
#[tokio::test]
async fn streaming_and_windows() {
    let ctx = context();
    let sql = "SELECT tr_index(time, tr => 2) AS tr, vector_avg(v) AS v \
               FROM (SELECT value * 0.5 AS time, [value, 2 * value] AS v FROM generate_series(0, 99) ORDER BY time LIMIT 50) \
               GROUP BY 1 ORDER BY 1";
    let plan = collect(&ctx, &format!("EXPLAIN {sql}")).await;
    let plan = pretty_format_batches(&[plan]).unwrap().to_string();
    assert!(plan.contains("ordering_mode=Sorted"), "{plan}");
    let rows = collect(&ctx, sql).await;
    assert_eq!(rows.num_rows(), 13);
    let last = rows.column(1).as_list::<i32>().value(12);
    assert_eq!(last.as_primitive::<Float32Type>().values(), &[48.5, 97.0]);

    let running = collect(
        &ctx,
        "SELECT vector_sum([value]) OVER (ORDER BY value) AS s FROM generate_series(1, 4)",
    )
    .await;
    let last = running.column(0).as_list::<i32>().value(3);
    assert_eq!(last.as_primitive::<Float32Type>().values(), &[10.0]);
}

/// Unequal widths within a group are an error, between groups they are not.
#[tokio::test]
async fn widths() {
    let ctx = context();
    let rows = "(VALUES ('01', [1, 2]), ('02', [1]), ('01', [3, 4])) AS t(subject, v)";
    let lists = collect(
        &ctx,
        &format!("SELECT vector_avg(v) FROM {rows} GROUP BY subject ORDER BY subject"),
    )
    .await;
    assert_eq!(lists.column(0).data_type(), &vector_type(None));
    let message = error(&ctx, &format!("SELECT vector_avg(v) FROM {rows}")).await;
    assert!(
        message.contains("vector_avg: a group holds vectors of 2 and of 1 elements"),
        "{message}"
    );
    let message = error(&ctx, "SELECT cosine_distance([1, 2], [1])").await;
    assert!(
        message.contains("cannot compare vectors of 2 and of 1 elements"),
        "{message}"
    );
}

/// The column by column and the column to constant paths are one function.
#[tokio::test]
async fn constants_and_columns_agree() {
    let ctx = context();
    table(&ctx, &[], "t");
    for function in ["cosine_distance", "l2_distance", "inner_product"] {
        let sql = format!(
            "SELECT {function}(a.v, [1.0, 2.0, 3.0, 4.0]) AS x, {function}([1, 2, 3, 4], a.v) AS y, {function}(a.v, b.q) AS z \
             FROM t AS a CROSS JOIN (SELECT [1, 2, 3, 4] AS q FROM t LIMIT 1) AS b"
        );
        let rows = collect(&ctx, &sql).await;
        assert_eq!(rows.column(0), rows.column(1));
        assert_eq!(rows.column(0), rows.column(2));
    }
}

#[tokio::test]
async fn models_are_remembered_and_not_mixed() {
    let ctx = context();
    table(&ctx, &[(MODEL_METADATA, "minilm")], "a");
    table(&ctx, &[(MODEL_METADATA, "clip")], "b");
    let message = error(
        &ctx,
        "SELECT cosine_distance(a.v, b.v) FROM a JOIN b ON a.g = b.g",
    )
    .await;
    assert!(
        message.contains("made by model minilm, the other by model clip"),
        "{message}"
    );
    collect(
        &ctx,
        "SELECT cosine_distance(v, v), cosine_distance(v, [1, 2, 3, 4]) FROM a",
    )
    .await;

    for (expression, kept) in [
        ("vector_avg(v)", true),
        ("vector_normalize(vector_sum(v))", true),
        ("vector_std(v)", false),
    ] {
        let rows = collect(&ctx, &format!("SELECT {expression} AS v FROM a GROUP BY g")).await;
        let schema = rows.schema();
        let model = schema.field(0).metadata().get(MODEL_METADATA);
        assert_eq!(model.is_some(), kept, "{expression}");
    }
}

/// Every function has documentation, in one of our sections.
#[test]
fn documentation_is_complete() {
    use voxql_udfs::register;
    let documents = register::scalars()
        .iter()
        .map(|f| (f.name().to_string(), f.documentation().cloned()))
        .chain(
            register::aggregates()
                .iter()
                .map(|f| (f.name().to_string(), f.documentation().cloned())),
        )
        .chain(
            register::windows()
                .iter()
                .map(|f| (f.name().to_string(), f.documentation().cloned())),
        )
        .collect::<Vec<_>>();
    for (name, document) in documents {
        let document = document.unwrap_or_else(|| panic!("{name} has no documentation"));
        let label = document.doc_section.label;
        assert!(
            [
                "Time", "Vector", "Response", "Signal", "Audio", "Video", "Text", "Brain", "Search"
            ]
            .iter()
            .any(|known| label == format!("{known} Functions")),
            "{name} is in section {label}"
        );
    }
}

/// Weighted aggregates are the sums that define them, in one stage and in two.
#[tokio::test]
async fn weights() {
    let ctx = context();
    table(&ctx, &[], "t");
    let w = "CASE WHEN v[1] > 90 THEN NULL ELSE CAST(v[2] AS DOUBLE) / 7 END";
    let source = format!("(SELECT g, v, {w} AS w FROM t)");
    for group in ["GROUP BY g ORDER BY g", ""] {
        let sql = format!(
            "SELECT vector_avg(v, w) AS avg, vector_sum(v, w) AS sum, vector_std(v, 0, w) AS std,
                    sum(w), sum(CASE WHEN w IS NOT NULL THEN w * v[3] END), sum(w * v[3] * v[3]), vector_count(v) AS n, count(v)
             FROM {source} {group}"
        );
        let rows = collect(&ctx, &sql).await;
        for i in 0..rows.num_rows() {
            let third = |column: usize| {
                let row = rows.column(column).as_fixed_size_list().value(i);
                f64::from(row.as_primitive::<Float32Type>().value(2))
            };
            let number = |column: usize| rows.column(column).as_primitive::<Float64Type>().value(i);
            let (total, sum, squares) = (number(3), number(4), number(5));
            let mean = sum / total;
            let std = (squares / total - mean * mean).sqrt();
            for (got, want) in [(third(0), mean), (third(1), sum), (third(2), std)] {
                assert!(
                    (got - want).abs() < 1e-4 * want.abs().max(1.0),
                    "{got} {want}"
                );
            }
            let counts = rows.column(6).as_fixed_size_list().value(i);
            let rows = rows.column(7).as_primitive::<Int64Type>().value(i);
            assert_eq!(counts.as_primitive::<Int64Type>().values(), &[rows; 4]);
        }
    }
    let rows = collect(&ctx, "SELECT vector_count(v) FROM t GROUP BY g").await;
    assert!(rows.schema().field(0).metadata().is_empty());
}
