//! `read_images`: pictures from files, a row for each.

use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, exec_err, plan_err};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::files::leave_out_empty;
use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, file_error, record_batch,
};
use super::vectors::vectors;
use super::video::colour::Colour;
use super::video::frame_field;
use super::video::paint::{Painter, Picture};
use super::video::wanted::{COLOR, HEIGHT, INTERPOLATION, MAX_SIDE, Sides, WIDTH, look};
use crate::access::scope;

/// JPEG and PNG.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `width`, `height` | Int32 | of `frame` |
/// | `frame` | FixedSizeList<Float32, height × width × 3> | red, green, blue of each pixel, row by row, from 0 to 1 |
///
/// `frame` is that of `read_video`, an `arrow.fixed_shape_tensor`, where all pictures have one size, as
/// they have with `width` and `height`; else it is a `List<Float32>`.
///
/// A picture is turned as its Exif orientation has it. Transparency is left out (Pillow's
/// `convert('RGB')`), grey is repeated, and 16 bits become 8.
#[derive(Debug)]
pub struct Images;

impl Format for Images {
    fn function(&self) -> &'static str {
        "read_images"
    }

    fn stored_as(&self) -> &'static str {
        "IMAGES"
    }

    fn description(&self) -> &'static str {
        "Pictures in JPEG and PNG, a row for each file: `width` and `height` in pixels, and `frame`, RGB from 0 to 1 as height × width × 3 \
         numbers. Where all have one size, as they have with `width` and `height`, `frame` says its shape (`arrow.fixed_shape_tensor`) as that of \
         `read_video` does; else it is a list, whose rows differ in length. Pictures are turned as their Exif orientation says; transparency is left \
         out, and 16 bits become 8. A file that is damaged or cut off is an error; empty files are left out with a warning."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".jpg", ".jpeg", ".png"]
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[WIDTH, HEIGHT, INTERPOLATION, COLOR]
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let sides = Sides::new(self.function(), options)?;
        let look = look(self.function(), options)?;
        let files = leave_out_empty(self.function(), files)?;
        let mut sizes = Vec::with_capacity(files.len());
        for path in &files {
            let natural = natural_size(path).map_err(|e| file_error(path, e))?;
            let size = sides.size(natural);
            let side = |side: u32| i64::from(side) <= MAX_SIDE;
            if !side(size.0) || !side(size.1) {
                return Err(file_error(
                    path,
                    format!(
                        "{} x {} pixels are too many; give a width of {MAX_SIDE} at most",
                        size.0, size.1
                    ),
                ));
            }
            sizes.push(size);
        }
        let Some(&(width, height)) = sizes.first() else {
            return plan_err!("read_images: no file to read");
        };
        let frame = match sizes.iter().all(|&size| size == (width, height)) {
            true => frame_field(width, height, look.is_grey)?,
            false => {
                let item = Arc::new(Field::new_list_field(DataType::Float32, false));
                Field::new("frame", DataType::List(item), false)
            }
        };
        let schema = Schema::new(vec![
            Field::new("width", DataType::Int32, false),
            Field::new("height", DataType::Int32, false),
            frame,
        ]);
        Ok(Description {
            schema: Arc::new(schema),
            files,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        if scan.limit == Some(0) {
            return Ok(Box::new(std::iter::empty()));
        }
        let scan = scan.clone();
        Ok(Box::new(std::iter::once_with(move || row(&scan))))
    }
}

