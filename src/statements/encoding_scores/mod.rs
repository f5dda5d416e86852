//! `encoding_scores((SELECT subject, bold, predicted FROM …))`: how well each voxel was predicted.

pub mod documentation;
mod sums;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::TryStreamExt;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::vectors::{Vectors, element_type};

use super::computed::Function;
use super::computed::arguments::{in_query, stream};
use super::computed::calls::Call;
use super::computed::held::Held;
use crate::models::fitted_times::watch;
use sums::Sums;

/// The function's name in SQL.
pub const FUNCTION: &str = "encoding_scores";

/// What it takes.
pub const ENCODING_SCORES: Function = Function {
    parameters: Parameters {
        function: FUNCTION,
        required: 1,
        list: &[("rows", Kind::Any)],
    },
    queries: &["rows"],
    example: "encoding_scores((SELECT subject, bold, ridge_predict(…) AS predicted FROM …))",
};

/// Computes the table of a call. The rows stream: what is held are a few numbers a voxel.
///
/// # Errors
/// Name the column or the row, and what to do.
pub async fn table(state: &SessionState, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let Some(rows) = stream(state, call, "rows").await? else {
        return plan_err!(
            "{FUNCTION} needs measured and predicted vectors, a query in parentheses: {}",
            ENCODING_SCORES.example
        );
    };
    let columns = Columns::find(&rows.schema())?;
    let memory = MemoryConsumer::new(FUNCTION).register(&state.runtime_env().memory_pool);
    let mut rows = watch(state, FUNCTION, rows)?;
    let mut subjects = BTreeMap::new();
    let failed = |error| in_query(error, &ENCODING_SCORES, "rows");
    while let Some(batch) = rows.try_next().await.map_err(failed)? {
        columns.add(&batch, &mut subjects, &memory)?;
    }
    let batch = columns.answer(&subjects)?;
    memory.try_grow(batch.get_array_memory_size())?;
    Ok(Arc::new(Held::new(batch.schema(), vec![batch], memory)?))
}

fn vectors(column: &ArrayRef) -> Result<Vectors<Float32Type>> {
    Ok(Vectors::try_new(FUNCTION, column)?.fill_missing(f32::NAN))
}

/// Which column is what.
struct Columns {
    subject: Option<usize>,
    measured: usize,
    predicted: usize,
}

impl Columns {
    fn find(schema: &SchemaRef) -> Result<Self> {
        let fields = schema.fields();
        let vectors: Vec<usize> = (0..fields.len())
            .filter(|&i| element_type(fields[i].data_type()).is_some())
            .collect();
        match vectors.as_slice() {
            [measured, predicted] => Ok(Self {
                subject: fields.iter().position(|f| f.name() == "subject"),
                measured: *measured,
                predicted: *predicted,
            }),
            _ => {
                let names: Vec<_> = fields.iter().map(|f| f.name().as_str()).collect();
                plan_err!(
                    "{FUNCTION} needs two vector columns, first what was measured and then what was predicted; its rows have: {}",
                    names.join(", ")
                )
            }
        }
    }

    fn add(
        &self,
        batch: &RecordBatch,
        subjects: &mut BTreeMap<Option<String>, Sums>,
        memory: &MemoryReservation,
    ) -> Result<()> {
        let measured = vectors(batch.column(self.measured))?;
        let predicted = vectors(batch.column(self.predicted))?;
        let names = self.subject.map(|i| cast(batch.column(i), &DataType::Utf8));
        let names = names.transpose()?;
        for i in 0..batch.num_rows() {
            let name = match &names {
                Some(names) if names.is_valid(i) => Some(names.as_string::<i32>().value(i)),
                _ => None,
            };
            let who = || name.map_or(String::new(), |name| format!(" of subject {name}"));
            let (Some(measured), Some(predicted)) = (measured.row(i), predicted.row(i)) else {
                continue;
            };
            if measured.len() != predicted.len() {
                return exec_err!(
                    "{FUNCTION}: a row{} has {} measured and {} predicted voxels",
                    who(),
                    measured.len(),
                    predicted.len()
                );
            }
            let key = name.map(str::to_string);
            let sums = match subjects.entry(key) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    memory.try_grow(Sums::bytes(measured.len()))?;
                    entry.insert(Sums::new(measured.len()))
                }
            };
            if sums.voxels() != measured.len() {
                return exec_err!(
                    "{FUNCTION}: a row{} has {} voxels, and one before {}; score subjects of different \
                     voxels with a column `subject`",
                    who(),
                    measured.len(),
                    sums.voxels()
                );
            }
            sums.add(measured, predicted);
        }
        Ok(())
    }

    fn answer(&self, subjects: &BTreeMap<Option<String>, Sums>) -> Result<RecordBatch> {
        let mut names = Vec::new();
        let (mut targets, mut counts) = (Vec::new(), Vec::new());
        let (mut r2, mut correlation) = (Vec::new(), Vec::new());
        for (name, sums) in subjects {
            for target in 0..sums.voxels() {
                names.push(name.as_deref());
                targets.push(target as i64);
                r2.push(sums.r2(target));
                correlation.push(sums.correlation(target));
                counts.push(sums.count(target));
            }
        }
        let mut fields = vec![
            Field::new("target", DataType::Int64, false),
            Field::new("r2", DataType::Float64, true),
            Field::new("correlation", DataType::Float64, true),
            Field::new("n", DataType::Int64, false),
        ];
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(targets)),
            Arc::new(Float64Array::from(r2)),
            Arc::new(Float64Array::from(correlation)),
            Arc::new(Int64Array::from(counts)),
        ];
        if self.subject.is_some() {
            fields.insert(0, Field::new("subject", DataType::Utf8, true));
            columns.insert(0, Arc::new(StringArray::from(names)));
        }
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }
}
