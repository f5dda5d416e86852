//! Any voxels of any type, and volumes in any order, come back.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Int16Array, Int64Array, PrimitiveArray, RecordBatch,
};
use arrow::datatypes::{self as types, ArrowPrimitiveType, DataType, Field, Schema};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryPool, MemoryReservation, UnboundedMemoryPool,
};
use proptest::prelude::*;

use super::super::columns::Columns;
use super::super::elements::encode;
use super::super::image::Image;
use super::super::settings::Settings;
use super::super::volume_image::VolumeImage;
use super::super::voxel_image::VoxelImage;
use super::{TempDir, Volumes};
use crate::readers::nifti::grid::grid_metadata;

const SHAPE: [usize; 3] = [3, 4, 5];
const VOXELS: usize = 60;
const AFFINE: [[f64; 4]; 3] = [
    [-2.0, 0.0, 0.0, 90.0],
    [0.0, 2.0, 0.0, -126.0],
    [0.0, 0.0, 2.5, -72.0],
];

fn memory() -> MemoryReservation {
    let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
    MemoryConsumer::new("test").register(&pool)
}

fn plan(folder: &TempDir, schema: &Schema) -> Arc<Image> {
    let path = folder.path().join("a.nii.gz");
    let columns = Columns::of(&path, schema).unwrap();
    Arc::new(Image::plan(path, columns, schema, &Settings::default()).unwrap())
}

/// The volumes of the image as they are on disk.
fn volumes(folder: &TempDir) -> Vec<Vec<u8>> {
    let mut image = Volumes::open(&folder.path().join("a.nii.gz")).unwrap();
    assert_eq!(image.header.affine, AFFINE);
    (0..image.header.volumes)
        .map(|_| image.read_raw().unwrap().to_vec())
        .collect()
}

/// A batch of the voxels at these positions (x fastest), with `values`.
fn voxels(positions: &[usize], values: ArrayRef) -> RecordBatch {
    let index = |divisor: usize, size: usize| -> ArrayRef {
        let indices = positions.iter().map(|at| (at / divisor % size) as i16);
        Arc::new(Int16Array::from_iter_values(indices))
    };
    let [x, y, z] = SHAPE;
    let metadata = grid_metadata(SHAPE, &AFFINE);
    let field = |name| Field::new(name, DataType::Int16, false).with_metadata(metadata.clone());
    let value = Field::new("v", values.data_type().clone(), true);
    let schema = Schema::new(vec![field("k"), value, field("j"), field("i")]);
    let columns = vec![index(x * y, z), values, index(x, y), index(1, x)];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// Writes the voxels, in pieces of `piece` rows, and reads them back; `length` values a voxel.
fn comes_back(positions: &[usize], values: ArrayRef, flat: &ArrayRef, length: usize, piece: usize) {
    let folder = tempfile::tempdir().unwrap();
    let batch = voxels(positions, values);
    let image = plan(&folder, &batch.schema());
    let width = image.columns.element.size_of();
    let mut writer = VoxelImage::start(image, memory()).unwrap();
    for first in (0..positions.len()).step_by(piece) {
        let rows = piece.min(positions.len() - first);
        writer.write(&batch.slice(first, rows)).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), positions.len() as u64);

    let mut encoded = vec![];
    encode(flat, &mut encoded).unwrap();
    let mut want = vec![vec![0; VOXELS * width]; length];
    for (row, vector) in encoded.chunks(width * length).enumerate() {
        for (time, element) in vector.chunks(width).enumerate() {
            let at = positions[row] * width;
            want[time][at..at + width].copy_from_slice(element);
        }
    }
    assert_eq!(volumes(&folder), want);
}

fn of_type<T: ArrowPrimitiveType>(positions: &[usize], bits: &[u64], length: usize, piece: usize)
where
    T::Native: FromBits,
{
    let flat: PrimitiveArray<T> = bits[..positions.len() * length]
        .iter()
        .map(|&bits| Some(T::Native::from_bits(bits)))
        .collect();
    let flat: ArrayRef = Arc::new(flat);
    let item = Arc::new(Field::new_list_field(T::DATA_TYPE, true));
    let vectors = FixedSizeListArray::new(item, length as i32, Arc::clone(&flat), None);
    comes_back(positions, Arc::new(vectors), &flat, length, piece);
    let numbers = flat.slice(0, positions.len());
    comes_back(positions, Arc::clone(&numbers), &numbers, 1, piece);
}