/// The one row of a file.
fn row(scan: &FileScan) -> Result<RecordBatch> {
    let fail = |message: String| file_error(&scan.path, message);
    let sides = Sides::new("read_images", &scan.options)?;
    let look = look("read_images", &scan.options)?;
    let with_frame = scan.schema.column_with_name("frame").is_some();
    let (size, mut values) = if with_frame {
        let bytes = scope::read(&scan.path).map_err(|e| fail(e.to_string()))?;
        let picture = decode(&bytes).map_err(fail)?;
        let (width, height) = (picture.width(), picture.height());
        let size = sides.size((width, height));
        let mut painter = Painter::new(Colour::of_h264(None), 0, size.0, size.1, look);
        let mut values = Vec::with_capacity(size.0 as usize * size.1 as usize * look.channels());
        let rgb = picture.into_rgb8().into_raw();
        let picture = Picture::Rgb {
            width,
            height,
            rgb: &rgb,
        };
        painter.paint_numbers(picture, &mut values).map_err(fail)?;
        (size, values)
    } else {
        (sides.size(natural_size(&scan.path).map_err(fail)?), vec![])
    };
    let column = |field: &Arc<Field>| -> Result<ArrayRef> {
        Ok(match field.name().as_str() {
            "width" => Arc::new(Int32Array::from(vec![size.0 as i32])),
            "height" => Arc::new(Int32Array::from(vec![size.1 as i32])),
            "frame" => {
                let length = values.len();
                let frame = vectors(field, std::mem::take(&mut values), length, 1)?;
                frame.ok_or_else(|| {
                    fail(format!(
                        "its picture is {} x {} now, which was not so when the query was planned; run it \
                         again",
                        size.0, size.1
                    ))
                })?
            }
            other => return exec_err!("read_images has no column {other}"),
        })
    };
    let columns = scan.schema.fields().iter().map(column);
    record_batch(&scan.schema, columns.collect::<Result<_>>()?, 1)
}

/// Bytes at the start of a file in which its size usually stands.
const HEAD: u64 = 1 << 16;

/// Width and height of a file's picture, as it is shown.
fn natural_size(path: &Path) -> Result<(u32, u32), String> {
    let mut file = scope::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    let head = Read::by_ref(&mut file).take(HEAD).read_to_end(&mut bytes);
    head.map_err(|e| e.to_string())?;
    let size = |bytes: &[u8]| {
        guard(|| {
            let mut decoder = decoder(bytes)?;
            let (width, height) = decoder.dimensions();
            Ok(match orientation(&mut decoder)? {
                Orientation::Rotate90
                | Orientation::Rotate270
                | Orientation::Rotate90FlipH
                | Orientation::Rotate270FlipH => (height, width),
                _ => (width, height),
            })
        })
    };
    size(&bytes).or_else(|_| {
        file.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        size(&bytes)
    })
}

/// The picture as it is shown.
fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    guard(|| {
        let mut decoder = decoder(bytes)?;
        // The decoder makes what is missing grey.
        if bytes.starts_with(&[0xff, 0xd8]) && !is_whole_jpeg(bytes) {
            return Err("the picture is cut off; get the file again".to_owned());
        }
        let orientation = orientation(&mut decoder)?;
        let mut picture = DynamicImage::from_decoder(decoder)
            .map_err(|e| format!("the picture is damaged: {e}; get the file again"))?;
        picture.apply_orientation(orientation);
        Ok(picture)
    })
}

fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder + '_, String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = reader.map_err(|e| e.to_string())?;
    if !matches!(reader.format(), Some(ImageFormat::Jpeg | ImageFormat::Png)) {
        return Err(
            "this is no JPEG or PNG file; `ffmpeg -i in.webp out.png` makes one of most others"
                .to_owned(),
        );
    }
    // No more than a picture of the largest sides, of 16 bits and with transparency.
    let mut limits = Limits::default();
    limits.max_alloc = Some((MAX_SIDE * MAX_SIDE * 8) as u64);
    reader.limits(limits);
    let decoder = reader.into_decoder();
    decoder.map_err(|e| format!("its header is damaged: {e}; get the file again"))
}

fn orientation(decoder: &mut impl ImageDecoder) -> Result<Orientation, String> {
    let orientation = decoder.orientation();
    orientation.map_err(|e| format!("its Exif header is damaged: {e}"))
}

/// Whether a JPEG goes on to its end (EOI).
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    const EOI: u8 = 0xd9;
    let mut at = 2;
    loop {
        // A marker is 0xff, more of them, and a number.
        let Some(found) = bytes
            .get(at..)
            .and_then(|b| b.iter().position(|&b| b == 0xff))
        else {
            return false;
        };
        at += found;
        match bytes.get(at + 1) {
            None => return false,
            Some(&EOI) => return true,
            Some(0xff) => at += 1,
            // A byte of the picture, and markers that stand alone.
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 2,
            // A segment; where a scan begins, its header is one, and the picture follows.
            Some(_) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
}

/// Runs a decoder; a panic over a damaged file is an error like others.
fn guard<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("the picture is damaged (the decoder gave up)".to_owned()))
}

#[cfg(test)]
mod tests;
