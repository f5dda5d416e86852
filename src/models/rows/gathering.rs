//! Rows as they come, in any order.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef, ToByteSlice};
use arrow::row::{OwnedRow, RowConverter};
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::spill_file::{SpillFile, SpillWriter};
use voxql_udfs::vectors::Vectors;

use super::columns::{Columns, Element, Vector};
use super::{Rows, Subject, Times};

pub struct Gathering {
    columns: Columns,
    names: Arc<[String]>,
    converter: RowConverter,
    subjects: BTreeMap<String, Unsorted>,
    file: Arc<dyn SpillFile>,
    writer: BufWriter<Box<dyn SpillWriter>>,
    written: u64,
    memory: MemoryReservation,
}

#[derive(Default)]
struct Unsorted {
    widths: Vec<usize>,
    times: Vec<OwnedRow>,
    offsets: Vec<u64>,
}

/// The values of one vector column in a batch.
enum Values {
    F32(Vectors<Float32Type>),
    F64(Vectors<Float64Type>),
}

impl Gathering {
    pub fn new(
        schema: &SchemaRef,
        columns: Columns,
        file: Arc<dyn SpillFile>,
        memory: MemoryReservation,
    ) -> Result<Self> {
        let names = columns.time.iter().map(|&i| schema.field(i).name().clone());
        Ok(Self {
            names: names.collect(),
            converter: RowConverter::new(columns.time_fields(schema))?,
            subjects: BTreeMap::new(),
            // For short vectors: long ones pass by it.
            writer: BufWriter::with_capacity(1 << 16, file.open_writer()?),
            file,
            written: 0,
            columns,
            memory,
        })
    }

    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let subjects = self.subjects(batch)?;
        let vectors = self.columns.vectors.iter();
        let vectors: Vec<_> = vectors
            .map(|vector| Values::of(vector, batch))
            .collect::<Result<_>>()?;
        let times = self.converter.convert_columns(&self.columns.times(batch))?;
        for i in 0..batch.num_rows() {
            let at = || self.columns.label(batch, i);
            let name = match &subjects {
                None => "",
                Some(names) if names.is_valid(i) => names.value(i),
                Some(_) => return exec_err!("CREATE MODEL: the subject is NULL at {}", at()?),
            };
            let subject = match self.subjects.get_mut(name) {
                Some(subject) => subject,
                None => self.subjects.entry(name.to_string()).or_default(),
            };
            let offset = self.written;
            for (column, (vector, values)) in self.columns.vectors.iter().zip(&vectors).enumerate()
            {
                let whose = || whose(batch, vector, name);
                let width = match values.check(i) {
                    Ok(width) => width,
                    Err(Problem::Null) => {
                        return exec_err!("CREATE MODEL: {} is NULL at {}", whose(), at()?);
                    }
                    Err(Problem::NotFinite(element, value)) => {
                        return exec_err!(
                            "CREATE MODEL: {} has {value} at {}, element {element}; \
                             leave such voxels or TRs out",
                            whose(),
                            at()?
                        );
                    }
                };
                match subject.widths.get(column) {
                    None => subject.widths.push(width),
                    Some(before) if *before != width => {
                        return exec_err!(
                            "CREATE MODEL: {} has {width} elements at {} and {before} before; \
                             one subject is one mask",
                            whose(),
                            at()?
                        );
                    }
                    Some(_) => {}
                }
                self.written += values.write(i, &mut self.writer)? as u64;
            }
            let time = times.row(i).owned();
            self.memory
                .try_grow(std::mem::size_of::<OwnedRow>() + time.as_ref().len() + 16)?;
            subject.times.push(time);
            subject.offsets.push(offset);
        }
        Ok(())
    }

    fn subjects(&self, batch: &RecordBatch) -> Result<Option<StringArray>> {
        let Some(at) = self.columns.subject else {
            return Ok(None);
        };
        let names = cast(batch.column(at), &DataType::Utf8)?;
        Ok(Some(names.as_string::<i32>().clone()))
    }

    pub fn finish(mut self, schema: SchemaRef) -> Result<Rows> {
        self.writer.flush()?;
        match self.writer.into_inner() {
            Ok(mut writer) => writer.finish()?,
            Err(error) => return Err(error.into_error().into()),
        }
        let converter = Arc::new(self.converter);
        let mut subjects = Vec::with_capacity(self.subjects.len());
        for (name, unsorted) in self.subjects {
            let times = |rows| Times {
                names: Arc::clone(&self.names),
                converter: Arc::clone(&converter),
                rows,
            };
            subjects.push(unsorted.sorted(name, times)?);
        }
        Ok(Rows {
            schema,
            columns: self.columns,
            subjects,
            memory: self.memory,
            file: self.file,
            given_up: Arc::default(),
        })
    }
}

