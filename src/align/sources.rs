//! Source rows: where a lineage begins.
//!
//! While the query runs, [`SourceRows`] numbers the rows of tables and files as they are
//! read, and the [`Registry`] keeps what is needed to name them afterwards: their keys and
//! times, and their value where it is not a vector.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::terms::{self, Builder, Term};

/// Columns that say which row it is, as they are called in VoxQL.
pub const KEYS: [&str; 7] = ["subject", "session", "task", "run", "tr", "time", "path"];

/// When a row was, in seconds: the first of these that it has.
pub const TIMES: [&str; 4] = ["time", "onset", "start", "start_time"];

/// One column of a table, a reader's call, or whatever else lineage starts from.
#[derive(Debug, Clone)]
pub struct Source {
    /// What people call it: `bold`, `read_video`.
    pub label: String,
    /// The column.
    pub column: String,
    /// The names of the columns that are kept of each row.
    pub keys: Vec<String>,
}

/// The sources of a query, and those of their rows that were read.
#[derive(Debug)]
pub struct Registry {
    inner: Mutex<Inner>,
    /// For the rows, which are kept until the answer is made.
    memory: MemoryReservation,
}

#[derive(Debug, Default)]
struct Inner {
    sources: Vec<Source>,
    batches: Vec<Batch>,
    rows: i64,
}

/// Rows that were read together.
#[derive(Debug, Clone)]
struct Batch {
    first: i64,
    source: usize,
    keys: Vec<ArrayRef>,
    value: Option<ArrayRef>,
}

/// A source row found again.
pub struct SourceRow {
    pub source: usize,
    keys: Vec<ArrayRef>,
    value: Option<ArrayRef>,
}

impl Registry {
    /// With the rows in `pool`.
    pub fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        Self {
            inner: Mutex::default(),
            memory: MemoryConsumer::new("EXPLAIN ALIGN").register(pool),
        }
    }

    pub fn add_source(&self, source: Source) -> usize {
        let mut inner = self.lock();
        inner.sources.push(source);
        inner.sources.len() - 1
    }

    pub fn source(&self, index: usize) -> Option<Source> {
        self.lock().sources.get(index).cloned()
    }

    /// Keeps `rows` rows, and says the number of the first.
    ///
    /// # Errors
    /// Where the pool has no memory for them.
    fn add_rows(
        &self,
        source: usize,
        rows: usize,
        keys: Vec<ArrayRef>,
        value: Option<ArrayRef>,
    ) -> Result<i64> {
        let mut bytes = 0;
        for column in keys.iter().chain(&value) {
            // Of a slice, its part: the rest of its buffers is other rows', which are counted there.
            bytes += column.to_data().get_slice_memory_size()?;
        }
        self.memory.try_grow(bytes)?;
        let mut inner = self.lock();
        let first = inner.rows;
        inner.rows += rows as i64;
        inner.batches.push(Batch {
            first,
            source,
            keys,
            value,
        });
        Ok(first)
    }

    /// The row of that number.
    pub fn row(&self, row: i64) -> Result<SourceRow> {
        let inner = self.lock();
        let after = inner.batches.partition_point(|batch| batch.first <= row);
        let Some(batch) = after.checked_sub(1).map(|i| &inner.batches[i]) else {
            return exec_err!("EXPLAIN ALIGN: source row {row} was never read");
        };
        let at = (row - batch.first) as usize;
        Ok(SourceRow {
            source: batch.source,
            keys: batch.keys.iter().map(|key| key.slice(at, 1)).collect(),
            value: batch.value.as_ref().map(|value| value.slice(at, 1)),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SourceRow {
    /// The key of that name, an array of one value, if the row has one that is not NULL.
    pub fn key(&self, source: &Source, name: &str) -> Option<&ArrayRef> {
        let at = source.keys.iter().position(|key| key == name)?;
        self.keys.get(at).filter(|key| key.is_valid(0))
    }

    /// The value, unless it is a vector.
    pub fn value(&self) -> Option<&ArrayRef> {
        self.value.as_ref()
    }
}

/// `rows(value, keys…)`: each row's own lineage: itself, with weight 1.
pub fn source_rows(registry: &Arc<Registry>, source: usize, value: Expr, keys: Vec<Expr>) -> Expr {
    let function = ScalarUDF::from(SourceRows {
        registry: Arc::clone(registry),
        source,
        // Rows get their numbers once, so the call must not be folded or repeated.
        signature: Signature::variadic_any(Volatility::Volatile),
    });
    function.call(std::iter::once(value).chain(keys).collect())
}

#[derive(Debug)]
struct SourceRows {
    registry: Arc<Registry>,
    source: usize,
    signature: Signature,
}

impl PartialEq for SourceRows {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.registry, &other.registry) && self.source == other.source
    }
}

impl Eq for SourceRows {}

impl Hash for SourceRows {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

impl ScalarUDFImpl for SourceRows {
    fn name(&self) -> &str {
        "align_source_rows"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(terms::data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args
            .args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let Some((value, keys)) = columns.split_first() else {
            return exec_err!("EXPLAIN ALIGN: a source has no column");
        };
        let kept = (!value.data_type().is_nested()).then(|| Arc::clone(value));
        let first = self
            .registry
            .add_rows(self.source, rows, keys.to_vec(), kept)?;
        let nulls = value.logical_nulls();
        let mut lineage = Builder::default();
        for i in 0..rows {
            let known = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(i));
            lineage.append(known.then(|| {
                [Term {
                    row: first + i as i64,
                    weight: Some(1.0),
                }]
            }));
        }
        Ok(ColumnarValue::Array(lineage.finish()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    #[test]
    fn rows_are_held_in_the_pool() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1000));
        let registry = Registry::new(&pool);
        let trs: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let first = registry.add_rows(0, 50, vec![trs.slice(0, 50)], Some(trs.slice(0, 50)));
        assert_eq!(first.unwrap(), 0);
        assert_eq!(pool.reserved(), 800);
        let refused = registry.add_rows(0, 50, vec![trs.slice(50, 50)], None);
        assert!(refused.unwrap_err().to_string().contains("EXPLAIN ALIGN"));
        drop(registry);
        assert_eq!(pool.reserved(), 0);
    }
}
