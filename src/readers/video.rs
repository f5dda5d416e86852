//! `read_video`: the pictures of an H.264 film and when each is shown.

mod decode;
mod rgb;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_schema::extension::FixedShapeTensor;
use datafusion::common::{Result, exec_err, plan_err};
use rust_h264::nal::{SpsInfo, parse_avcc_config, parse_sps_info};

use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, ParameterKind, file_error,
};
use super::mp4::{Movie, Sample, Timeline, Track, name};
use decode::{Pictures, guard};
use rgb::{Colour, Painter};

/// H.264 video in MP4, M4V and MOV files.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `frame_index` | Int64 | the row's number, from 0 |
/// | `time` | Float64 | seconds from the start of the movie |
/// | `frame` | FixedSizeList<Float32, height × width × 3> | red, green, blue of each pixel, row by row, from 0 to 1 |
///
/// `frame` carries the extension type `arrow.fixed_shape_tensor` with the shape
/// `[height, width, 3]`.
///
/// Without `fps` a row is a picture of the file at its own presentation time
/// (edit list applied, so 0 is where sound and subtitles have their 0 too).
/// With `fps` row k stands at k/fps and holds the picture that is on screen then:
/// the last one whose time is not later, before the first one the first. Rows end
/// with the last picture's duration. All of it is integer arithmetic: 29.97 is
/// 2997/100, and 30000/1001 is that fraction.
///
/// A file's first H.264 track is read. Its rotation is applied where it is a
/// multiple of 90°; pixels are taken as square. Colours are converted as the
/// stream says ([`Colour::new`] for what holds when it is silent); 10-bit video
/// gives 8-bit colours. `width` or `height` alone keeps the aspect ratio.
///
/// Pictures are decoded only where `frame` is asked for; times are in the index.
#[derive(Debug)]
pub struct Video;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "fps",
        kind: ParameterKind::Float,
        default: "every picture at its own time",
        description: "Rows per second, from 0.001 to 1000: row k holds the picture shown at k/fps.",
    },
    Parameter {
        name: "width",
        kind: ParameterKind::Integer,
        default: "as in the file",
        description: "Width of the pictures in pixels; alone it keeps the aspect ratio.",
    },
    Parameter {
        name: "height",
        kind: ParameterKind::Integer,
        default: "as in the file",
        description: "Height of the pictures in pixels; alone it keeps the aspect ratio.",
    },
];

/// The largest width and height; their product stays in a vector's range.
const MAX_SIDE: i64 = 16_384;

/// The largest picture of any level of H.264 (6.2): 139,264 macroblocks.
const MAX_PIXELS: u32 = 139_264 * 256;

/// Rows of a batch that holds no pictures.
const PLAIN_ROWS: usize = 8_192;

impl Format for Video {
    fn function(&self) -> &'static str {
        "read_video"
    }

    fn stored_as(&self) -> &'static str {
        "VIDEO"
    }

    fn description(&self) -> &'static str {
        "H.264 video in MP4 and MOV, decoded in the process: `frame_index`, `time` (seconds; the presentation time with \
         edit lists applied), and `frame`: RGB from 0 to 1 as height × width × 3 numbers (`arrow.fixed_shape_tensor`). With `fps`, \
         a row at every 1/fps seconds with the frame that is shown then; otherwise a row per frame of the file."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".mp4", ".m4v", ".mov"]
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
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
            let stream = Stream::open(&path).map_err(|e| file_error(&path, e))?;
            let this = wanted.size(stream.size);
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
            frame_field(width, height)?,
        ]));
        Ok(Description {
            schema,
            files: kept,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let fail = |message: String| file_error(&scan.path, message);
        let wanted = Wanted::new(&scan.options)?;
        let stream = Stream::open(&scan.path).map_err(fail)?;
        let (width, height) = wanted.size(stream.size);
        let mut row_bytes = 0;
        let mut frames = None;
        if let Ok(field) = scan.schema.field_with_name("frame") {
            let DataType::FixedSizeList(item, length) = field.data_type() else {
                return exec_err!("read_video: column frame has type {}", field.data_type());
            };
            if *length as i64 != i64::from(width) * i64::from(height) * 3 {
                return Err(fail(format!(
                    "its pictures are {width} x {height} now, which was not so when the query \
                     was planned; run it again"
                )));
            }
            row_bytes = *length as usize * size_of::<f32>();
            let turns = stream.turns.unwrap_or(0);
            frames = Some(Frames {
                item: Arc::clone(item),
                length: *length,
                pictures: Pictures::new(stream.movie, stream.samples, &stream.avcc)
                    .map_err(fail)?,
                painter: Painter::new(stream.colour, turns, width, height),
                painted: None,
                picture: Vec::new(),
            });
        }
        let rows = Rows::new(stream.timeline, wanted.fps);
        let batch_rows = match row_bytes {
            0 => PLAIN_ROWS,
            bytes => (scan.batch_bytes / bytes).max(1),
        };
        Ok(Box::new(Batches {
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            end: rows.count().min(scan.limit.unwrap_or(usize::MAX)),
            rows,
            next: 0,
            batch_rows,
            frames,
        }))
    }
}

