//! `read_video`: the pictures of a film and when each is shown.

mod ahead;
mod asked;
mod batches;
pub mod colour;
mod convert;
mod count;
mod decode;
mod external;
mod indexed;
pub mod lanczos;
pub mod paint;
mod paired;
mod rows;
mod run;
mod stream;
mod streamed;
pub mod wanted;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow_schema::extension::FixedShapeTensor;
use datafusion::common::{Result, plan_err};

use super::format::{BatchIterator, Description, FileScan, Format, Options, Parameter, file_error};
use batches::Batches;
use stream::Stream;
use wanted::{PARAMETERS, Wanted};

/// Video: H.264 in MP4, M4V, MOV and MKV files decoded in the process, all else by ffmpeg.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `frame_index` | Int64 | the row's number in the file, from 0 |
/// | `time` | Float64 | seconds from the start of the movie |
/// | `frame` | FixedSizeList<Float32, height × width × 3> | red, green, blue of each pixel, row by row, from 0 to 1 |
///
/// `frame` carries the extension type `arrow.fixed_shape_tensor` with the shape
/// `[height, width, 3]`, and `[height, width]` where `color` is 'grey'.
///
/// Without `fps` a row is a picture of the file at its own presentation time
/// (edit list applied, so 0 is where sound and subtitles have their 0 too).
/// With `fps` row k stands at k/fps and holds the picture that is on screen then:
/// the last one whose time is not later, before the first one the first. Rows end
/// with the last picture's duration. All of it is integer arithmetic: 29.97 is
/// 2997/100, and 30000/1001 is that fraction.
///
/// The picture's rotation is applied where it is a multiple of 90°; pixels are
/// taken as square. Colours are converted by the matrix and the range that the
/// stream names ([`colour::Colour`] has what holds when it names none); 10-bit
/// video gives 8-bit colours. RGB differs from the exact formula by 1/255 at
/// most, chroma repeated: ffmpeg's `-sws_flags accurate_rnd+full_chroma_int+neighbor`.
///
/// Pictures are decoded in the process only where `frame` is asked for; times are in the index.
/// With a condition on `time` or `frame_index`, or with `start` and `end`,
/// decoding begins at the last refresh before the first row and ends after the last.
///
/// Through ffmpeg rows come as they are decoded, and times alone need decoding too. In MP4 and Matroska
/// it begins at a refresh as well; the pictures before it are numbered, where `frame_index` is asked for
/// and rows are pictures, by the time stamps of the container, which are read from the start.
/// That is done for codings whose coded pictures are all shown. In all else decoding
/// begins with the first picture, as it does where ffmpeg's times are not those sought.
///
/// Groups of pictures that begin with a refresh (IDR) are decoded at the same time by as many threads as the scan
/// may use (`datafusion.execution.target_partitions` over the number of files, 8 at most); rows
/// and their order are the same. Decoded pictures wait as bytes: up to 64 MiB for each
/// thread and once more.
#[derive(Debug)]
pub struct Video;

impl Format for Video {
    fn function(&self) -> &'static str {
        "read_video"
    }

    fn stored_as(&self) -> &'static str {
        "VIDEO"
    }

    fn description(&self) -> &'static str {
        "Video: `frame_index` (the row's number in the file), `time` (seconds; the presentation time with edit lists \
         applied), and `frame`: RGB from 0 to 1 as height × width × 3 numbers (`arrow.fixed_shape_tensor`). With `fps`, \
         a row at every 1/fps seconds with the frame that is shown then; otherwise a row per frame of the file, whatever its rate.\n\n\
         H.264 (4:2:0 and 4:2:2, 8 and 10 bits) in MP4, MOV and MKV is decoded in the process. Everything else (H.265, VP9, AV1, MPEG-4, ProRes; \
         AVI, WebM, MPEG-TS, fragmented MP4) is decoded by `ffmpeg` where it and `ffprobe` are on the PATH, with the same rows and \
         times, and is an error that says so where they are not. \
         A condition on `time` or `frame_index`, or `start` and `end`, makes decoding begin at the last refresh before the first row. Through ffmpeg \
         that is so in MP4, MOV, MKV and WebM, where `frame_index` counts the coded pictures before it, damaged ones too; in other files, and for \
         `frame_index` of MPEG-4 and VP8, decoding begins at the first picture. Colours follow the matrix and range that the stream names; without \
         a name BT.601 and limited range, as ffmpeg, OpenCV and decord have it."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"]
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn bounded(&self) -> &'static [&'static str] {
        &["frame_index", "time"]
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let wanted = Wanted::new(options)?;
        let mut kept = Vec::with_capacity(files.len());
        let mut size: Option<(u32, u32)> = None;
        for path in files {
            if std::fs::metadata(&path).is_ok_and(|m| m.len() == 0) {
                log::warn!("{}: the file is empty; it is left out", path.display());
                continue;
            }
            let stream = Stream::open(&path, wanted.stream).map_err(|e| file_error(&path, e))?;
            let this = wanted.sides.size(stream.size);
            match (size, kept.first()) {
                (Some(first), Some(other)) if first != this => {
                    let other: &PathBuf = other;
                    return plan_err!(
                        "read_video: pictures of {} are {} x {}, those of {} are {} x {}; \
                         give width and height, such as width => {}, height => {}",
                        other.display(),
                        first.0,
                        first.1,
                        path.display(),
                        this.0,
                        this.1,
                        first.0,
                        first.1
                    );
                }
                _ => size = Some(this),
            }
            if stream.turns.is_none() {
                log::warn!(
                    "{}: the track's display matrix skews or mirrors the picture; it is not applied",
                    path.display()
                );
            }
            kept.push(path);
        }
        let Some((width, height)) = size else {
            return plan_err!("read_video: no video to read, every file given is empty");
        };
        let schema = Arc::new(Schema::new(vec![
            Field::new("frame_index", DataType::Int64, false),
            Field::new("time", DataType::Float64, false),
            frame_field(width, height, wanted.look.is_grey)?,
        ]));
        Ok(Description {
            schema,
            files: kept,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        Ok(Box::new(Batches::open(scan)?))
    }
}

/// The column `frame` of pictures of one size.
pub fn frame_field(width: u32, height: u32, is_grey: bool) -> Result<Field> {
    let mut shape = vec![height as usize, width as usize];
    let mut names = vec!["height".to_string(), "width".to_string()];
    if !is_grey {
        shape.push(3);
        names.push("channel".to_string());
    }
    let length = shape.iter().product::<usize>() as i32;
    let item = Arc::new(Field::new_list_field(DataType::Float32, false));
    let mut field = Field::new("frame", DataType::FixedSizeList(item, length), false);
    // Said, though it is the natural one: arrow-rs writes what is not said as null, which
    // neither it nor pyarrow reads.
    let order = (0..shape.len()).collect();
    let tensor = FixedShapeTensor::try_new(DataType::Float32, shape, Some(names), Some(order))?;
    field.try_with_extension_type(tensor)?;
    Ok(field)
}

#[cfg(test)]
mod films;
#[cfg(test)]
mod films_ahead;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod tests;
