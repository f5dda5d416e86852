//! GIFTI: runs and maps on one surface (`.func.gii`, `.shape.gii`).

mod array;
mod data;
mod scan;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use datafusion::common::Result;

use self::array::{Array, get};
use self::scan::Scanner;
use super::format::file_error;

/// Field metadata of `bold`: the surface that its elements are vertices of, such as `CortexLeft`.
pub const STRUCTURE_KEY: &str = "voxql.structure";

/// A `TimeStep` from which on it must be in milliseconds, as FreeSurfer writes it; no
/// repetition time takes so many seconds, and none is so few milliseconds.
const MILLISECONDS_FROM: f64 = 50.0;

/// An open GIFTI file of values at the vertices of a surface: a data array for each time point or map, or
/// one array of vertices × time.
pub struct GiftiSeries {
    /// Time points or maps, at least 1.
    pub rows: usize,
    /// Vertices: values in a row, at least 1.
    pub length: usize,
    /// False for maps, which have no time of their own.
    pub is_series: bool,
    /// Seconds, where the file has it.
    pub repetition_time: Option<f64>,
    structure: Option<String>,
    path: PathBuf,
    /// All arrays, once a row was asked for.
    arrays: Vec<Array>,
    /// The numbers of the one array, where it has all rows.
    table: Vec<f32>,
}

impl GiftiSeries {
    /// Reads up to the end of the first data array.
    ///
    /// Errors for what is no GIFTI file of values at vertices.
    pub fn open(path: &Path) -> Result<Self> {
        let named = |message: String| file_error(path, message);
        let mut scanner = Scanner::open(path)?;
        let first = scanner.next().map_err(named)?;
        let Some(first) = first else {
            return Err(file_error(path, "a GIFTI file without a DataArray"));
        };
        let claimed = scanner.claimed.unwrap_or(0);
        let rows = match (claimed, first.columns) {
            (1, columns) => columns,
            (n, 1) if n > 0 => n,
            (n, columns) => {
                return Err(file_error(
                    path,
                    format!(
                        "{n} data arrays, the first of {} × {columns} numbers; either each is one row, \
                         or there is one of vertices × time",
                        first.vertices
                    ),
                ));
            }
        };
        let about = |name: &str| first.get(name).or_else(|| get(&scanner.metadata, name));
        Ok(GiftiSeries {
            rows,
            length: first.vertices,
            is_series: first.is_time,
            repetition_time: about("TimeStep").and_then(time_step),
            structure: about("AnatomicalStructurePrimary").map(str::to_owned),
            path: path.to_owned(),
            arrays: vec![],
            table: vec![],
        })
    }

    /// What `bold` is, for its field.
    pub fn metadata(&self) -> HashMap<String, String> {
        let structure = self
            .structure
            .clone()
            .map(|s| (STRUCTURE_KEY.to_owned(), s));
        structure.into_iter().collect()
    }

    /// Reads the tags of the whole file, once, and finds where the numbers of each row are.
    ///
    /// Errors unless there are as many arrays as the file says, all as long as the first and of its
    /// kind.
    pub fn index(&mut self) -> Result<()> {
        if !self.arrays.is_empty() {
            return Ok(());
        }
        let mut scanner = Scanner::open(&self.path)?;
        self.arrays = self
            .scan(&mut scanner)
            .map_err(|message| file_error(&self.path, message))?;
        Ok(())
    }

    fn scan(&self, scanner: &mut Scanner) -> Result<Vec<Array>, String> {
        let mut arrays = vec![];
        while let Some(mut array) = scanner.next()? {
            if array.vertices != self.length || array.columns.max(arrays.len() + 1) > self.rows {
                return Err(format!(
                    "data array {} has {} × {} numbers, where {} rows of {} are expected",
                    arrays.len() + 1,
                    array.vertices,
                    array.columns,
                    self.rows,
                    self.length
                ));
            }
            data::check_room(&self.path, &array)
                .map_err(|message| format!("data array {}: {message}", arrays.len() + 1))?;
            array.metadata = vec![];
            arrays.push(array);
        }
        let rows: usize = arrays.iter().map(|array| array.columns).sum();
        match rows == self.rows {
            true => Ok(arrays),
            false => Err(format!(
                "has {} data arrays, its GIFTI tag says {}",
                arrays.len(),
                scanner.claimed.unwrap_or(0)
            )),
        }
    }

    /// Appends the values of `rows`, one row after the other, in any order. No other array is
    /// inflated, but where one array has all rows, that is read whole.
    pub fn read(&mut self, rows: Range<usize>, values: &mut Vec<f32>) -> Result<()> {
        self.index()?;
        for row in rows {
            if row >= self.rows {
                return Err(file_error(
                    &self.path,
                    format!("has {} rows, row {row} was asked for", self.rows),
                ));
            }
            match self.arrays.as_slice() {
                [one] if one.columns > 1 => {
                    if self.table.is_empty() {
                        read_array(&self.path, one, 0, &mut self.table)?;
                    }
                    let (first, step) = match one.column_major {
                        true => (row * one.vertices, 1),
                        false => (row, one.columns),
                    };
                    let column = self.table[first..].iter().step_by(step);
                    values.extend(column.take(one.vertices));
                }
                arrays => read_array(&self.path, &arrays[row], row, values)?,
            }
        }
        Ok(())
    }
}

fn read_array(path: &Path, array: &Array, at: usize, values: &mut Vec<f32>) -> Result<()> {
    data::read(path, array, values)
        .map_err(|message| file_error(path, format!("data array {}: {message}", at + 1)))
}

/// Seconds. GIFTI does not say the unit: FreeSurfer writes milliseconds, others seconds.
fn time_step(text: &str) -> Option<f64> {
    let value: f64 = text.trim().parse().ok()?;
    let seconds = match value >= MILLISECONDS_FROM {
        true => value / 1e3,
        false => value,
    };
    (seconds > 0.0 && seconds.is_finite()).then_some(seconds)
}
