//! The vectors of a table's column, each different one once, in a file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::Array;
use arrow::datatypes::{DataType, Float32Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::execution::memory_pool::MemoryReservation;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};
use voxql_udfs::kernels::metric::Metric;
use voxql_udfs::vectors::{Vectors, element_type};

use super::manifest::{TableFile, hexadecimal, too_many};
use super::search::prepare;
use crate::readers::scan::BATCH_BYTES;

/// What stands for a row's vector where it has none of its own: NULL, or an element of it is.
pub const NULL: u32 = u32::MAX;

/// What stands for a vector that is in no graph: it has an element that is no finite number of a usual size,
/// or, of cosine distances, is zero.
pub const OTHER: u32 = u32::MAX - 1;

/// Bytes that the hash of a vector and its number take.
const BYTES_OF_KNOWN: usize = 48;

/// A column, collected.
#[derive(Debug, Default)]
pub struct Collected {
    pub files: Vec<TableFile>,
    pub dimension: usize,
    /// The number of each row's vector, [`NULL`] or [`OTHER`].
    pub of_row: Vec<u32>,
    pub vectors: usize,
    /// Of all vectors as they are prepared for the metric.
    pub mean: Vec<f32>,
    pub vectors_hash: String,
}

/// What is collected, and from where.
pub struct Collection<'a> {
    pub name: &'a str,
    pub column: &'a str,
    pub metric: Metric,
    /// The table's directory and files.
    pub table: PathBuf,
    pub files: Vec<PathBuf>,
    pub stop: &'a AtomicBool,
    pub memory: &'a MemoryReservation,
}

impl Collection<'_> {
    /// Writes the vectors into the file `into`.
    pub fn run(&self, into: &Path) -> Result<Collected> {
        let mut gatherer = Gatherer {
            metric: self.metric,
            known: HashMap::new(),
            file: BufWriter::with_capacity(1 << 20, File::create(into)?),
            hash: Sha256::new(),
            sum: Vec::new(),
            found: Collected::default(),
        };
        for path in &self.files {
            let before = gatherer.found.of_row.len();
            self.read(path, &mut gatherer)?;
            let rows = gatherer.found.of_row.len() - before;
            let file = TableFile::of(&self.table, path, rows)?;
            gatherer.found.files.push(file);
        }
        gatherer.finish()
    }

    fn read(&self, path: &Path, gatherer: &mut Gatherer) -> Result<()> {
        let in_file =
            |error: String| datafusion::common::exec_datafusion_err!("{}: {error}", path.display());
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
        let schema = builder.schema();
        let Ok(index) = schema.index_of(self.column) else {
            return plan_err!("{}: there is no column {}", path.display(), self.column);
        };
        let width = match schema.field(index).data_type() {
            DataType::FixedSizeList(_, width) => usize::try_from(*width).unwrap_or(1),
            _ => 1024,
        };
        if element_type(schema.field(index).data_type()).is_none() {
            return plan_err!(
                "CREATE INDEX {}: {} is no column of vectors but of {}",
                self.name,
                self.column,
                schema.field(index).data_type()
            );
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), [index]);
        let rows = (BATCH_BYTES / (4 * width.max(1))).clamp(1, 8192);
        for batch in builder
            .with_projection(mask)
            .with_batch_size(rows)
            .build()?
        {
            if self.stop.load(Ordering::Relaxed) {
                return exec_err!("CREATE INDEX {} was cancelled", self.name);
            }
            let batch = batch?;
            gatherer
                .add(batch.column(0))
                .map_err(|error| in_file(error.to_string()))?;
            let known = gatherer.known.capacity() * BYTES_OF_KNOWN;
            self.memory
                .try_resize(known + 4 * gatherer.found.of_row.capacity())?;
        }
        if gatherer.found.of_row.len() >= OTHER as usize {
            return too_many(self.name);
        }
        Ok(())
    }
}

struct Gatherer {
    metric: Metric,
    known: HashMap<[u8; 16], u32>,
    file: BufWriter<File>,
    hash: Sha256,
    sum: Vec<f64>,
    found: Collected,
}

impl Gatherer {
    fn add(&mut self, column: &dyn Array) -> Result<()> {
        let vectors = Vectors::<Float32Type>::try_new("CREATE INDEX", column)?;
        let (mut prepared, mut bytes) = (Vec::new(), Vec::new());
        for i in 0..vectors.len() {
            let row = self.found.of_row.len();
            let Some(vector) = vectors.row(i).filter(|_| vectors.missing(i).is_none()) else {
                self.found.of_row.push(NULL);
                continue;
            };
            if self.found.dimension == 0 {
                self.found.dimension = vector.len();
                self.sum = vec![0.0; vector.len()];
            }
            if vector.is_empty() || vector.len() != self.found.dimension {
                return exec_err!(
                    "the vector of row {row} has {} elements, those before it {}; an index needs vectors of one length",
                    vector.len(),
                    self.found.dimension
                );
            }
            if !prepare(self.metric, vector, &mut prepared) {
                self.found.of_row.push(OTHER);
                continue;
            }
            bytes.clear();
            bytes.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
            let mut key = [0; 16];
            key.copy_from_slice(&Sha256::digest(&bytes)[..16]);
            let next = self.found.vectors as u32;
            let number = *self.known.entry(key).or_insert(next);
            self.found.of_row.push(number);
            if number == next {
                self.found.vectors += 1;
                self.hash.update(&bytes);
                self.file.write_all(&bytes)?;
                for (sum, x) in self.sum.iter_mut().zip(&prepared) {
                    *sum += f64::from(*x);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Collected> {
        self.file.flush()?;
        let count = self.found.vectors.max(1) as f64;
        self.found.mean = self.sum.iter().map(|sum| (sum / count) as f32).collect();
        self.found.vectors_hash = hexadecimal(&self.hash.finalize());
        Ok(self.found)
    }
}
