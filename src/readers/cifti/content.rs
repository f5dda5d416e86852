//! The bytes of a file at any place, compressed or not.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use datafusion::common::Result;
use flate2::bufread::MultiGzDecoder;

use crate::access::scope;
use crate::readers::format::file_error;
use crate::readers::nifti::volumes::{MAX_COMPRESSION, explain};

/// Compressed bytes read from the file at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// An open file. Whether it is compressed is told by its content.
pub struct Content {
    path: PathBuf,
    stream: Stream,
    /// Bytes on disk.
    length: u64,
}

enum Stream {
    Plain(File),
    /// Decompressed up to `at`. What lies before is reached by starting anew.
    Gzip {
        stream: Box<MultiGzDecoder<BufReader<File>>>,
        at: u64,
    },
}

impl Content {
    pub fn open(path: &Path) -> Result<Self> {
        let named = |e: io::Error| file_error(path, explain(path, &e));
        let mut file = BufReader::with_capacity(BUFFER_BYTES, scope::open(path).map_err(named)?);
        let length = file.get_ref().metadata().map_err(named)?.len();
        let compressed = file.fill_buf().map_err(named)?.starts_with(&[0x1f, 0x8b]);
        let stream = match compressed {
            false => Stream::Plain(file.into_inner()),
            true => Stream::Gzip {
                stream: Box::new(MultiGzDecoder::new(file)),
                at: 0,
            },
        };
        Ok(Content {
            path: path.to_owned(),
            stream,
            length,
        })
    }

    pub fn compressed(&self) -> bool {
        matches!(self.stream, Stream::Gzip { .. })
    }

    /// Bytes on disk.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The most bytes that the content can have, decompressed.
    pub fn most(&self) -> u64 {
        match self.compressed() {
            true => self.length.saturating_mul(MAX_COMPRESSION),
            false => self.length,
        }
    }

    /// Fills `buffer` from byte `offset` on. Cheap where `offset` is not before what was read last.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.go_to(offset)?;
        match &mut self.stream {
            Stream::Plain(file) => file.read_exact(buffer),
            Stream::Gzip { stream, at } => {
                stream.read_exact(buffer)?;
                *at += buffer.len() as u64;
                Ok(())
            }
        }
    }

    /// As many as `count` bytes from `offset` on, fewer if the content ends before. Takes memory only
    /// for bytes that are there.
    pub fn read_up_to(&mut self, offset: u64, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![];
        match self.go_to(offset) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(bytes),
            other => other?,
        }
        match &mut self.stream {
            Stream::Plain(file) => file.take(count).read_to_end(&mut bytes)?,
            Stream::Gzip { stream, at } => {
                let read = stream.take(count).read_to_end(&mut bytes)?;
                *at += read as u64;
                read
            }
        };
        Ok(bytes)
    }

    /// Decompresses what is left, which compares the checksum.
    pub fn check_end(&mut self) -> io::Result<()> {
        if let Stream::Gzip { stream, at } = &mut self.stream {
            *at += io::copy(stream, &mut io::sink())?;
        }
        Ok(())
    }

    fn go_to(&mut self, offset: u64) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(file) => {
                file.seek(SeekFrom::Start(offset))?;
            }
            Stream::Gzip { stream, at } => {
                if offset < *at {
                    let file = scope::open(&self.path)?;
                    let file = BufReader::with_capacity(BUFFER_BYTES, file);
                    **stream = MultiGzDecoder::new(file);
                    *at = 0;
                }
                let gap = offset - *at;
                let skipped = io::copy(&mut stream.take(gap), &mut io::sink())?;
                *at += skipped;
                if skipped < gap {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::nifti::testing::gzip;
    use crate::readers::testing::file;

    #[test]
    fn any_order_reads_the_same() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        for (name, stored) in [("a", bytes.clone()), ("a.gz", gzip(&bytes))] {
            let (_directory, path) = file(name, stored);
            let mut content = Content::open(&path).unwrap();
            assert_eq!(content.compressed(), name == "a.gz");
            for (offset, count) in [(0, 10), (399_990, 10), (5, 0), (1000, 5000), (999, 1)] {
                let mut got = vec![0; count];
                content.read_at(offset as u64, &mut got).unwrap();
                assert_eq!(got, bytes[offset..offset + count]);
            }
            assert_eq!(content.read_up_to(399_998, 9).unwrap(), bytes[399_998..]);
            assert!(content.read_up_to(500_000, 9).unwrap().is_empty());
            content.check_end().unwrap();
            let error = content.read_at(399_999, &mut [0; 2]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    }
}
