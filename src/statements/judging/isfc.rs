//! `isfc((SELECT subject, run, tr, bold FROM …))`: the correlation of each subject's voxels with
//! all voxels, or targets, of the others.
//!
//! Matrices are large: they are computed some rows at a time as the table is read.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::kernels::isc::isfc::Isfc;
use voxql_udfs::kernels::isc::{Missing, Summary, Value, pairs};
use voxql_udfs::vectors::{element_type, fits_f32};

use super::arguments::{self, memory, missing, summary, threads};
use super::isc::at_least_two;
use super::tables::{rows_of_batch, vector_field, vectors};
use crate::statements::computed::Function;
use crate::statements::computed::arguments::{Given, in_query, stream};
use crate::statements::computed::calls::Call;
use crate::statements::subject_rows::{Columns, Float, SubjectRows};
use crate::writers::format::blocking;

/// The function's name in SQL.
pub const FUNCTION: &str = "isfc";

/// What it takes.
pub const ISFC: Function = Function {
    parameters: Parameters {
        function: FUNCTION,
        required: 1,
        list: &[
            ("data", Kind::Any),
            ("targets", Kind::Any),
            ("pairwise", Kind::Flag),
            ("summary_statistic", Kind::Text),
            ("tolerate_nans", Kind::Any),
        ],
    },
    queries: &["data", "targets"],
    example: "isfc((SELECT subject, run, tr, bold FROM …))",
};

/// Prepares the table of a call.
///
/// # Errors
/// Name the argument, or the subject and the time.
pub async fn table(state: &SessionState, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let given = Given::without_rows(state, call).await?;
    let (is_pairwise, summary, missing) = {
        let arguments = given.constants();
        (
            arguments.bool("pairwise")?.unwrap_or(false),
            summary(&arguments)?,
            missing(&arguments)?,
        )
    };
    let data = arguments::rows(state, call, "data").await?;
    let targets = stream(state, call, "targets").await?;
    if targets.is_some() && is_pairwise {
        return plan_err!(
            "{FUNCTION}: targets are compared with the mean of the others, so pairwise cannot be true"
        );
    }
    let columns = Columns::find(FUNCTION, &data.schema())?;
    let target_columns = match &targets {
        Some(targets) => Some(Columns::find(FUNCTION, &targets.schema())?),
        None => None,
    };
    let is_single =
        |columns: &Columns| element_type(columns.vector().data_type()).is_some_and(fits_f32);
    let single = is_single(&columns) && target_columns.as_ref().is_none_or(is_single);
    let targets = target_columns.zip(targets);
    let how = How {
        pairwise: is_pairwise,
        missing,
        memory: memory(state, FUNCTION),
    };
    let (names, isfc, memory) = match single {
        true => prepare::<Float32Type>(state, call, (columns, data), targets, how).await?,
        false => prepare::<Float64Type>(state, call, (columns, data), targets, how).await?,
    };
    let keys = match (summary, is_pairwise) {
        (Some(_), _) => Vec::new(),
        (None, false) => names.into_iter().map(|name| vec![name]).collect(),
        (None, true) => pairs(names.len())
            .map(|(i, j)| vec![names[i].clone(), names[j].clone()])
            .collect(),
    };
    let key_names = match (summary, is_pairwise) {
        (Some(_), _) => &[][..],
        (None, false) => &["subject"][..],
        (None, true) => &["subject", "other"][..],
    };
    let field = |name: &&str| Arc::new(Field::new(*name, DataType::Utf8, false));
    let mut fields: Vec<FieldRef> = key_names.iter().map(field).collect();
    fields.push(Arc::new(Field::new("voxel", DataType::Int64, false)));
    fields.push(vector_field(FUNCTION, "isfc", isfc.targets())?);
    let schema = SchemaRef::new(Schema::new(fields));
    let matrices = Matrices {
        schema: Arc::clone(&schema),
        shared: Arc::new(Shared {
            isfc,
            keys,
            summary,
            threads: threads(state),
            _memory: memory,
        }),
    };
    let table = StreamingTable::try_new(schema, vec![Arc::new(matrices)])?;
    Ok(Arc::new(table))
}

struct How {
    pairwise: bool,
    missing: Missing,
    memory: MemoryReservation,
}

type Input = (Columns, SendableRecordBatchStream);

