//! `read_subtitles`: SubRip, WebVTT and the text track of an MP4 as one row per cue.

mod markup;
mod text;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, exec_err};

use super::format::{BatchIterator, Description, FileScan, Format, Options, Parameter, file_error};
use super::mp4::{Movie, Sample, Timeline, Track, is_movie, name};
use text::{Cues, Syntax};

/// Subtitles: what was said or shown as text, and when.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `subtitle` | Int64 | number of the cue in the file, from 1 |
/// | `onset` | Float64 | seconds from the start of the movie |
/// | `duration` | Float64 | seconds |
/// | `text` | Utf8 | without markup, lines joined by one space |
///
/// The kind of file is told by its content: `WEBVTT` begins a WebVTT file, an MP4 or MOV
/// gives its first text track (3GPP timed text, `tx3g`, with the edit list
/// applied), anything else is read as SubRip. Text must be UTF-8. Cues stand in the order of
/// the file, overlapping ones too.
#[derive(Debug)]
pub struct Subtitles;

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
        "Subtitles from SRT and WebVTT files and from the text track of an MP4: `subtitle` (1-based), `onset` and `duration` \
         in seconds, and `text` without markup, on one line."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".srt", ".vtt"]
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn describe(&self, files: Vec<PathBuf>, _options: &Options) -> Result<Description> {
        let mut kept = Vec::with_capacity(files.len());
        for path in files {
            if std::fs::metadata(&path).is_ok_and(|m| m.len() == 0) {
                log::warn!("{}: the file is empty; it is left out", path.display());
                continue;
            }
            Source::open(&path).map_err(|e| file_error(&path, e))?;
            kept.push(path);
        }
        let schema = Arc::new(Schema::new(vec![
            Field::new("subtitle", DataType::Int64, false),
            Field::new("onset", DataType::Float64, false),
            Field::new("duration", DataType::Float64, false),
            Field::new("text", DataType::Utf8, false),
        ]));
        Ok(Description {
            schema,
            files: kept,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        Ok(Box::new(Batches {
            path: scan.path.clone(),
            source: Source::open(&scan.path).map_err(|e| file_error(&scan.path, e))?,
            schema: Arc::clone(&scan.schema),
            next: 1,
            left: scan.limit.unwrap_or(usize::MAX),
            batch_bytes: scan.batch_bytes,
        }))
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
    fn open(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|e| e.to_string())?;
        let mut start = Vec::new();
        file.by_ref()
            .take(12)
            .read_to_end(&mut start)
            .map_err(|e| e.to_string())?;
        if is_movie(&start) {
            return Ok(Self::Track(Captions::open(path)?));
        }
        if start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF") {
            return Err(
                "it is UTF-16 text; `iconv -f UTF-16 -t UTF-8 a.srt > b.srt` converts it"
                    .to_string(),
            );
        }
        let start = match start.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) => rest.to_vec(),
            None => start,
        };
        let syntax = match start.starts_with(b"WEBVTT") {
            true => Syntax::WebVtt,
            false => Syntax::SubRip,
        };
        let whole: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(start).chain(file));
        Ok(Self::Text(Cues::new(BufReader::new(whole), syntax)))
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

/// The cues of an MP4's text track.
struct Captions {
    movie: Movie,
    samples: Vec<Sample>,
    timeline: Timeline,
    next: usize,
    buffer: Vec<u8>,
}

impl Captions {
    fn open(path: &Path) -> Result<Self, String> {
        let movie = Movie::open(path)?;
        let track = text_track(&movie)?;
        let samples = movie.samples(track)?;
        let timeline = movie.timeline(track, &samples)?;
        Ok(Self {
            movie,
            samples,
            timeline,
            next: 0,
            buffer: Vec::new(),
        })
    }
}

impl Iterator for Captions {
    type Item = Result<Cue, String>;

    fn next(&mut self) -> Option<Self::Item> {
        // Samples follow each other without a gap: silence is a sample without text.
        while let Some(shown) = self.timeline.shown.get(self.next).copied() {
            self.next += 1;
            let onset = self.timeline.seconds(shown.start);
            let text = self
                .movie
                .read(&self.samples[shown.sample], &mut self.buffer)
                .and_then(|()| timed_text(&self.buffer))
                .map_err(|e| format!("subtitle at {onset} s: {e}"));
            match text {
                Err(e) => return Some(Err(e)),
                Ok(text) => {
                    let text = markup::plain(&text);
                    if !text.is_empty() {
                        let duration = self.timeline.seconds(shown.end - shown.start);
                        return Some(Ok(Cue {
                            onset,
                            duration,
                            text,
                        }));
                    }
                }
            }
        }
        None
    }
}

fn text_track(movie: &Movie) -> Result<&Track, String> {
    let texts = |t: &&Track| matches!(&t.handler, b"sbtl" | b"text" | b"subt" | b"clcp");
    let Some(first) = movie.tracks.iter().find(texts) else {
        let others: Vec<_> = movie.tracks.iter().map(|t| name(&t.codec)).collect();
        return Err(format!(
            "it has no subtitle track; its tracks are {}",
            others.join(", ")
        ));
    };
    let readable = |t: &&Track| texts(t) && matches!(&t.codec, b"tx3g" | b"text");
    movie.tracks.iter().find(readable).ok_or_else(|| {
        format!(
            "its subtitles are coded as {}, and only 'tx3g' is read; \
             `ffmpeg -i in.mp4 -map 0:s:0 out.srt` converts them",
            name(&first.codec)
        )
    })
}

/// The text of one `tx3g` sample: a length, the text, and boxes about style.
fn timed_text(sample: &[u8]) -> Result<String, String> {
    let text = match sample {
        [] => &[],
        [high, low, rest @ ..] => rest
            .get(..u16::from_be_bytes([*high, *low]) as usize)
            .ok_or("it claims more text than it holds")?,
        [_] => return Err("it is one byte long".to_string()),
    };
    match text {
        [0xFE, 0xFF, utf16 @ ..] => {
            let units = utf16
                .chunks_exact(2)
                .map(|b| u16::from_be_bytes([b[0], b[1]]));
            char::decode_utf16(units)
                .collect::<Result<_, _>>()
                .map_err(|_| "its text is not UTF-16".to_string())
        }
        _ => String::from_utf8(text.to_vec()).map_err(|_| "its text is not UTF-8".to_string()),
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

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            self.left = 0;
        }
        batch.transpose()
    }
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
                other => return exec_err!("read_subtitles has no column {other}"),
            });
        }
        self.next += rows as i64;
        self.left -= rows;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?))
    }
}

#[cfg(test)]
mod tests;
