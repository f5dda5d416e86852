//! `COPY (…) TO 'speech.wav' STORED AS WAV`: samples as sound.

mod columns;
mod settings;
mod sink;
mod sound;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::datasource::sink::DataSink;

use self::columns::Columns;
pub use self::settings::Settings;
use self::sink::SoundSink;
use super::format::OneFile;

impl OneFile for Settings {
    const NAME: &'static str = "wav";
    const ENDINGS: &'static [&'static str] = &[".wav"];
    const READ_BY: &'static str = "WAV files are read by read_audio('…')";

    fn parse(options: &HashMap<String, String>) -> Result<Self> {
        Settings::read(options)
    }

    fn sink(&self, target: PathBuf, schema: SchemaRef) -> Result<Arc<dyn DataSink>> {
        let columns = Columns::of(&target, &schema)?;
        Ok(Arc::new(SoundSink::new(target, schema, columns, *self)))
    }
}
