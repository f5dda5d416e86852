//! Table functions over the models of one database: `model_history('m')`, `model_weights('m')`,
//! `model_scores('m')`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::Expr;

use super::store::{Description, Models};
use super::{ridge, srm};

/// What a function makes of a model.
type Make = fn(&Models, &Description) -> Result<Arc<dyn TableProvider>>;

/// One of the functions.
#[derive(Debug)]
pub struct ModelTable {
    models: Arc<Models>,
    name: &'static str,
    make: Make,
}

/// All of them, by name.
pub fn all(models: &Arc<Models>) -> Vec<(&'static str, Arc<ModelTable>)> {
    let function = |name, make| {
        let models = Arc::clone(models);
        (name, Arc::new(ModelTable { models, name, make }))
    };
    vec![
        function("model_history", history),
        function("model_weights", weights),
        function("model_scores", ridge::model_scores),
    ]
}

impl TableFunctionImpl for ModelTable {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let [Expr::Literal(name, _)] = args.exprs() else {
            return plan_err!("{} takes the name of a model, as in {0}('m')", self.name);
        };
        match name {
            ScalarValue::Utf8(Some(name))
            | ScalarValue::LargeUtf8(Some(name))
            | ScalarValue::Utf8View(Some(name)) => {
                (self.make)(&self.models, &self.models.describe(name)?)
            }
            other => plan_err!("{} takes the name of a model, not {other}", self.name),
        }
    }
}

/// The maps of a shared response model, or the coefficients of an encoding model.
fn weights(models: &Models, description: &Description) -> Result<Arc<dyn TableProvider>> {
    match description.kind == ridge::KIND {
        true => ridge::model_weights(models, description),
        false => srm::model_weights(models, description),
    }
}

/// One row per iteration: its number from 1, what was measured, and by which share it changed.
fn history(_models: &Models, description: &Description) -> Result<Arc<dyn TableProvider>> {
    let values = &description.history;
    let changes = (0..values.len()).map(|i| {
        let before = values.get(i.checked_sub(1)?)?;
        Some((values[i] - before) / values[i].abs())
    });
    let measure = std::iter::repeat_n(&description.history_of, values.len());
    let batch = RecordBatch::try_from_iter_with_nullable([
        (
            "iteration",
            Arc::new(Int64Array::from_iter_values(1..=values.len() as i64)) as _,
            false,
        ),
        (
            "measure",
            Arc::new(StringArray::from_iter_values(measure)) as _,
            false,
        ),
        (
            "value",
            Arc::new(Float64Array::from(values.clone())) as _,
            false,
        ),
        (
            "change",
            Arc::new(Float64Array::from_iter(changes)) as _,
            true,
        ),
    ])?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
    Ok(Arc::new(table))
}

/// A column of `rows` lists of one length, of the type of `field`, from their numbers.
pub fn rows_of(field: &Field, values: ArrayRef, rows: usize) -> Result<ArrayRef> {
    Ok(match field.data_type() {
        DataType::FixedSizeList(item, width) => {
            let item = Arc::clone(item);
            Arc::new(FixedSizeListArray::try_new(item, *width, values, None)?)
        }
        DataType::List(item) => {
            let length = values.len().checked_div(rows).unwrap_or(0);
            let offsets = OffsetBuffer::from_repeated_length(length, rows);
            Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, None)?)
        }
        other => return exec_err!("{} is no column of lists, but of {other}", field.name()),
    })
}
