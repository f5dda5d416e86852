//! Conditions on `tr` and `time` read what they leave, and nothing else.

use datafusion::prelude::{Expr, col, lit};
use proptest::prelude::*;

use super::*;
use crate::readers::bounds::Bounds;
use crate::session::{Session, Settings};

fn bounds(filters: &[Expr]) -> Bounds {
    Bounds::of(filters, Bold.bounded())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any part of a run is what reading the whole run gives there, whatever the file, the mask
    /// and the size of batches.
    #[test]
    fn a_part_is_the_part_of_the_whole(
        compressed: bool,
        inside in prop::collection::vec(any::<bool>(), 24),
        start in 0i64..8,
        count in 0i64..8,
        batch_bytes in 1usize..500,
        limit in prop::option::of(0usize..6),
    ) {
        prop_assume!(inside.contains(&true));
        let dir = here();
        let image = Image::new([2, 3, 4], 8, 0.72);
        let name = if compressed { "a.nii.gz" } else { "a.nii" };
        let path = image.write(dir.path(), name);
        let values: Vec<f64> = inside.iter().map(|&v| f64::from(u8::from(v))).collect();
        let mask = Image::mask([2, 3, 4], &values).write(dir.path(), "mask.nii");
        let mut scan = scan(&path, &masked(&mask)).unwrap();
        let whole = rows(&batches(&scan).unwrap());
        scan.batch_bytes = batch_bytes;
        scan.limit = limit;
        scan.bounds = bounds(&[col("tr").gt_eq(lit(start)), col("tr").lt_eq(lit(start + count))]);
        let start = start as usize;
        let end = 8.min(start + count as usize + 1).min(start + limit.unwrap_or(8));
        prop_assert_eq!(rows(&batches(&scan).unwrap()), &whole[start..end.max(start)]);
    }
}

#[test]
fn times_choose_volumes_exactly() {
    let dir = here();
    let path = Image::new([2, 1, 1], 40, 0.72).write(dir.path(), "a.nii");
    let mut scan = scan(&path, &Options::default()).unwrap();
    for (filter, want) in [
        (col("time").eq(lit(18.0)), 25..26),
        (col("time").lt(lit(-0.1)), 0..0),
        (col("time").gt_eq(lit(27.9)), 39..40),
        (col("time").between(lit(1.44), lit(2.17)), 2..4),
    ] {
        scan.bounds = bounds(&[filter]);
        let batches = batches(&scan).unwrap();
        let trs: Vec<i64> = batches.iter().flat_map(|b| ints(b, "tr")).collect();
        assert_eq!(trs, want.collect::<Vec<i64>>());
    }
}

#[test]
fn what_is_not_asked_for_is_not_read() {
    let dir = here();
    let image = Image::new([4, 4, 4], 10, 2.0);
    let path = image.write(dir.path(), "a.nii.gz");
    let whole = fs::read(&path).unwrap();
    // The second half of the file is damaged; the first volumes can be read all the same.
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let mut scan = scan(&path, &Options::default()).unwrap();
    assert!(batches(&scan).is_err());
    scan.bounds = bounds(&[col("tr").lt_eq(lit(1i64))]);
    assert_eq!(rows(&batches(&scan).unwrap()).len(), 2);
    scan.bounds = bounds(&[col("time").gt(lit(100.0))]);
    assert!(batches(&scan).unwrap().is_empty());
}

#[test]
fn a_query_says_what_it_reads() {
    let dir = here();
    let path = Image::new([2, 1, 1], 40, 2.0).write(dir.path(), "a.nii");
    let sql = format!(
        "EXPLAIN SELECT bold FROM read_bold('{}') WHERE tr BETWEEN 3 AND 5",
        path.display()
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let text = runtime.block_on(async {
        let session = Session::open(Settings::default()).await.unwrap();
        let answer = session.sql(&sql).await.unwrap();
        let batches: Vec<RecordBatch> = futures::TryStreamExt::try_collect(answer.stream)
            .await
            .unwrap();
        arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string()
    });
    assert!(text.contains("3 <= tr <= 5"), "{text}");
}