impl Unsorted {
    fn sorted(self, name: String, times: impl FnOnce(Vec<OwnedRow>) -> Times) -> Result<Subject> {
        let mut rows: Vec<_> = self.times.into_iter().zip(self.offsets).collect();
        rows.sort_unstable();
        let (rows, offsets): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let subject = Subject {
            name,
            widths: self.widths,
            times: times(rows),
            offsets,
        };
        let mut pairs = subject.times.rows.windows(2);
        match pairs.position(|pair| pair[0] == pair[1]) {
            None => Ok(subject),
            Some(i) => exec_err!(
                "CREATE MODEL: {} has {} twice; select what tells these rows apart (run, task) too",
                subject.title(),
                subject.times.label(i)?
            ),
        }
    }
}

fn whose(batch: &RecordBatch, vector: &Vector, subject: &str) -> String {
    let column = batch.schema().field(vector.at).name().clone();
    match subject {
        "" => column,
        subject => format!("{column} of subject {subject}"),
    }
}

/// What is wrong with a vector.
enum Problem {
    Null,
    /// Its place and what is there.
    NotFinite(usize, f64),
}

impl Values {
    fn of(vector: &Vector, batch: &RecordBatch) -> Result<Self> {
        let column = batch.column(vector.at);
        Ok(match vector.element {
            Element::F32 => {
                Self::F32(Vectors::try_new("CREATE MODEL", column)?.fill_missing(f32::NAN))
            }
            Element::F64 => {
                Self::F64(Vectors::try_new("CREATE MODEL", column)?.fill_missing(f64::NAN))
            }
        })
    }

    /// The length of row `i`, if all is well with it.
    fn check(&self, i: usize) -> Result<usize, Problem> {
        match self {
            Self::F32(vectors) => check(vectors.row(i)),
            Self::F64(vectors) => check(vectors.row(i)),
        }
    }

    fn write(&self, i: usize, writer: &mut impl Write) -> Result<usize> {
        match self {
            Self::F32(vectors) => write(vectors, i, writer),
            Self::F64(vectors) => write(vectors, i, writer),
        }
    }
}

fn check<T: Copy + Into<f64>>(row: Option<&[T]>) -> Result<usize, Problem> {
    let Some(row) = row else {
        return Err(Problem::Null);
    };
    // A block at a time without a branch: all values of a whole brain are looked at.
    let finite = |block: &[T]| {
        block
            .iter()
            .fold(true, |all, v| all & (*v).into().is_finite())
    };
    if row.chunks(256).all(finite) {
        return Ok(row.len());
    }
    let values = row.iter().map(|v| (*v).into());
    match values
        .enumerate()
        .find(|(_, v): &(usize, f64)| !v.is_finite())
    {
        Some((i, value)) => Err(Problem::NotFinite(i, value)),
        None => Ok(row.len()),
    }
}

fn write<T: ArrowPrimitiveType>(
    vectors: &Vectors<T>,
    i: usize,
    writer: &mut impl Write,
) -> Result<usize> {
    let bytes = vectors.row(i).map_or(&[][..], |row| row.to_byte_slice());
    writer.write_all(bytes)?;
    Ok(bytes.len())
}
