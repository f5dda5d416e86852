//! Damaged images of every kind, held to what the fuzz targets hold them to.

#[path = "../../fuzz/check.rs"]
mod check;

use std::fs;
use std::path::{Path, PathBuf};

#[global_allocator]
static ALLOCATOR: check::Counting = check::Counting;

/// Damaged copies of each file.
const COPIES: usize = 1000;

/// The seeds that this crate's fuzz target starts from.
fn seeds(folder: &str, ending: fn(&str) -> bool) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| ending(path.to_str().unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A xorshift: the same damage in each run of the tests.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        // Headers have what is worth damaging.
        let early = self.below(bytes.len().min(552));
        match self.below(6) {
            0 => bytes.truncate(at),
            1 => bytes[early] = self.below(256) as u8,
            2 => bytes[at] ^= 1 << self.below(8),
            3 => {
                let extremes = [
                    [0xff; 4],
                    [0; 4],
                    [0x7f, 0xff, 0xff, 0xff],
                    [0xff, 0xff, 0xff, 0x7f],
                ];
                let value = extremes[self.below(4)];
                let end = bytes.len().min(early + 4);
                bytes[early..end].copy_from_slice(&value[..end - early]);
            }
            4 => {
                let copied = bytes[early.min(at)..early.max(at)].to_vec();
                bytes.splice(at..at, copied);
            }
            _ => {
                bytes.drain(early.min(at)..early.max(at));
            }
        }
    }
}

fn read_damaged(files: &[PathBuf], check: fn(&[u8])) {
    let mut random = Random(0x5eed);
    for file in files {
        let whole = fs::read(file).unwrap();
        check(&whole);
        for _ in 0..COPIES {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(3) {
                if !bytes.is_empty() {
                    random.damage(&mut bytes);
                }
            }
            check(&bytes);
        }
    }
}

#[test]
fn damaged_volumes_give_rows_or_errors_in_little_memory() {
    read_damaged(&seeds("fuzz/seeds/nifti", |_| true), check::nifti);
}

#[test]
fn damaged_surfaces_give_rows_or_errors_in_little_memory() {
    let folder = "tests/data/surfaces";
    let is_nifti = |name: &str| name.contains(".nii");
    read_damaged(&seeds(folder, is_nifti), check::nifti);
    read_damaged(&seeds(folder, |name| name.ends_with(".gii")), check::gifti);
}
