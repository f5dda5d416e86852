//! nilearn's `unmask`: zeros outside of the mask, voxels in C order inside.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::*;
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Arrays of the folder by key: shape, and row-major values.
fn arrays(folder: &Path) -> HashMap<String, (Vec<usize>, Vec<f64>)> {
    let file = File::open(folder.join("arrays.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut found = HashMap::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let keys = arrow::compute::cast(column("key"), &DataType::Utf8).unwrap();
        for row in 0..batch.num_rows() {
            let list = |name: &str| {
                let column = column(name);
                let values = super::super::elements::vector(column, row)?;
                Some(arrow::compute::cast(&values, &DataType::Float64).unwrap())
            };
            let numbers = |array: ArrayRef| array.as_primitive::<Float64Type>().values().to_vec();
            let shape = numbers(list("shape").unwrap());
            let values = ["f64", "f32", "i64"].into_iter().find_map(list);
            found.insert(
                keys.as_string::<i32>().value(row).to_owned(),
                (
                    shape.iter().map(|&n| n as usize).collect(),
                    values.map(numbers).unwrap(),
                ),
            );
        }
    }
    found
}

/// The positions, x fastest, of the elements of a C-order array.
fn x_fastest(shape: &[usize]) -> Vec<usize> {
    let (x, y, z) = (shape[0], shape[1], shape[2]);
    let of =
        |position: usize| (position / (y * z)) + x * (position / z % y) + x * y * (position % z);
    (0..x * y * z).map(of).collect()
}

#[tokio::test]
async fn unmask_as_nilearn_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/golden/nifti");
    if !folder.exists() {
        note!("skipped: {} is not there", folder.display());
        return;
    }
    let arrays = arrays(&folder);
    let (shape, mask) = &arrays["multi_threshold0.5_opening2_connectedTrue/out/mask"];
    let place = Place::new().await;
    let mut image = Image::mask([0; 3], &[]);
    image.shape = [0, 1, 2].map(|axis| shape[axis] as i16);
    let order = x_fastest(shape);
    let mut values = vec![0.0; mask.len()];
    for (value, &at) in mask.iter().zip(&order) {
        values[at] = *value;
    }
    image.values = Some(values);
    place.make("mask.nii.gz", &image);
    let voxels = mask.iter().filter(|&&v| v != 0.0).count();

    for id in ["unmask_1d", "unmask_2d"] {
        note!("{id}");
        let (shape, x) = &arrays[&format!("{id}/in/x")];
        assert_eq!(shape.last(), Some(&voxels));
        let rows = x.len() / voxels;
        let floats = Float32Array::from_iter_values(x.iter().map(|&v| v as f32));
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let bold =
            FixedSizeListArray::new(Arc::clone(&item), voxels as i32, Arc::new(floats), None);
        let schema = Arc::new(Schema::new(vec![
            Field::new("tr", DataType::Int64, false),
            Field::new("bold", bold.data_type().clone(), false),
        ]));
        let tr = Int64Array::from_iter_values(0..rows as i64);
        let batch = RecordBatch::try_new(schema, vec![Arc::new(tr), Arc::new(bold)]).unwrap();
        place.session.context().register_batch(id, batch).unwrap();

        let columns = if rows == 1 { "bold" } else { "tr, bold" };
        let name = format!("{id}.nii.gz");
        place
            .copy(
                &format!("SELECT {columns} FROM {id}"),
                &name,
                "mask '$/mask.nii.gz'",
            )
            .await;
        let got = place.floats(&name);
        let (shape, want) = &arrays[&format!("{id}/out/vol")];
        // The last axis is time, where there is one.
        let times = shape.get(3).copied().unwrap_or(1);
        assert_eq!((times, got.len()), (rows, want.len()));
        for (position, &at) in order.iter().enumerate() {
            for time in 0..times {
                let want = want[position * times + time];
                let got = f64::from(got[time * order.len() + at]);
                assert!(
                    (got - want).abs() <= 1e-9 + 1e-6 * want.abs(),
                    "{got} {want}"
                );
            }
        }

        // Masked again, the rows are what they were.
        let again = place
            .ask(&format!("SELECT tr, bold FROM read_bold('$/{name}', mask => '$/mask.nii.gz', tr => 1.0) ORDER BY tr"))
            .await;
        let values = again.column(1).as_fixed_size_list().values();
        let got = values.as_primitive::<Float32Type>().values();
        assert!(got.iter().zip(x).all(|(got, want)| *got == *want as f32));
        assert_eq!(again.column(0).as_primitive::<Int64Type>().len(), rows);
    }
}
