//! How fast `read_bold` masks a run of 64×64×40×300 float32 voxels, 197 MB.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::write::GzEncoder;
use voxql::readers::bold::Bold;
use voxql::readers::format::{FileScan, Format, Options, Value};

const SHAPE: [i16; 3] = [64, 64, 40];
const VOXELS: usize = 64 * 64 * 40;
const VOLUMES: usize = 300;

fn header(dimensions: i16, volumes: i16) -> Vec<u8> {
    let mut bytes = vec![0u8; 352];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &348i32.to_le_bytes());
    let [nx, ny, nz] = SHAPE;
    for (axis, n) in [dimensions, nx, ny, nz, volumes].iter().enumerate() {
        put(40 + 2 * axis, &n.to_le_bytes());
    }
    put(70, &16i16.to_le_bytes());
    for (axis, zoom) in [3f32, 3.0, 3.0, 2.0].iter().enumerate() {
        put(80 + 4 * axis, &zoom.to_le_bytes());
    }
    put(108, &352f32.to_le_bytes());
    put(344, b"n+1\0");
    bytes
}

/// Whole numbers with noise in their low bits, as scanners make them.
fn write_run(mut to: impl Write) {
    to.write_all(&header(4, VOLUMES as i16)).unwrap();
    let mut state = 1u32;
    for _ in 0..VOLUMES {
        for voxel in 0..VOXELS {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let value = (voxel % 4096) as u32 / 4 + state % 64;
            to.write_all(&(value as f32).to_le_bytes()).unwrap();
        }
    }
    to.flush().unwrap();
}

/// A ball that holds about a fifth of the volume.
fn write_mask(path: &Path) {
    let mut to = BufWriter::new(File::create(path).unwrap());
    to.write_all(&header(3, 1)).unwrap();
    for voxel in 0..VOXELS {
        let (x, y, z) = (voxel % 64, voxel / 64 % 64, voxel / 4096);
        let square = |a: usize, middle: f32| (a as f32 - middle).powi(2);
        let inside = square(x, 32.0) + square(y, 32.0) + square(z, 20.0) < 400.0;
        to.write_all(&f32::from(u8::from(inside)).to_le_bytes())
            .unwrap();
    }
    to.flush().unwrap();
}

fn scan(path: &Path, mask: Option<&Path>) -> FileScan {
    let mask = mask.map(|m| ("mask".to_owned(), Value::Text(m.display().to_string())));
    let options = Options(BTreeMap::from_iter(mask));
    let description = Bold.describe(vec![path.to_owned()], &options).unwrap();
    FileScan {
        path: path.to_owned(),
        options,
        schema: description.schema,
        limit: None,
        bounds: Default::default(),
        batch_bytes: 8 << 20,
        threads: 1,
    }
}

fn read_bold(c: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("run.nii");
    let compressed = directory.path().join("run.nii.gz");
    let mask = directory.path().join("mask.nii");
    write_run(BufWriter::new(File::create(&plain).unwrap()));
    let gz = GzEncoder::new(File::create(&compressed).unwrap(), Compression::new(6));
    write_run(BufWriter::with_capacity(1 << 20, gz));
    write_mask(&mask);

    let mut group = c.benchmark_group("read_bold");
    group.sample_size(10);
    group.throughput(Throughput::Bytes((VOXELS * VOLUMES * 4) as u64));
    for (name, path, mask) in [
        ("nii, mask", &plain, Some(mask.as_path())),
        ("nii, all voxels", &plain, None),
        ("nii.gz, mask", &compressed, Some(mask.as_path())),
        ("nii.gz, all voxels", &compressed, None),
    ] {
        let scan = scan(path, mask);
        group.bench_function(name, |b| {
            b.iter(|| {
                let rows = Bold.open(&scan).unwrap();
                rows.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
            })
        });
    }
    group.finish();
}

criterion_group!(benches, read_bold);
criterion_main!(benches);
