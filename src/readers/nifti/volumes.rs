//! An image's volumes, one after the other: decompressed once, decoded only inside the mask.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use datafusion::common::Result;
use flate2::bufread::MultiGzDecoder;

use super::header::Header;
use super::pair;
use super::raw::{HEADER_2_BYTES, HEADER_BYTES, is_version_2};
use crate::access::scope;
use crate::readers::format::file_error;

/// Compressed bytes read from the file at a time.
const BUFFER_BYTES: usize = 256 * 1024;
/// Deflate cannot shrink data further than this (1032 : 1, and a little room).
pub const MAX_COMPRESSION: u64 = 1040;

/// Bytes of a file read for its header alone.
const HEADER_BUFFER_BYTES: usize = 8 * 1024;

/// An open image, NIfTI-1 or NIfTI-2, in one file or a `.hdr`/`.img` pair. Whether a
/// file is compressed is told by its content.
///
/// Holds one volume as it is on disk, allocated at the first read and used again.
pub struct Volumes {
    pub header: Header,
    /// The file that has the voxels.
    path: PathBuf,
    stream: Stream,
    /// Bytes of the decompressed file that are behind.
    at: u64,
    /// Volumes read or skipped so far.
    done: usize,
    /// Voxels of each volume, by position in the file, that are read from the disk.
    span: Range<usize>,
    raw: Vec<u8>,
}

impl Volumes {
    /// Reads the header; `path` may be either half of a pair.
    ///
    /// Errors for a file that cannot be opened or is not NIfTI ([`Header::parse`]), for a pair
    /// without its other half, and for voxels that take more than their file has: to the
    /// byte where it is not compressed; else if it could not hold them at any compression.
    pub fn open(path: &Path) -> Result<Self> {
        let header_path = pair::header_of(path)?;
        let mut file = Opened::open(&header_path, BUFFER_BYTES)?;
        let bytes = file.read_header(&header_path)?;
        let header = Header::parse(&header_path, &bytes)?;
        let (path, file, at) = if header.pair {
            let image = pair::image_of(&header_path)?;
            let file = Opened::open(&image, BUFFER_BYTES)?;
            (image, file, 0)
        } else if header_path != path {
            return Err(file_error(
                path,
                format!(
                    "its header {} says that it is no pair and has the voxels itself; \
                     read that file instead",
                    header_path.display()
                ),
            ));
        } else {
            (header_path, file, bytes.len() as u64)
        };
        file.check_length(&path, &header)?;
        Ok(Volumes {
            span: 0..header.voxels(),
            header,
            path,
            stream: file.stream,
            at,
            done: 0,
            raw: vec![],
        })
    }

    /// Reads nothing but what these voxels span from a file that is not compressed. Later
    /// reads must be of voxels among them.
    pub fn narrow_to(&mut self, voxels: &[u32]) {
        let first = voxels.iter().min().map_or(0, |&v| v as usize);
        let last = voxels.iter().max().map_or(0, |&v| v as usize + 1);
        if let Stream::Plain(_) = self.stream {
            self.span = first..last;
        }
    }

    /// Passes over volumes up to this one, which must not have been read: without reading
    /// them where the file is not compressed, else without decoding them.
    pub fn skip_to(&mut self, volume: usize) -> Result<()> {
        let start = self.start_of(volume);
        self.pass_to(start)?;
        self.done = volume;
        Ok(())
    }

    /// Reads the next volume and appends the values of `voxels` (positions in
    /// the file, x fastest, below [`Header::voxels`]), in that order.
    ///
    /// Scaled values are computed in float64 and then rounded to float32.
    /// After the last volume it also checks the end of the file: bytes left
    /// over are a warning, a wrong gzip checksum is an error.
    pub fn read(&mut self, voxels: &[u32], values: &mut Vec<f32>) -> Result<()> {
        let width = self.header.encoding.width();
        let bytes = self.span.len() * width;
        if self.raw.len() != bytes {
            // Zeroed pages come from the system untouched, so a damaged header
            // that claims a huge volume costs no memory.
            self.raw = vec![0; bytes];
        }
        self.pass_to(self.start_of(self.done) + (self.span.start * width) as u64)?;
        if let Err(e) = self.stream.read_exact(&mut self.raw) {
            return Err(self.cut_short(&e));
        }
        self.at += bytes as u64;
        self.done += 1;
        let encoding = self.header.encoding;
        encoding.gather(&self.raw, self.span.start, voxels, values);
        if self.done == self.header.volumes {
            self.pass_to(self.start_of(self.done))?;
            self.check_end()?;
        }
        Ok(())
    }

    /// Where a volume's voxels begin in the decompressed file.
    fn start_of(&self, volume: usize) -> u64 {
        self.header.offset + self.header.volume_bytes() as u64 * volume as u64
    }

    fn pass_to(&mut self, position: u64) -> Result<()> {
        // The header's check keeps the voxels behind the header.
        let gap = position.saturating_sub(self.at);
        match self.stream.skip(gap) {
            Ok(()) => {
                self.at += gap;
                Ok(())
            }
            Err(e) => Err(self.cut_short(&e)),
        }
    }

    fn cut_short(&self, e: &io::Error) -> datafusion::common::DataFusionError {
        let reason = match e.kind() {
            ErrorKind::UnexpectedEof => "the file ends early".to_owned(),
            _ => format!("the data are damaged ({e})"),
        };
        file_error(
            &self.path,
            format!(
                "{reason}, in volume {} of the {} that the header says; copy it again",
                self.done + 1,
                self.header.volumes
            ),
        )
    }