async fn prepare<T: Float>(
    state: &SessionState,
    call: &Call,
    data: Input,
    targets: Option<Input>,
    how: How,
) -> Result<(Vec<String>, Isfc, MemoryReservation)>
where
    T::Native: Value,
{
    let gather = |(columns, rows), name: &'static str| async move {
        let memory = memory(state, FUNCTION);
        let rows = SubjectRows::<T>::gather(FUNCTION, columns, rows, memory);
        rows.await
            .map_err(|error| in_query(error, call.function, name))
    };
    let data = gather(data, "data").await?;
    at_least_two(FUNCTION, &data)?;
    let targets = match targets {
        Some(targets) => Some(gather(targets, "targets").await?),
        None => None,
    };
    if let Some(targets) = &targets {
        same_subjects_and_times(&data, targets)?;
    }
    blocking(move || {
        let width = match (&targets, how.pairwise) {
            (Some(targets), _) => targets.width,
            (None, false) => data.width,
            (None, true) => 0,
        };
        let bytes = Isfc::bytes(data.names.len(), data.trs(), data.width, width);
        how.memory.try_grow(bytes)?;
        let series = data.series();
        let isfc = match (&targets, how.pairwise) {
            (_, true) => Isfc::pairwise(&series, how.missing),
            (None, _) => Isfc::leave_one_out(&series, None, how.missing),
            (Some(targets), _) => {
                Isfc::leave_one_out(&series, Some(&targets.series()), how.missing)
            }
        };
        Ok((data.names.clone(), isfc, how.memory))
    })
    .await
}

fn same_subjects_and_times<T: Float>(
    data: &SubjectRows<T>,
    targets: &SubjectRows<T>,
) -> Result<()> {
    if data.names != targets.names {
        return exec_err!(
            "{FUNCTION}: the data are of the subjects {} and the targets of {}; select the same",
            data.names.join(", "),
            targets.names.join(", ")
        );
    }
    let (ours, theirs) = (data.time_labels()?, targets.time_labels()?);
    let longest = ours.len().max(theirs.len());
    let differs = (0..longest).find(|i| ours.get(*i) != theirs.get(*i));
    let Some(at) = differs else {
        return Ok(());
    };
    let of = |labels: &[String]| match labels.get(at) {
        Some(label) => label.clone(),
        None => format!("{} times only", labels.len()),
    };
    exec_err!(
        "{FUNCTION}: the times of data and targets differ: {} and {}; select the same",
        of(&ours),
        of(&theirs)
    )
}

/// The matrices, as a stream of their rows.
struct Matrices {
    schema: SchemaRef,
    shared: Arc<Shared>,
}

struct Shared {
    isfc: Isfc,
    /// Per matrix whose it is; none for a summary.
    keys: Vec<Vec<String>>,
    summary: Option<Summary>,
    threads: usize,
    _memory: MemoryReservation,
}

impl fmt::Debug for Matrices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let isfc = &self.shared.isfc;
        write!(
            f,
            "{FUNCTION} of {} voxels and {} targets",
            isfc.voxels(),
            isfc.targets()
        )
    }
}

impl PartitionStream for Matrices {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let shared = Arc::clone(&self.shared);
        let schema = Arc::clone(&self.schema);
        let matrices = match self.shared.summary {
            Some(_) => 1,
            None => self.shared.isfc.matrices(),
        };
        let voxels = self.shared.isfc.voxels();
        let step = rows_of_batch(self.shared.isfc.targets());
        let blocks = (0..matrices).flat_map(move |matrix| {
            let starts = (0..voxels).step_by(step);
            starts.map(move |from| (matrix, from..(from + step).min(voxels)))
        });
        let batches = blocks.map(move |(matrix, voxels)| shared.batch(&schema, matrix, voxels));
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::iter(batches),
        ))
    }
}

impl Shared {
    fn batch(
        &self,
        schema: &SchemaRef,
        matrix: usize,
        voxels: Range<usize>,
    ) -> Result<RecordBatch> {
        let rows = voxels.len();
        let values = match self.summary {
            Some(summary) => self.isfc.summary(summary, voxels.clone(), self.threads),
            None => self.isfc.rows(matrix, voxels.clone(), self.threads),
        };
        let mut columns: Vec<ArrayRef> = Vec::new();
        for key in self.keys.get(matrix).into_iter().flatten() {
            let same = std::iter::repeat_n(key, rows);
            columns.push(Arc::new(StringArray::from_iter_values(same)));
        }
        let numbers = voxels.map(|voxel| voxel as i64);
        columns.push(Arc::new(Int64Array::from_iter_values(numbers)));
        columns.push(vectors(FUNCTION, values, self.isfc.targets(), rows)?);
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}