/// Any value of the type, NaN with any payload among them.
trait FromBits {
    fn from_bits(bits: u64) -> Self;
}

macro_rules! from_bits {
    ($($type:ty),*) => {$(
        impl FromBits for $type {
            fn from_bits(bits: u64) -> Self {
                bits as $type
            }
        }
    )*};
}
from_bits!(u8, u16, u32, u64, i8, i16, i32, i64);

impl FromBits for f32 {
    fn from_bits(bits: u64) -> Self {
        f32::from_bits(bits as u32)
    }
}

impl FromBits for f64 {
    fn from_bits(bits: u64) -> Self {
        f64::from_bits(bits)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_voxels_of_any_type(
        positions in prop::sample::subsequence((0..VOXELS).collect::<Vec<_>>(), 1..=VOXELS)
            .prop_shuffle(),
        bits in prop::collection::vec(any::<u64>(), VOXELS * 3),
        piece in 1usize..70,
    ) {
        of_type::<types::UInt8Type>(&positions, &bits, 3, piece);
        of_type::<types::UInt16Type>(&positions, &bits, 2, piece);
        of_type::<types::UInt32Type>(&positions, &bits, 3, piece);
        of_type::<types::UInt64Type>(&positions, &bits, 1, piece);
        of_type::<types::Int8Type>(&positions, &bits, 3, piece);
        of_type::<types::Int16Type>(&positions, &bits, 2, piece);
        of_type::<types::Int32Type>(&positions, &bits, 3, piece);
        of_type::<types::Int64Type>(&positions, &bits, 1, piece);
        of_type::<types::Float32Type>(&positions, &bits, 3, piece);
        of_type::<types::Float64Type>(&positions, &bits, 2, piece);
        let truth: BooleanArray = bits[..positions.len()].iter().map(|b| Some(b % 2 == 1)).collect();
        let truth: ArrayRef = Arc::new(truth);
        comes_back(&positions, Arc::clone(&truth), &truth, 1, piece);
    }

    #[test]
    fn volumes_in_any_order(
        order in Just((0..23i64).collect::<Vec<_>>()).prop_shuffle(),
        piece in 1usize..25,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let values = order.iter().flat_map(|tr| (0..VOXELS as i64).map(move |at| 100 * tr + at));
        let values: PrimitiveArray<types::Int32Type> = values.map(|v| Some(v as i32)).collect();
        let item = Arc::new(Field::new_list_field(DataType::Int32, true));
        let bold = FixedSizeListArray::new(item, VOXELS as i32, Arc::new(values), None);
        let schema = Schema::new(vec![
            Field::new("bold", DataType::FixedSizeList(
                Arc::new(Field::new_list_field(DataType::Int32, true)), VOXELS as i32), false),
            Field::new("tr", DataType::Int64, false),
        ]);
        let tr = Int64Array::from(order.clone());
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(bold), Arc::new(tr)]).unwrap();
        let like = voxels(&[0], Arc::new(Int64Array::from(vec![1])));
        let mut writer = VoxelImage::start(plan(&folder, &like.schema()), memory()).unwrap();
        writer.write(&like).unwrap();
        writer.finish().unwrap();
        let path = folder.path().join("a.nii.gz");
        let settings = Settings { like: Some(path.clone()), ..Settings::default() };
        let columns = Columns::of(&path, &batch.schema()).unwrap();
        let image = Image::plan(path, columns, &batch.schema(), &settings).unwrap();
        let mut writer = VolumeImage::start(Arc::new(image), memory()).unwrap();
        for first in (0..order.len()).step_by(piece) {
            writer.write(&batch.slice(first, piece.min(order.len() - first))).unwrap();
        }
        prop_assert_eq!(writer.finish().unwrap(), 23);
        let [x, y, z] = SHAPE;
        for (tr, volume) in volumes(&folder).iter().enumerate() {
            for (position, element) in volume.chunks(4).enumerate() {
                // The rows have C order, the file x fastest.
                let (i, j, k) = (position % x, position / x % y, position / (x * y));
                let want = 100 * tr + (i * y + j) * z + k;
                prop_assert_eq!(i32::from_le_bytes(element.try_into().unwrap()), want as i32);
            }
        }
    }
}
