//! Turns a result's batches into the bytes of an output format, batch by batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{
    EncoderOptions, LineDelimited, WriterBuilder as JsonBuilder, make_encoder,
};
use clap::ValueEnum;
use datafusion::common::{DataFusionError, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::table::{Layout, Table};

/// A row group is written when it holds this much: what printing Parquet needs in memory.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: aligned columns, wide vectors shortened
    Table,
    /// With a header line; vectors are JSON text in their cell
    Csv,
    /// One JSON object per row and line (NDJSON); vectors are arrays
    Json,
    /// The bytes of one Parquet file; needs a file or a pipe
    Parquet,
}

/// Writes one result in one format.
///
/// CSV and JSON write every value in full. NULL is an empty cell in CSV and
/// `null` in JSON; JSON has no NaN, so NaN and infinities are `null` in JSON and
/// inside the vectors of CSV.
pub struct Printer {
    writer: Writer,
    schema: SchemaRef,
    rows: usize,
}

enum Writer {
    Table(Table),
    Csv { header_written: bool },
    Json,
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

impl Printer {
    pub fn new(format: Format, schema: SchemaRef, layout: Layout) -> Result<Self> {
        let writer = match format {
            Format::Table => Writer::Table(Table::new(&schema, layout)),
            Format::Csv => Writer::Csv {
                header_written: false,
            },
            Format::Json => Writer::Json,
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
                    .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
                    .build();
                let writer =
                    ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
                Writer::Parquet(Box::new(writer))
            }
        };
        Ok(Printer {
            writer,
            schema,
            rows: 0,
        })
    }

    /// Appends to `out` what can be written once this batch is known.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.rows += batch.num_rows();
        match &mut self.writer {
            Writer::Table(table) => {
                let mut text = String::new();
                table.write(batch, &mut text)?;
                out.append(&mut text.into_bytes());
            }
            Writer::Csv { header_written } => {
                csv(batch, !*header_written, out)?;
                *header_written = true;
            }
            Writer::Json => json(batch, out)?,
            Writer::Parquet(writer) => {
                writer.write(batch)?;
                out.append(writer.inner_mut());
            }
        }
        Ok(())
    }

    /// Appends the rest, and says how many rows were written.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<usize> {
        match self.writer {
            Writer::Table(table) => {
                let mut text = String::new();
                table.finish(&mut text)?;
                out.append(&mut text.into_bytes());
            }
            Writer::Csv {
                header_written: false,
            } => {
                csv(&RecordBatch::new_empty(self.schema), true, out)?;
            }
            Writer::Csv { .. } | Writer::Json => {}
            Writer::Parquet(mut writer) => {
                writer.finish()?;
                out.append(writer.inner_mut());
            }
        }
        Ok(self.rows)
    }
}

fn csv(batch: &RecordBatch, header: bool, out: &mut Vec<u8>) -> Result<()> {
    let batch = nested_as_json(batch)?;
    CsvBuilder::new()
        .with_header(header)
        .build(out)
        .write(&batch)?;
    Ok(())
}

fn json(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let mut writer = JsonBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(out);
    writer.write(batch)?;
    writer.finish()?;
    Ok(())
}

/// CSV knows no lists: nested columns become columns of JSON text.
fn nested_as_json(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut fields: Vec<FieldRef> = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            columns.push(json_texts(field, column)?);
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        } else {
            columns.push(Arc::clone(column));
            fields.push(Arc::clone(field));
        }
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

fn json_texts(field: &FieldRef, column: &ArrayRef) -> Result<ArrayRef> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(field, column, &options)?;
    let mut texts = StringBuilder::new();
    let mut cell = Vec::new();
    for row in 0..column.len() {
        if encoder.is_null(row) {
            texts.append_null();
            continue;
        }
        cell.clear();
        encoder.encode(row, &mut cell);
        let text = str::from_utf8(&cell).map_err(|e| {
            DataFusionError::from(ArrowError::CsvError(format!(
                "column {}: {e}",
                field.name()
            )))
        })?;
        texts.append_value(text);
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use arrow::array::{Array, AsArray, FixedSizeListArray, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::Float32Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn batch() -> RecordBatch {
        let vectors = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
            [
                Some(vec![Some(0.1), None]),
                None,
                Some(vec![Some(f32::NAN), Some(2.0)]),
            ],
            2,
        );
        RecordBatch::try_from_iter_with_nullable([
            (
                "tr",
                Arc::new(Int64Array::from(vec![0, 1, 2])) as ArrayRef,
                false,
            ),
            (
                "word",
                Arc::new(StringArray::from(vec![Some("a,b"), None, Some("c")])),
                true,
            ),
            (
                "x",
                Arc::new(Float64Array::from(vec![Some(0.1), None, Some(f64::NAN)])),
                true,
            ),
            ("vector", Arc::new(vectors), true),
        ])
        .unwrap()
    }

    fn printed(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut printer = Printer::new(format, batch().schema(), Layout::default()).unwrap();
        for batch in batches {
            printer.write(batch, &mut out).unwrap();
        }
        let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert_eq!(printer.finish(&mut out).unwrap(), rows);
        out
    }

    #[test]
    fn csv_has_one_header_and_vectors_as_json_text() {
        let text = String::from_utf8(printed(Format::Csv, &[batch(), batch()])).unwrap();
        let rows = "0,\"a,b\",0.1,\"[0.1,null]\"\n1,,,\n2,c,NaN,\"[null,2.0]\"\n";
        assert_eq!(text, format!("tr,word,x,vector\n{rows}{rows}"));
    }

    #[test]
    fn csv_of_no_rows_is_the_header() {
        assert_eq!(printed(Format::Csv, &[]), b"tr,word,x,vector\n");
    }

    #[test]
    fn json_is_one_object_per_line_with_all_keys() {
        let text = String::from_utf8(printed(Format::Json, &[batch()])).unwrap();
        assert_eq!(
            text,
            "{\"tr\":0,\"word\":\"a,b\",\"x\":0.1,\"vector\":[0.1,null]}\n\
             {\"tr\":1,\"word\":null,\"x\":null,\"vector\":null}\n\
             {\"tr\":2,\"word\":\"c\",\"x\":null,\"vector\":[null,2.0]}\n"
        );
    }

    #[test]
    fn parquet_is_a_whole_file_that_keeps_vectors() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&printed(Format::Parquet, &[batch(), batch()]))
            .unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 6);
        let vectors = batches[0].column(3).as_fixed_size_list();
        assert_eq!(vectors.value_length(), 2);
        assert!(vectors.is_null(1));
    }
}
