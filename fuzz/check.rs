//! What must hold whatever the bytes of a file are: readers give rows or an error, they never
//! panic, and they never hold more memory than the file's size times a small constant.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use voxql::readers::by_function;
use voxql::readers::format::{FileScan, Options, Value};

/// Buffers and batches, whatever the file's size.
const FIXED_BYTES: usize = 4 << 20;
/// Bytes held for each byte of the file: a voxel of one byte has an index of four, a value of
/// eight, three indices and three coordinates in a row of `read_voxels`.
const FACTOR: usize = 100;
/// A header is believed if deflate could have packed so much: 1032 to 1.
const MAX_COMPRESSION: usize = 1040;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what this thread holds.
pub struct Counting;

fn grow(bytes: usize) {
    // Threads that end have no counters left.
    let _ = HELD.try_with(|held| {
        held.set(held.get().saturating_add(bytes));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

fn shrink(bytes: usize) {
    let _ = HELD.try_with(|held| held.set(held.get().saturating_sub(bytes)));
}

// SAFETY: all work is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        shrink(layout.size());
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        shrink(layout.size());
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// A NIfTI or CIFTI image, compressed or not.
pub fn nifti(bytes: &[u8]) {
    let functions = [
        "nifti_header",
        "cifti_elements",
        "read_bold",
        "read_voxels",
        "epi_mask",
        "intersect_masks",
    ];
    check("image.nii", bytes, &functions);
}

/// A GIFTI file.
pub fn gifti(bytes: &[u8]) {
    check("surface.func.gii", bytes, &["read_bold"]);
}

fn check(name: &str, bytes: &[u8], functions: &[&str]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    for function in functions {
        let before = HELD.get();
        PEAK.set(before);
        read(function, &path);
        let held = PEAK.get() - before;
        let allowed = FIXED_BYTES + FACTOR * believable(bytes);
        assert!(
            held <= allowed,
            "{function}: {held} bytes were held for a file of {} bytes, {allowed} are allowed",
            bytes.len()
        );
    }
}

/// Bytes of content that a file may have.
fn believable(bytes: &[u8]) -> usize {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes.len();
    }
    let mut content = MultiGzDecoder::new(bytes);
    let mut buffer = vec![0; 1 << 16];
    let mut length = 0;
    while let Ok(read @ 1..) = content.read(&mut buffer) {
        length += read;
    }
    // What is claimed of a damaged stream is allocated before it is read.
    length.max(MAX_COMPRESSION * bytes.len() / FACTOR)
}

/// All rows, or an error: both are fine.
fn read(function: &str, path: &Path) {
    let format = by_function(function).expect("a reader");
    let mut options = Options::default();
    if format.parameters().iter().any(|p| p.name == "tr") {
        options.0.insert("tr".to_owned(), Value::Float(1.0));
    }
    let Ok(described) = format.describe(vec![path.to_owned()], &options) else {
        return;
    };
    let scan = FileScan {
        path: path.to_owned(),
        options,
        schema: described.schema,
        limit: None,
        bounds: Default::default(),
        batch_bytes: 1 << 16,
        threads: 1,
    };
    if let Ok(batches) = format.open(&scan) {
        for batch in batches {
            if batch.is_err() {
                return;
            }
        }
    }
}
