//! The file of an image, which appears at its place when it is whole.
//!
//! How many volumes there are, the header says first and a stream last. So room is left
//! for the header, and it is written when everything else has been: in a `.nii.gz` it is
//! a block of the one gzip member that is stored, not compressed, and so has the same size
//! whatever it says.
//!
//! ```text
//!   10 bytes     gzip's header
//!    5 bytes     "a stored block of n bytes follows"
//!    n bytes     the image's header
//!   …            the voxels, compressed
//!    8 bytes     checksum and length of all
//! ```

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result};
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use tempfile::NamedTempFile;

use crate::readers::format::file_error;
use crate::writers::staged_file::beside;

/// Magic, deflate, no flags, no time of writing (so that the same image is the same file), no
/// particular level, on an unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Of zlib-rs's levels the one from which on files hardly become smaller: a float32 run of 98 MB
/// takes 72 % of its size at level 1 (190 MB/s), 50 % at 2 (121 MB/s), and 49 % at 6 (67 MB/s).
const LEVEL: u32 = 2;

/// Bytes before the content of the first block.
const BEFORE_BLOCK: u64 = GZIP_HEADER.len() as u64 + 5;

const BUFFER_BYTES: usize = 256 * 1024;

/// An image on its way to `target`. Dropped before [`Staged::publish`], it leaves nothing.
#[derive(Debug)]
pub struct Staged {
    target: PathBuf,
    /// Keeps the name, and removes the file.
    file: NamedTempFile,
    output: Output,
}

#[derive(Debug)]
enum Output {
    Plain(BufWriter<File>),
    Gzip {
        encoder: Box<DeflateEncoder<BufWriter<File>>>,
        voxels: Crc,
        length: u64,
    },
}

impl Staged {
    /// Opens a file beside `target`, compressed if that ends in `.gz`, with room for a header
    /// of `header` bytes, at most 65,535.
    pub fn create(target: &Path, header: u16) -> Result<Self> {
        Self::open(target, header).map_err(|error| failed(target, &error))
    }

    fn open(target: &Path, header: u16) -> io::Result<Self> {
        let file = beside(target)?;
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file.reopen()?);
        let room = vec![0; usize::from(header)];
        let gzip = target.extension().is_some_and(|ending| ending == "gz");
        let output = if gzip {
            writer.write_all(&GZIP_HEADER)?;
            // Not the last block, stored; its length, and that with all bits turned.
            writer.write_all(&[0])?;
            writer.write_all(&header.to_le_bytes())?;
            writer.write_all(&(!header).to_le_bytes())?;
            writer.write_all(&room)?;
            Output::Gzip {
                encoder: Box::new(DeflateEncoder::new(writer, Compression::new(LEVEL))),
                voxels: Crc::new(),
                length: 0,
            }
        } else {
            writer.write_all(&room)?;
            Output::Plain(writer)
        };
        Ok(Staged {
            target: target.to_owned(),
            file,
            output,
        })
    }

    /// Appends voxels.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.output {
            Output::Plain(writer) => writer.write_all(bytes),
            Output::Gzip {
                encoder,
                voxels,
                length,
            } => {
                voxels.update(bytes);
                *length += bytes.len() as u64;
                encoder.write_all(bytes)
            }
        };
        written.map_err(|error| failed(&self.target, &error))
    }

    /// Writes the header, of as many bytes as there is room for, forces all to the disk, and
    /// gives the file its name, in place of a file that has it.
    pub fn publish(self, header: &[u8]) -> Result<()> {
        let target = self.target.clone();
        self.finish(header).map_err(|error| failed(&target, &error))
    }

    fn finish(self, header: &[u8]) -> io::Result<()> {
        let (mut file, place) = match self.output {
            Output::Plain(writer) => (into_file(writer)?, 0),
            Output::Gzip {
                encoder,
                voxels,
                length,
            } => {
                let mut writer = encoder.finish()?;
                let mut all = Crc::new();
                all.update(header);
                all.combine(&voxels);
                writer.write_all(&all.sum().to_le_bytes())?;
                // Of the length gzip keeps the low 32 bits.
                let length = header.len() as u64 + length;
                writer.write_all(&(length as u32).to_le_bytes())?;
                (into_file(writer)?, BEFORE_BLOCK)
            }
        };
        file.seek(SeekFrom::Start(place))?;
        file.write_all(header)?;
        file.sync_all()?;
        self.file.persist(&self.target)?;
        Ok(())
    }
}

fn into_file(writer: BufWriter<File>) -> io::Result<File> {
    writer.into_inner().map_err(io::IntoInnerError::into_error)
}

fn failed(target: &Path, error: &io::Error) -> DataFusionError {
    file_error(target, format!("cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::fs;
    use std::io::Read;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().to_string_lossy().into_owned()
        };
        fs::read_dir(folder).unwrap().map(name).collect()
    }

    #[test]
    fn the_header_is_written_last_and_read_first() {
        let folder = tempfile::tempdir().unwrap();
        let voxels: Vec<u8> = (0..1_000_000u32).map(|i| (i / 7) as u8).collect();
        for (name, parts) in [("a.nii", 1), ("a.nii.gz", 3), ("b.nii.gz", 0)] {
            let target = folder.path().join(name);
            let mut staged = Staged::create(&target, 352).unwrap();
            for _ in 0..parts {
                staged.write(&voxels).unwrap();
            }
            assert!(!target.exists());
            staged.publish(&[7; 352]).unwrap();
            let bytes = fs::read(&target).unwrap();
            let content = match name.ends_with(".gz") {
                // One member, with a checksum that is right.
                true => {
                    let mut content = vec![];
                    let mut decoder = GzDecoder::new(&bytes[..]);
                    decoder.read_to_end(&mut content).unwrap();
                    assert!(decoder.into_inner().is_empty());
                    assert!(bytes.len() < content.len() / 10 || parts == 0);
                    content
                }
                false => bytes,
            };
            assert_eq!(content[..352], [7; 352]);
            assert!(content[352..] == voxels.repeat(parts));
        }
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn dropped_it_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.nii.gz");
        fs::write(&target, "old").unwrap();
        let mut staged = Staged::create(&target, 352).unwrap();
        staged.write(&[1; 100_000]).unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        drop(staged);
        assert_eq!(names(folder.path()), ["a.nii.gz"]);
        assert_eq!(fs::read(&target).unwrap(), b"old");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let target = folder.path().join("file/a.nii");
        let message = Staged::create(&target, 352).unwrap_err().to_string();
        assert!(
            message.contains("file/a.nii: cannot be written"),
            "{message}"
        );
    }
}
