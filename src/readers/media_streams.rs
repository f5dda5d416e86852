//! `media_streams`: what there is to see and to hear in a file.

mod find;
mod names;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::Result;

use super::audio::{container, waveform};
use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, file_error, record_batch,
};
use find::{Stream, streams};

/// The streams of media files, a row each, from the headers.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `stream` | Int32 | the stream's number in the file, from 0, as ffprobe counts |
/// | `kind` | Utf8 | video, audio, subtitle or data |
/// | `number` | Int32 | the number among the streams of its kind, from 0: the `stream` of `read_audio` |
/// | `codec` | Utf8 | the coding, named as ffprobe names it |
/// | `language` | Utf8 | as the file has it, mostly three letters (ISO 639-2) |
/// | `title` | Utf8 | Matroska's name of the stream |
/// | `is_default` | Boolean | whether it is flagged as the one to play |
/// | `start_time` | Float64 | seconds from the start of the file to its first sample or picture |
/// | `duration` | Float64 | seconds that it lasts; in Matroska, the file |
/// | `sample_rate`, `channels` | Int32 | of sound |
/// | `width`, `height` | Int32 | of pictures, in pixels |
/// | `frame_rate` | Float64 | pictures per second, on average |
/// | `frames` | Int64 | the number of pictures |
///
/// What the headers do not say is null.
#[derive(Debug)]
pub struct MediaStreams;

impl Format for MediaStreams {
    fn function(&self) -> &'static str {
        "media_streams"
    }

    fn stored_as(&self) -> &'static str {
        "MEDIA_STREAMS"
    }

    fn description(&self) -> &'static str {
        "What there is to see and hear in WAV, FLAC, MP3, Ogg, MP4, MOV, Matroska and WebM files, a row per stream, from \
         the headers: `stream` (its number in the file, from 0), `kind` (video, audio, subtitle or data), `number` (among \
         those of its kind: the `stream` of `read_audio`), `codec`, `language`, `title`, `is_default`, `start_time` and \
         `duration` in seconds, `sample_rate` and `channels` of sound, `width`, `height`, `frame_rate` (on average) and \
         `frames` of pictures. What the headers do not say is null; the duration is the file's in Matroska."
    }

    fn extensions(&self) -> &'static [&'static str] {
        container::EXTENSIONS
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn describe(&self, files: Vec<PathBuf>, _options: &Options) -> Result<Description> {
        let files = files.into_iter().filter(|path| !waveform::is_empty(path));
        let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
        let schema = Schema::new(vec![
            field("stream", DataType::Int32, false),
            field("kind", DataType::Utf8, false),
            field("number", DataType::Int32, false),
            field("codec", DataType::Utf8, true),
            field("language", DataType::Utf8, true),
            field("title", DataType::Utf8, true),
            field("is_default", DataType::Boolean, false),
            field("start_time", DataType::Float64, true),
            field("duration", DataType::Float64, true),
            field("sample_rate", DataType::Int32, true),
            field("channels", DataType::Int32, true),
            field("width", DataType::Int32, true),
            field("height", DataType::Int32, true),
            field("frame_rate", DataType::Float64, true),
            field("frames", DataType::Int64, true),
        ]);
        Ok(Description {
            schema: Arc::new(schema),
            files: files.collect(),
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let found = streams(&scan.path).map_err(|e| file_error(&scan.path, e))?;
        Ok(Box::new(std::iter::once(batch(scan, &found))))
    }
}

fn batch(scan: &FileScan, streams: &[Stream]) -> Result<RecordBatch> {
    let rows = streams.len().min(scan.limit.unwrap_or(usize::MAX));
    let texts = |get: &dyn Fn(&Stream) -> Option<String>| -> ArrayRef {
        Arc::new(streams[..rows].iter().map(get).collect::<StringArray>())
    };
    let integers = |get: &dyn Fn(&Stream) -> Option<i32>| -> ArrayRef {
        Arc::new(streams[..rows].iter().map(get).collect::<Int32Array>())
    };
    let floats = |get: &dyn Fn(&Stream) -> Option<f64>| -> ArrayRef {
        Arc::new(streams[..rows].iter().map(get).collect::<Float64Array>())
    };
    let before = |i: usize| {
        streams[..i]
            .iter()
            .filter(move |s| s.kind == streams[i].kind)
    };
    let columns = scan
        .schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "stream" => Arc::new(Int32Array::from_iter_values(0..rows as i32)) as ArrayRef,
            "kind" => texts(&|s| Some(s.kind.to_owned())),
            "number" => {
                let numbers = (0..rows).map(|i| before(i).count() as i32);
                Arc::new(Int32Array::from_iter_values(numbers))
            }
            "codec" => texts(&|s| s.codec.clone()),
            "language" => texts(&|s| s.language.clone()),
            "title" => texts(&|s| s.title.clone()),
            "is_default" => {
                let flags: Vec<bool> = streams[..rows].iter().map(|s| s.is_default).collect();
                Arc::new(BooleanArray::from(flags))
            }
            "start_time" => floats(&|s| s.start_time),
            "duration" => floats(&|s| s.duration),
            "sample_rate" => integers(&|s| s.sample_rate),
            "channels" => integers(&|s| s.channels),
            "width" => integers(&|s| s.width),
            "height" => integers(&|s| s.height),
            "frame_rate" => floats(&|s| s.frame_rate),
            _ => Arc::new(
                streams[..rows]
                    .iter()
                    .map(|s| s.frames)
                    .collect::<Int64Array>(),
            ),
        });
    let columns = columns.collect();
    record_batch(&scan.schema, columns, rows)
}

#[cfg(test)]
mod tests;