fn frame_field(width: u32, height: u32) -> Result<Field> {
    let shape = [height as usize, width as usize, 3];
    let length = shape.iter().product::<usize>() as i32;
    let item = Arc::new(Field::new_list_field(DataType::Float32, false));
    let mut field = Field::new("frame", DataType::FixedSizeList(item, length), false);
    // Said, though it is the natural one: arrow-rs writes what is not said as null, which
    // neither it nor pyarrow reads.
    let order = vec![0, 1, 2];
    let names = ["height", "width", "channel"].map(String::from).to_vec();
    let tensor = FixedShapeTensor::try_new(DataType::Float32, shape, Some(names), Some(order))?;
    field.try_with_extension_type(tensor)?;
    Ok(field)
}

/// The call's arguments, checked.
struct Wanted {
    /// Rows per second as a fraction.
    fps: Option<(i128, i128)>,
    width: Option<u32>,
    height: Option<u32>,
}

impl Wanted {
    fn new(options: &Options) -> Result<Self> {
        let fps = match options.float("fps") {
            None => None,
            Some(fps) if (0.001..=1000.0).contains(&fps) => Some(fraction(fps)),
            Some(fps) => {
                return plan_err!(
                    "read_video: fps => {fps} is not a frame rate; give one from 0.001 to 1000, \
                     such as fps => 25"
                );
            }
        };
        let side = |name: &str| match options.integer(name) {
            None => Ok(None),
            Some(side) if (1..=MAX_SIDE).contains(&side) => Ok(Some(side as u32)),
            Some(side) => plan_err!(
                "read_video: {name} => {side} is not a picture's size; \
                 give one from 1 to {MAX_SIDE} pixels"
            ),
        };
        Ok(Self {
            fps,
            width: side("width")?,
            height: side("height")?,
        })
    }

    /// Width and height of the result for pictures stored with `natural` ones.
    fn size(&self, natural: (u32, u32)) -> (u32, u32) {
        let scale = |side: u32, from: u32, to: u32| {
            let scaled = (u64::from(side) * u64::from(to) + u64::from(from) / 2) / u64::from(from);
            scaled.clamp(1, MAX_SIDE as u64) as u32
        };
        match (self.width, self.height) {
            (Some(width), Some(height)) => (width, height),
            (Some(width), None) => (width, scale(width, natural.0, natural.1)),
            (None, Some(height)) => (scale(height, natural.1, natural.0), height),
            (None, None) => natural,
        }
    }
}

/// The simplest fraction that is this number in 64-bit floating point:
/// 2997/100 for 29.97, 30000/1001 for 30000.0/1001. `x` is in 0.001..=1000.
fn fraction(x: f64) -> (i128, i128) {
    // In this range the number is an integer of 2^-62, so what follows is exact.
    let one = 1i128 << 62;
    let (mut a, mut b) = ((x * one as f64) as i128, one);
    let (mut numerator, mut denominator) = ((0, 1), (1, 0));
    while b != 0 {
        let whole = a / b;
        numerator = (numerator.1, whole * numerator.1 + numerator.0);
        denominator = (denominator.1, whole * denominator.1 + denominator.0);
        if numerator.1 as f64 / denominator.1 as f64 == x {
            break;
        }
        (a, b) = (b, a % b);
    }
    (numerator.1, denominator.1)
}

/// A file's video track, ready to be decoded.
struct Stream {
    movie: Movie,
    samples: Vec<Sample>,
    timeline: Timeline,
    avcc: Vec<u8>,
    colour: Colour,
    /// Clockwise quarter turns for showing; `None` if the matrix is no such turn.
    turns: Option<u8>,
    /// Width and height as shown: cropping and rotation applied.
    size: (u32, u32),
}

