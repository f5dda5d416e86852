//! `read_subtitles`: SubRip, WebVTT and the text track of an MP4 as one row per cue.

mod captions;
mod markup;
mod text;
mod utf16;

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, exec_err, plan_err};

use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, ParameterKind, file_error,
    record_batch, until_error,
};
use super::mp4::is_movie;
use crate::access::scope;
use captions::Captions;
use text::{Cues, Syntax};
use utf16::Utf16;

/// Subtitles: what was said or shown as text, and when.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `subtitle` | Int64 | number of the cue in the file, from 1 |
/// | `onset` | Float64 | seconds from the start of the movie |
/// | `duration` | Float64 | seconds |
/// | `text` | Utf8 | without markup, lines joined by one space |
/// | `language` | Utf8 | of the text track, as the file has it, in three letters (ISO 639-2); NULL where it does not say, and for SRT and VTT |
///
/// The kind of file is told by its content: `WEBVTT` begins a WebVTT file, an MP4 or MOV
/// gives one of its text tracks (3GPP timed text, `tx3g`, or WebVTT, `wvtt`, with the edit list
/// applied), anything else is read as SubRip. Text is UTF-8, or UTF-16 with a byte
/// order mark. Cues stand in the order of
/// the file, overlapping ones too; those that a WebVTT track shows at once are one row.
#[derive(Debug)]
pub struct Subtitles;

const STREAM: Parameter = Parameter {
    name: "stream",
    kind: ParameterKind::Integer,
    default: "the first that can be read",
    description: "Which text track of an MP4, from 0 among its text tracks.",
};

/// Reads `stream`.
fn stream(options: &Options) -> Result<Option<usize>> {
    match options.integer(STREAM.name) {
        None => Ok(None),
        Some(stream) => match usize::try_from(stream) {
            Ok(stream) => Ok(Some(stream)),
            Err(_) => plan_err!("read_subtitles: stream must be 0 or more, not {stream}"),
        },
    }
}

/// The most rows in a batch, whatever its bytes.
const BATCH_ROWS: usize = 8_192;

impl Format for Subtitles {
    fn function(&self) -> &'static str {
        "read_subtitles"
    }

    fn stored_as(&self) -> &'static str {
        "SUBTITLES"
    }

    fn description(&self) -> &'static str {
        "Subtitles from SRT and WebVTT files and from the text tracks of an MP4: `subtitle` (1-based), `onset` and `duration` \
         in seconds, `text` without markup, on one line, and `language`, the text track's (NULL for SRT and WebVTT). Text files are \
         UTF-8, or UTF-16 with a byte order mark."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".srt", ".vtt"]
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[STREAM]
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let stream = stream(options)?;
        let mut kept = Vec::with_capacity(files.len());
        for path in files {
            if std::fs::metadata(&path).is_ok_and(|m| m.len() == 0) {
                log::warn!("{}: the file is empty; it is left out", path.display());
                continue;
            }
            Source::open(&path, stream).map_err(|e| file_error(&path, e))?;
            kept.push(path);
        }
        let schema = Arc::new(Schema::new(vec![
            Field::new("subtitle", DataType::Int64, false),
            Field::new("onset", DataType::Float64, false),
            Field::new("duration", DataType::Float64, false),
            Field::new("text", DataType::Utf8, false),
            Field::new("language", DataType::Utf8, true),
        ]));
        Ok(Description {
            schema,
            files: kept,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let mut batches = Batches {
            path: scan.path.clone(),
            source: Source::open(&scan.path, stream(&scan.options)?)
                .map_err(|e| file_error(&scan.path, e))?,
            schema: Arc::clone(&scan.schema),
            next: 1,
            left: scan.limit.unwrap_or(usize::MAX),
            batch_bytes: scan.batch_bytes,
        };
        Ok(until_error(move || batches.batch()))
    }
}

/// One subtitle.
#[derive(Debug, Clone, PartialEq)]
pub struct Cue {
    onset: f64,
    duration: f64,
    text: String,
}

/// Where cues come from, one by one.
enum Source {
    Text(Cues<Box<dyn Read + Send>>),
    Track(Captions),
}

impl Source {
    fn open(path: &Path, stream: Option<usize>) -> Result<Self, String> {
        let mut file = scope::open(path).map_err(|e| e.to_string())?;
        let mut start = Vec::new();
        file.by_ref()
            .take(12)
            .read_to_end(&mut start)
            .map_err(|e| e.to_string())?;
        if is_movie(&start) {
            return Ok(Self::Track(Captions::open(path, stream)?));
        }
        if let Some(stream) = stream.filter(|&stream| stream > 0) {
            return Err(format!(
                "there is no stream {stream}: a text file has one, which is 0"
            ));
        }
        let rest = |mark: usize| std::io::Cursor::new(start[mark..].to_vec()).chain(file);
        let mut whole: Box<dyn Read + Send> = match start[..] {
            [0xFF, 0xFE, ..] => Box::new(Utf16::new(rest(2), u16::from_le_bytes)),
            [0xFE, 0xFF, ..] => Box::new(Utf16::new(rest(2), u16::from_be_bytes)),
            [0xEF, 0xBB, 0xBF, ..] => Box::new(rest(3)),
            _ => Box::new(rest(0)),
        };
        let mut head = Vec::new();
        let magic = b"WEBVTT";
        (&mut whole)
            .take(magic.len() as u64)
            .read_to_end(&mut head)
            .map_err(|e| e.to_string())?;
        let syntax = match head == magic {
            true => Syntax::WebVtt,
            false => Syntax::SubRip,
        };
        let whole: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(head).chain(whole));
        Ok(Self::Text(Cues::new(BufReader::new(whole), syntax)))
    }
}

impl Source {
    /// The language that a text track names.
    fn language(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Track(captions) => captions.language(),
        }
    }
}

impl Iterator for Source {
    type Item = Result<Cue, String>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Text(cues) => cues.next(),
            Self::Track(captions) => captions.next(),
        }
    }
}

struct Batches {
    path: PathBuf,
    source: Source,
    schema: SchemaRef,
    /// The number of the next cue.
    next: i64,
    left: usize,
    batch_bytes: usize,
}

impl Batches {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut cues: Vec<Cue> = Vec::new();
        let mut bytes = 0;
        while cues.len() < BATCH_ROWS.min(self.left)
            && (cues.is_empty() || bytes < self.batch_bytes)
        {
            match self.source.next() {
                None => break,
                Some(cue) => cues.push(cue.map_err(|e| file_error(&self.path, e))?),
            }
            bytes += size_of::<Cue>() + cues.last().map_or(0, |c| c.text.len());
        }
        if cues.is_empty() {
            return Ok(None);
        }
        let rows = cues.len();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            columns.push(match field.name().as_str() {
                "subtitle" => Arc::new(Int64Array::from_iter_values(
                    self.next..self.next + rows as i64,
                )),
                "onset" => Arc::new(Float64Array::from_iter_values(cues.iter().map(|c| c.onset))),
                "duration" => Arc::new(Float64Array::from_iter_values(
                    cues.iter().map(|c| c.duration),
                )),
                "text" => Arc::new(StringArray::from_iter_values(cues.iter().map(|c| &c.text))),
                "language" => {
                    let language = self.source.language();
                    Arc::new(StringArray::from_iter(std::iter::repeat_n(language, rows)))
                }
                other => return exec_err!("read_subtitles has no column {other}"),
            });
        }
        self.next += rows as i64;
        self.left -= rows;
        Ok(Some(record_batch(&self.schema, columns, rows)?))
    }
}

#[cfg(test)]
mod tests;