    /// Reads what is left, which also makes the decompressor compare the checksum.
    fn check_end(&mut self) -> Result<()> {
        match io::copy(&mut self.stream, &mut io::sink()) {
            Ok(0) => Ok(()),
            Ok(left) => {
                log::warn!(
                    "{}: has {left} bytes left over after the {} volumes that its header says",
                    self.path.display(),
                    self.header.volumes
                );
                Ok(())
            }
            Err(e) => Err(file_error(
                &self.path,
                format!(
                    "does not end well after its {} volumes ({e}): \
                     some values may be wrong; copy it again",
                    self.done
                ),
            )),
        }
    }

    /// Reads the next volume as it is on disk, every voxel of it.
    pub fn read_raw(&mut self) -> Result<&[u8]> {
        self.read(&[], &mut vec![])?;
        Ok(&self.raw)
    }
}

/// The bytes of an image's header, and the file that has it (the `.hdr` where `path` is an
/// `.img`); no more of it is read.
pub fn header_bytes(path: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let path = pair::header_of(path)?;
    let bytes = Opened::open(&path, HEADER_BUFFER_BYTES)?.read_header(&path)?;
    Ok((path, bytes))
}

/// A file's content, decompressed.
enum Stream {
    Plain(BufReader<File>),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Stream {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Plain(file) => match i64::try_from(bytes) {
                Ok(bytes) => file.seek_relative(bytes),
                Err(_) => Err(ErrorKind::UnexpectedEof.into()),
            },
            Self::Gzip(stream) => {
                let skipped = io::copy(&mut stream.take(bytes), &mut io::sink())?;
                match skipped == bytes {
                    true => Ok(()),
                    false => Err(ErrorKind::UnexpectedEof.into()),
                }
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Gzip(stream) => stream.read(buffer),
        }
    }
}

/// A file that has been opened.
struct Opened {
    stream: Stream,
    /// Bytes on disk.
    length: u64,
}

impl Opened {
    fn open(path: &Path, buffer_bytes: usize) -> Result<Self> {
        let file = scope::open(path).map_err(|e| file_error(path, explain(path, &e)))?;
        let length = file.metadata().map_err(|e| file_error(path, e))?.len();
        let mut file = BufReader::with_capacity(buffer_bytes, file);
        let start = file.fill_buf().map_err(|e| file_error(path, e))?;
        let stream = match start.starts_with(&[0x1f, 0x8b]) {
            true => Stream::Gzip(Box::new(MultiGzDecoder::new(file))),
            false => Stream::Plain(file),
        };
        Ok(Opened { stream, length })
    }

    /// As many bytes as the header of the file's version has, fewer if the file ends before.
    fn read_header(&mut self, path: &Path) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(HEADER_2_BYTES);
        let mut read_up_to = |length: usize| -> Result<bool> {
            let missing = (length - bytes.len()) as u64;
            let more = self.stream.by_ref().take(missing).read_to_end(&mut bytes);
            more.map_err(|e| file_error(path, format!("damaged: {e}")))?;
            Ok(is_version_2(&bytes))
        };
        if read_up_to(HEADER_BYTES)? {
            read_up_to(HEADER_2_BYTES)?;
        }
        Ok(bytes)
    }

    /// Errors if the file cannot hold the voxels that the header says.
    fn check_length(&self, path: &Path, header: &Header) -> Result<()> {
        let (length, total) = (self.length, header.total_bytes());
        let compressed = matches!(self.stream, Stream::Gzip(_));
        if !compressed && length < total {
            return Err(file_error(
                path,
                format!(
                    "too short: the header says {total} bytes ({} volumes of {} bytes from byte {} on), \
                     the file has {length}; copy it again",
                    header.volumes,
                    header.volume_bytes(),
                    header.offset
                ),
            ));
        }
        if compressed && length.saturating_mul(MAX_COMPRESSION) < total {
            return Err(file_error(
                path,
                format!(
                    "the header says {total} bytes, more than {length} compressed bytes can hold; \
                     the header is damaged or the file is cut short"
                ),
            ));
        }
        Ok(())
    }
}

/// A link without its target is how DataLad marks a file that was not fetched.
pub fn explain(path: &Path, e: &io::Error) -> String {
    let is_link = path.symlink_metadata().is_ok_and(|m| m.is_symlink());
    match e.kind() {
        ErrorKind::NotFound if is_link => {
            "a link to a file that is not here; in a DataLad data set, get it with: datalad get"
                .to_owned()
        }
        _ => e.to_string(),
    }
}

/// A volume has its voxels counted and no more up to this number; a brain at 0.5 mm has 30 million.
const MANY_VOXELS: usize = 1 << 26;

/// Positions of all voxels of a volume of the image at `path`, as [`c_order`] lists them.
///
/// Errors where they are many, and the first volume does not hold what it claims: a compressed
/// file of 2 MB may say that it has 8 GB of positions.
pub fn all_voxels(path: &Path, shape: [usize; 3]) -> Result<Vec<u32>> {
    if shape.iter().product::<usize>() > MANY_VOXELS {
        Volumes::open(path)?.read_raw()?;
    }
    Ok(c_order(shape, |_| true))
}

/// Positions in the file (x fastest) of the voxels that `keep` takes, listed in C order
/// (z fastest), as NumPy and nilearn flatten volumes.
pub fn c_order(shape: [usize; 3], keep: impl Fn(usize) -> bool) -> Vec<u32> {
    let [nx, ny, nz] = shape;
    let mut positions = vec![];
    for x in 0..nx {
        for y in 0..ny {
            for z in 0..nz {
                let position = x + nx * (y + ny * z);
                if keep(position) {
                    // The header's check keeps volumes within an i32.
                    positions.push(position as u32);
                }
            }
        }
    }
    positions
}
