//! What the columns of a query are: samples, their time, and their rate.

use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, plan_err};
use voxql_udfs::vectors::{SAMPLE_RATE_METADATA, element_type};

use crate::readers::audio::SAMPLE_RATES;

/// The columns that are written, by their places in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    pub samples: Samples,
    /// Seconds at a row's first sample.
    pub time: Option<usize>,
    /// Samples per second, the same in all rows.
    pub sample_rate: Option<usize>,
    /// The rate that the field of the samples says.
    pub usual_rate: Option<u32>,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Samples {
    /// A stretch of sound.
    Stretches(usize),
    /// One sample.
    Single(usize),
}

impl Samples {
    pub fn column(self) -> usize {
        match self {
            Self::Stretches(at) | Self::Single(at) => at,
        }
    }
}

impl Columns {
    /// Errors, which name `target`, where no column is sound, or several are.
    pub fn of(target: &Path, schema: &Schema) -> Result<Self> {
        let samples = match samples(schema) {
            Ok(samples) => samples,
            Err(message) => return plan_err!("COPY TO '{}': {message}", target.display()),
        };
        let numeric = |name: &str| {
            let at = schema.index_of(name).ok()?;
            schema.field(at).data_type().is_numeric().then_some(at)
        };
        let metadata = schema.field(samples.column()).metadata();
        let usual = metadata.get(SAMPLE_RATE_METADATA);
        Ok(Columns {
            samples,
            time: numeric("time"),
            sample_rate: numeric("sample_rate"),
            usual_rate: usual
                .and_then(|rate| rate.parse().ok())
                .filter(|rate| SAMPLE_RATES.contains(rate)),
        })
    }
}

fn samples(schema: &Schema) -> Result<Samples, String> {
    let fields = schema.fields();
    let lists: Vec<usize> = (0..fields.len())
        .filter(|&at| element_type(fields[at].data_type()).is_some_and(DataType::is_numeric))
        .collect();
    let named = |name: &str| schema.index_of(name).ok();
    if let Some(at) = named("samples").filter(|at| lists.contains(at)) {
        return Ok(Samples::Stretches(at));
    }
    if let Some(at) = named("sample").filter(|&at| fields[at].data_type().is_numeric()) {
        return Ok(Samples::Single(at));
    }
    match lists[..] {
        [at] => Ok(Samples::Stretches(at)),
        _ => {
            let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
            Err(format!(
                "a sound has a column `samples` of lists of numbers from -1 to 1, as read_audio gives \
                 them, or a column `sample` of single ones, but the query has {}; rename the column \
                 with AS samples",
                names.join(", ")
            ))
        }
    }
}