/// The bytes of a video sample description before its boxes.
const VISUAL_FIELDS: usize = 78;

impl Stream {
    fn open(path: &Path) -> Result<Self, String> {
        let movie = Movie::open(path)?;
        let track = h264_track(&movie)?;
        let avcc = track
            .description_box(VISUAL_FIELDS, b"avcC")?
            .ok_or("its H.264 track has no decoder configuration (avcC box)")?
            .to_vec();
        let info = match parse_avcc_config(&avcc)?.sps_nals.first() {
            Some(nal) => Some(guard(|| {
                parse_sps_info(nal).map_err(|e| format!("its H.264 parameters are damaged: {e}"))
            })?),
            None => None, // avc3: they stand in the stream
        };
        let (width, height) = stored_size(track, info.as_ref())?;
        let turns = quarter_turns(track.matrix);
        let size = match turns {
            Some(1 | 3) => (height, width),
            _ => (width, height),
        };
        let colour = Colour::new(info.as_ref(), height);
        let samples = movie.samples(track)?;
        let timeline = movie.timeline(track, &samples)?;
        let cut = |s: &Sample| s.offset.saturating_add(u64::from(s.size)) > movie.length();
        if let Some(first) = timeline
            .shown
            .iter()
            .find(|shown| cut(&samples[shown.sample]))
        {
            return Err(format!(
                "the file is cut off: it ends at byte {}, and its pictures from {} s on lie \
                 behind that; get the file again, or save what is there with \
                 `ffmpeg -i in.mp4 out.mp4`",
                movie.length(),
                timeline.seconds(first.start)
            ));
        }
        Ok(Self {
            movie,
            samples,
            timeline,
            avcc,
            colour,
            turns,
            size,
        })
    }
}

fn h264_track(movie: &Movie) -> Result<&Track, String> {
    let mut videos = movie
        .tracks
        .iter()
        .filter(|t| &t.handler == b"vide")
        .peekable();
    let Some(first) = videos.peek() else {
        let others: Vec<_> = movie.tracks.iter().map(|t| name(&t.codec)).collect();
        return Err(match others.is_empty() {
            true => "it has no video track, and no other".to_string(),
            false => format!(
                "it has no video track; its tracks are {}",
                others.join(", ")
            ),
        });
    };
    let codec = first.codec;
    videos
        .find(|t| matches!(&t.codec, b"avc1" | b"avc3"))
        .ok_or_else(|| {
            let known = match &codec {
                b"hvc1" | b"hev1" => " (H.265)",
                b"av01" => " (AV1)",
                b"vp08" | b"vp09" => " (VP8 or VP9)",
                b"mp4v" => " (MPEG-4 part 2)",
                b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" => " (ProRes)",
                b"encv" => " (encrypted)",
                _ => "",
            };
            format!(
                "its video is coded as {}{known}, and only H.264 ('avc1') is decoded; \
             `ffmpeg -i in.mp4 -c:v libx264 -pix_fmt yuv420p out.mp4` converts it",
                name(&codec)
            )
        })
}

/// Width and height of the decoded pictures, cropping applied.
fn stored_size(track: &Track, info: Option<&SpsInfo>) -> Result<(u32, u32), String> {
    let (width, height) = match (info, track.description.get(24..28)) {
        (Some(info), _) => (info.width, info.height),
        (None, Some(s)) => {
            let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
            (side(s[0], s[1]), side(s[2], s[3]))
        }
        (None, None) => (0, 0),
    };
    let sides = 1..=MAX_SIDE as u32;
    match sides.contains(&width) && sides.contains(&height) && width * height <= MAX_PIXELS {
        true => Ok((width, height)),
        false => Err(format!(
            "its pictures claim to be {width} x {height}, a size that H.264 does not have; \
             the file is damaged"
        )),
    }
}

fn quarter_turns(matrix: [i32; 4]) -> Option<u8> {
    match matrix.map(|element| element as f64 / 65536.0) {
        [a, 0.0, 0.0, d] if a > 0.0 && d > 0.0 => Some(0),
        [0.0, b, c, 0.0] if b > 0.0 && c < 0.0 => Some(1),
        [a, 0.0, 0.0, d] if a < 0.0 && d < 0.0 => Some(2),
        [0.0, b, c, 0.0] if b < 0.0 && c > 0.0 => Some(3),
        _ => None,
    }
}

