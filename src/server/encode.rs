//! Batches as Flight messages: plain types, and messages that fit.
//!
//! Views and dictionaries are sent as plain columns, which every client reads. A batch is sent
//! in pieces of some megabytes, cut by bytes and not by rows, since a row may be a whole brain.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{
    BinaryViewType, ByteViewType, DataType, Field, FieldRef, Fields, Schema, SchemaRef,
    StringViewType,
};
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_flight::{FlightData, SchemaAsIpc};
use prost::Message;
use tonic::Status;

/// Bytes of a message, about: under the 4 MiB that clients other than ADBC's accept.
const USUAL_MESSAGE: usize = 2 << 20;

/// The columns as they are sent.
pub fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(plain_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = plain_type(field.data_type());
    match &data_type == field.data_type() {
        true => Arc::clone(field),
        // Not `with_data_type`: the new field is no dictionary any more.
        false => Arc::new(
            Field::new(field.name(), data_type, field.is_nullable())
                .with_metadata(field.metadata().clone()),
        ),
    }
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => {
            DataType::LargeList(plain_field(item))
        }
        DataType::FixedSizeList(item, width) => DataType::FixedSizeList(plain_field(item), *width),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

/// Turns batches into messages, one at a time.
pub struct Encoder {
    schema: SchemaRef,
    /// Bytes of the largest message.
    limit: usize,
    /// What is still to be sent, the next piece last.
    waiting: Vec<RecordBatch>,
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Encoder {
    /// For batches of the columns `schema`.
    pub fn new(schema: &Schema, limit: usize) -> Self {
        Self {
            schema: plain_schema(schema),
            limit,
            waiting: Vec::new(),
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            options: IpcWriteOptions::default(),
            context: IpcWriteContext::default(),
        }
    }

    /// The first message: the columns.
    pub fn schema_message(&self) -> FlightData {
        SchemaAsIpc::new(&self.schema, &self.options).into()
    }

    pub fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.waiting.insert(0, batch);
        }
    }

    /// The next message; none when all that was pushed is sent.
    ///
    /// # Errors
    /// A row that fits no message.
    pub fn next(&mut self) -> Result<Option<FlightData>, Status> {
        while let Some(batch) = self.waiting.pop() {
            let rows = batch.num_rows();
            let bytes = bytes(&batch);
            if rows > 1 && bytes > USUAL_MESSAGE {
                let fit = (rows as u128 * USUAL_MESSAGE as u128 / bytes as u128) as usize;
                let fit = fit.clamp(1, rows - 1);
                self.waiting.push(batch.slice(fit, rows - fit));
                self.waiting.push(batch.slice(0, fit));
                continue;
            }
            let message = self.encode(&batch)?;
            let size = message.encoded_len();
            if size <= self.limit {
                return Ok(Some(message));
            }
            if rows == 1 {
                return Err(self.too_large(size));
            }
            self.waiting.push(batch.slice(rows / 2, rows - rows / 2));
            self.waiting.push(batch.slice(0, rows / 2));
        }
        Ok(None)
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<FlightData, Status> {
        let not_sent = |error: &dyn std::fmt::Display| {
            Status::internal(format!("the result cannot be sent: {error}"))
        };
        if batch.num_columns() != self.schema.fields().len() {
            return Err(not_sent(&"the rows have other columns than the plan said"));
        }
        let fields = self.schema.fields().iter();
        let columns = fields
            .zip(batch.columns())
            .map(
                |(field, column)| match column.data_type() == field.data_type() {
                    true => Ok(Arc::clone(column)),
                    false => cast(column, field.data_type()),
                },
            )
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| not_sent(&error))?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| not_sent(&error))?;
        let (_, data) = self
            .generator
            .encode(
                &batch,
                &mut self.dictionaries,
                &self.options,
                &mut self.context,
            )
            .map_err(|error| not_sent(&error))?;
        Ok(data.into())
    }

    fn too_large(&self, size: usize) -> Status {
        let enough = size.next_multiple_of(1 << 20);
        Status::resource_exhausted(format!(
            "a row of {size} bytes does not fit into a message of {} bytes: select fewer columns, or start the \
             server with --max-message-size {}MiB and let the client take as much (ADBC: \
             db_kwargs={{'adbc.flight.sql.client_option.with_max_msg_size': '{enough}'}})",
            self.limit,
            enough >> 20,
        ))
    }
}

/// About the bytes that a batch takes when sent.
fn bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|c| column_bytes(c)).sum()
}

