//! Volumes that came before their turn, on the disk.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Volumes of one size, by number. The file has no name: it goes with the process.
#[derive(Debug)]
pub struct Waiting {
    folder: PathBuf,
    file: Option<File>,
    /// Where each begins.
    places: HashMap<i64, u64>,
    end: u64,
}

impl Waiting {
    /// Nothing waits, and there is no file yet; if there is one, it is in `folder`.
    pub fn new(folder: &Path) -> Self {
        Waiting {
            folder: folder.to_owned(),
            file: None,
            places: HashMap::new(),
            end: 0,
        }
    }

    pub fn has(&self, volume: i64) -> bool {
        self.places.contains_key(&volume)
    }

    /// The first of those that wait.
    pub fn first(&self) -> Option<i64> {
        self.places.keys().min().copied()
    }

    pub fn put(&mut self, volume: i64, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.folder)?),
        };
        file.seek(SeekFrom::Start(self.end))?;
        file.write_all(bytes)?;
        self.places.insert(volume, self.end);
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Fills `bytes`, if this volume waits; then it waits no more.
    pub fn take(&mut self, volume: i64, bytes: &mut [u8]) -> io::Result<bool> {
        let (Some(file), Some(place)) = (&mut self.file, self.places.remove(&volume)) else {
            return Ok(false);
        };
        file.seek(SeekFrom::Start(place))?;
        file.read_exact(bytes)?;
        if self.places.is_empty() {
            // A run whose volumes come in turns needs room for those of one turn.
            self.end = 0;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut waiting = Waiting::new(folder.path());
        let mut bytes = [0; 3];
        assert!(!waiting.take(4, &mut bytes).unwrap());
        waiting.put(4, &[4; 3]).unwrap();
        waiting.put(2, &[2; 3]).unwrap();
        assert_eq!(waiting.first(), Some(2));
        assert!(waiting.has(4) && !waiting.has(3));
        for volume in [4u8, 2] {
            assert!(waiting.take(volume.into(), &mut bytes).unwrap());
            assert_eq!(bytes, [volume; 3]);
            assert!(!waiting.take(volume.into(), &mut bytes).unwrap());
        }
        waiting.put(9, &[9; 3]).unwrap();
        assert_eq!(waiting.end, 3);
        assert!(waiting.take(9, &mut bytes).unwrap());
        assert_eq!((bytes, waiting.first()), ([9; 3], None));
        // It has no name.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