/// Which picture each row holds, and at what time.
struct Rows {
    timeline: Timeline,
    fps: Option<(i128, i128)>,
    /// Where the last row asked for stands in `timeline.shown`.
    at: usize,
}

impl Rows {
    fn new(timeline: Timeline, fps: Option<(i128, i128)>) -> Self {
        Self {
            timeline,
            fps,
            at: 0,
        }
    }

    fn count(&self) -> usize {
        let Timeline {
            shown,
            ticks_per_second,
        } = &self.timeline;
        match (self.fps, shown.last()) {
            (None, _) => shown.len(),
            (Some(_), None) => 0,
            (Some((frames, seconds)), Some(last)) => {
                // Every k with k·seconds/frames < end.
                let per_row = i128::from(*ticks_per_second) * seconds;
                let rows = (i128::from(last.end) * frames + per_row - 1) / per_row;
                usize::try_from(rows.max(0)).unwrap_or(usize::MAX)
            }
        }
    }

    fn time(&self, row: usize) -> f64 {
        match self.fps {
            None => self.timeline.seconds(self.timeline.shown[row].start),
            Some((frames, seconds)) => (row as i128 * seconds) as f64 / frames as f64,
        }
    }

    /// The sample of a row; rows are asked for in order.
    fn sample(&mut self, row: usize) -> usize {
        let Timeline {
            shown,
            ticks_per_second,
        } = &self.timeline;
        match self.fps {
            None => self.at = row,
            Some((frames, seconds)) => {
                let now = row as i128 * seconds * i128::from(*ticks_per_second);
                while shown
                    .get(self.at + 1)
                    .is_some_and(|next| i128::from(next.start) * frames <= now)
                {
                    self.at += 1;
                }
            }
        }
        shown[self.at].sample
    }
}

/// The column `frame` in the making.
struct Frames {
    item: FieldRef,
    length: i32,
    pictures: Pictures,
    painter: Painter,
    /// The sample that `picture` shows.
    painted: Option<usize>,
    picture: Vec<f32>,
}

impl Frames {
    fn append(&mut self, sample: usize, values: &mut Vec<f32>) -> Result<(), String> {
        if self.painted != Some(sample) {
            self.painted = None;
            self.picture.clear();
            let frame = self.pictures.picture(sample)?;
            self.painter.paint(frame, &mut self.picture)?;
            self.painted = Some(sample);
        }
        values.extend_from_slice(&self.picture);
        Ok(())
    }
}

struct Batches {
    path: PathBuf,
    schema: SchemaRef,
    rows: Rows,
    next: usize,
    end: usize,
    batch_rows: usize,
    frames: Option<Frames>,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let from = self.next;
        let to = from.saturating_add(self.batch_rows).min(self.end);
        self.next = to;
        let batch = self.batch(from, to);
        if batch.is_err() {
            self.next = self.end;
        }
        Some(batch)
    }
}

impl Batches {
    fn batch(&mut self, from: usize, to: usize) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for field in Arc::clone(&self.schema).fields() {
            columns.push(match field.name().as_str() {
                "frame_index" => Arc::new(Int64Array::from_iter_values(
                    (from..to).map(|row| row as i64),
                )),
                "time" => Arc::new(Float64Array::from_iter_values(
                    (from..to).map(|row| self.rows.time(row)),
                )),
                "frame" => self.frame_column(from, to)?,
                other => return exec_err!("read_video has no column {other}"),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(to - from));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }

    fn frame_column(&mut self, from: usize, to: usize) -> Result<ArrayRef> {
        let Some(frames) = &mut self.frames else {
            return exec_err!("read_video: column frame was not planned");
        };
        let mut values = Vec::with_capacity((to - from) * frames.length as usize);
        for row in from..to {
            let sample = self.rows.sample(row);
            if let Err(message) = frames.append(sample, &mut values) {
                let time = self.rows.time(row);
                return Err(file_error(
                    &self.path,
                    format!("picture at {time} s: {message}"),
                ));
            }
        }
        let values = Arc::new(Float32Array::from(values));
        let item = Arc::clone(&frames.item);
        Ok(Arc::new(FixedSizeListArray::try_new(
            item,
            frames.length,
            values,
            None,
        )?))
    }
}

#[cfg(test)]
mod tests;