fn column_bytes(column: &dyn Array) -> usize {
    match column.data_type() {
        DataType::Utf8View => view_bytes::<StringViewType>(column),
        DataType::BinaryView => view_bytes::<BinaryViewType>(column),
        DataType::Dictionary(..) => {
            // Each row becomes a value of its own, of average length.
            let values = column.as_any_dictionary().values();
            let all = column_bytes(values) as u128;
            (all * column.len() as u128 / values.len().max(1) as u128) as usize
        }
        // An array that cannot say counts whole; the message itself is looked at again.
        _ => column
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_| column.get_buffer_memory_size()),
    }
}

fn view_bytes<T: ByteViewType>(column: &dyn Array) -> usize {
    let lengths = column.as_byte_view::<T>().lengths();
    lengths.map(|length| length as usize + 4).sum()
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        ArrayRef, DictionaryArray, FixedSizeListArray, Float32Array, Int32Array, StringArray,
        StringViewArray,
    };
    use arrow::datatypes::Int32Type;
    use arrow_flight::decode::FlightRecordBatchStream;
    use futures::TryStreamExt;

    use super::*;

    fn messages(batch: RecordBatch, limit: usize) -> Result<Vec<FlightData>, Status> {
        let mut encoder = Encoder::new(&batch.schema(), limit);
        let mut all = vec![encoder.schema_message()];
        encoder.push(batch);
        while let Some(message) = encoder.next()? {
            all.push(message);
        }
        Ok(all)
    }

    async fn decoded(messages: Vec<FlightData>) -> RecordBatch {
        let stream = futures::stream::iter(messages.into_iter().map(Ok));
        let stream = FlightRecordBatchStream::new_from_flight_data(stream);
        let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
        arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
    }

    fn vectors(rows: usize, width: usize) -> RecordBatch {
        let values = Float32Array::from_iter_values((0..rows * width).map(|i| i as f32));
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let list = FixedSizeListArray::new(item, width as i32, Arc::new(values), None);
        RecordBatch::try_from_iter([("v", Arc::new(list) as ArrayRef)]).unwrap()
    }

    #[tokio::test]
    async fn wide_rows_are_cut_by_bytes_and_come_back_whole() {
        // 40 rows of 1.2 MB: 48 MB in messages of at most 2 MiB.
        let batch = vectors(40, 300_000);
        let all = messages(batch.clone(), 16 << 20).unwrap();
        assert_eq!(all.len(), 1 + 40);
        assert!(all.iter().all(|m| m.encoded_len() <= USUAL_MESSAGE + 1024));
        assert_eq!(decoded(all).await, batch);
    }

    #[test]
    fn a_row_that_fits_no_message_says_what_to_raise() {
        let error = messages(vectors(3, 300_000), 1 << 20).unwrap_err();
        assert_eq!(error.code(), tonic::Code::ResourceExhausted);
        for part in ["--max-message-size 2MiB", "with_max_msg_size': '2097152'"] {
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn uneven_rows_are_cut_until_they_fit() {
        // The long row is among the short ones: the average says nothing of it.
        let long = "x".repeat(1_500_000);
        let texts: StringArray = (0..1000)
            .map(|i| Some(if i % 100 == 0 { long.as_str() } else { "y" }))
            .collect();
        let batch = RecordBatch::try_from_iter([("t", Arc::new(texts) as ArrayRef)]).unwrap();
        let all = messages(batch.clone(), 2_000_000).unwrap();
        assert!(all.iter().all(|m| m.encoded_len() <= 2_000_000));
        assert_eq!(decoded(all).await, batch);
    }

    #[tokio::test]
    async fn views_and_dictionaries_are_sent_as_plain_columns() {
        let views = StringViewArray::from_iter([Some("a word longer than twelve bytes"), None]);
        let words: DictionaryArray<Int32Type> = [Some("sea"), Some("sea")].into_iter().collect();
        let numbers = Int32Array::from(vec![1, 2]);
        let batch = RecordBatch::try_from_iter([
            ("view", Arc::new(views) as ArrayRef),
            ("word", Arc::new(words) as ArrayRef),
            ("n", Arc::new(numbers) as ArrayRef),
        ])
        .unwrap();
        let sent = decoded(messages(batch.clone(), 1 << 20).unwrap()).await;
        assert_eq!(sent.schema(), plain_schema(&batch.schema()));
        let types: Vec<_> = sent
            .schema()
            .fields()
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        assert_eq!(types, [DataType::Utf8, DataType::Utf8, DataType::Int32]);
        assert_eq!(sent.column(1).as_string::<i32>().value(1), "sea");
    }
}
