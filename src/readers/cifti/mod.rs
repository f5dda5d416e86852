//! CIFTI-2: runs and maps on grayordinates (`.dtseries.nii`, `.dscalar.nii`) or parcels
//! (`.ptseries.nii`, `.pscalar.nii`).
//!
//! The file is a matrix. Where time runs along its rows, as nearly all writers have it, one time point is a
//! column: one number from each row of the file. So a block of time points is transposed
//! at a time, bounded in bytes.

mod block;
mod content;
mod elements_table;
mod header;
mod maps;
pub mod metadata;
mod xml;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result};

pub use self::elements_table::CiftiElements;

use self::block::Block;
use self::content::Content;
use self::header::Header;
use self::maps::{Elements, Map};
use super::format::file_error;

/// An open CIFTI-2 file of which one dimension is elements (brain models or parcels), the
/// other time points or maps.
pub struct CiftiSeries {
    /// Time points or maps, at least 1.
    pub rows: usize,
    /// Elements: values in a row, at least 1.
    pub length: usize,
    /// False for maps, which have no time.
    pub is_series: bool,
    /// Seconds, where the file has it.
    pub repetition_time: Option<f64>,
    /// Seconds from the start of the run to the first row; 0 for maps.
    pub start: f64,
    /// Names of maps; empty for a series.
    names: Vec<String>,
    elements: Elements,
    path: PathBuf,
    content: Content,
    header: Header,
    /// Whether the values of a row lie side by side in the file.
    together: bool,
    /// The rows that will be read; blocks do not reach beyond.
    wanted: Range<usize>,
    block: Block,
    /// One row as it is on disk.
    raw: Vec<u8>,
}

impl CiftiSeries {
    /// Reads the header and the XML, not the values.
    ///
    /// Errors for what is no CIFTI-2 file, for matrices of other kinds (connectivity, labels), for series that are
    /// not in seconds, for XML that contradicts itself or the header, and for a file too short
    /// for its matrix.
    pub fn open(path: &Path) -> Result<Self> {
        let mut content = Content::open(path)?;
        let (header, maps) = read_maps(path, &mut content)?;
        let [along, across] = maps;
        let (kind, elements, together) = match (along, across) {
            (kind @ (Map::Series(_) | Map::Scalars(_)), Map::Elements(elements)) => {
                (kind, elements, false)
            }
            (Map::Elements(elements), kind @ (Map::Series(_) | Map::Scalars(_))) => {
                (kind, elements, true)
            }
            (along, across) => {
                return Err(file_error(
                    path,
                    format!(
                        "a CIFTI-2 matrix of {} by {}; read_bold reads those of which one dimension is \
                         SERIES or SCALARS and the other BRAIN_MODELS or PARCELS",
                        across.name(),
                        along.name()
                    ),
                ));
            }
        };
        let [along, across] = header.shape;
        let (rows, length) = if together {
            (across, along)
        } else {
            (along, across)
        };
        // Lists of Arrow have lengths of i32.
        if length > i32::MAX as usize {
            return Err(file_error(
                path,
                format!("too large: {length} values in a row"),
            ));
        }
        let (series, names) = match kind {
            Map::Scalars(names) => (None, names),
            Map::Series(series) => (Some(series), vec![]),
            _ => (None, vec![]),
        };
        Ok(CiftiSeries {
            rows,
            length,
            is_series: series.is_some(),
            repetition_time: series.as_ref().and_then(|s| s.step),
            start: series.map_or(0.0, |s| s.start),
            names,
            elements,
            path: path.to_owned(),
            content,
            header,
            together,
            wanted: 0..rows,
            block: Block::default(),
            raw: vec![],
        })
    }

    /// What `bold` is, for its field: which elements are where, and the names of maps.
    pub fn metadata(&self) -> HashMap<String, String> {
        metadata::of(&self.elements, &self.names)
    }

    /// Says which rows will be read, so that no others are transposed with them. All, if not said.
    pub fn expect(&mut self, rows: Range<usize>) {
        self.wanted = rows.start.min(self.rows)..rows.end.min(self.rows);
    }

    /// Appends the values of `rows`, one row after the other. Rows may be read in any order; it is
    /// cheap in theirs.
    pub fn read(&mut self, rows: Range<usize>, values: &mut Vec<f32>) -> Result<()> {
        for row in rows {
            if row >= self.rows {
                return Err(file_error(
                    &self.path,
                    format!("has {} rows, row {row} was asked for", self.rows),
                ));
            }
            let read = match self.together {
                true => self.read_row(row, values),
                false => self.read_column(row, values),
            };
            read.map_err(|e| self.cut_short(row, &e))?;
        }
        Ok(())
    }

    fn read_row(&mut self, row: usize, values: &mut Vec<f32>) -> io::Result<()> {
        let encoding = self.header.encoding;
        self.raw.resize(self.length * encoding.width(), 0);
        let offset = self.header.offset + row as u64 * self.raw.len() as u64;
        self.content.read_at(offset, &mut self.raw)?;
        encoding.decode(&self.raw, values);
        if row + 1 == self.rows {
            self.content.check_end()?;
        }
        Ok(())
    }

    fn read_column(&mut self, row: usize, values: &mut Vec<f32>) -> io::Result<()> {
        if self.block.get(row).is_none() {
            let rows = block::rows(row, &self.wanted, self.rows, self.length);
            self.block.load(&mut self.content, &self.header, rows)?;
            self.content.check_end()?;
        }
        values.extend_from_slice(self.block.get(row).unwrap_or_default());
        Ok(())
    }

    fn cut_short(&self, row: usize, e: &io::Error) -> DataFusionError {
        let reason = match e.kind() {
            ErrorKind::UnexpectedEof => "the file ends early".to_owned(),
            _ => format!("the data are damaged ({e})"),
        };
        file_error(
            &self.path,
            format!(
                "{reason}, seen when reading row {} of {}; copy it again",
                row + 1,
                self.rows
            ),
        )
    }
}

/// The header, and what the dimensions are: along a row of the file, and from row to row.
fn read_maps(path: &Path, content: &mut Content) -> Result<(Header, [Map; 2])> {
    let mut read = || -> Result<_, String> {
        let (header, xml) = header::read(content)?;
        let maps = xml::parse(&xml)?;
        for (dimension, (map, size)) in maps.iter().zip(header.shape).enumerate() {
            match map.length() {
                Some(length) if length != size => {
                    return Err(format!(
                        "its XML lists {length} {} for matrix dimension {dimension}, its header says {size}",
                        map.name()
                    ));
                }
                _ => {}
            }
        }
        Ok((header, maps))
    };
    read().map_err(|message: String| file_error(path, message))
}
