//! The numbers of one data array, from text or an external file to float32.

use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::read::DecoderReader;
use flate2::read::ZlibDecoder;

use super::array::{Array, Storage};
use crate::access::scope;
use crate::readers::nifti::volumes::MAX_COMPRESSION;
use crate::readers::values::Encoding;

const BUFFER_BYTES: usize = 64 * 1024;

/// Some writers leave the padding at the end out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Appends the numbers of `array`, of the GIFTI file at `path`, in the order of the file.
///
/// Takes memory only for numbers that are there. Fewer numbers than the array claims are an error,
/// and so are more.
pub fn read(path: &Path, array: &Array, values: &mut Vec<f32>) -> Result<(), String> {
    let encoding = array.encoding;
    let bytes = array.numbers() as u64 * encoding.width() as u64;
    match &array.storage {
        Storage::Ascii => ascii(
            text(path, array).map_err(|e| e.to_string())?,
            array.numbers(),
            values,
        ),
        Storage::Base64 => {
            let stream = base64(path, array).map_err(|e| e.to_string())?;
            decode(stream, encoding, bytes, values).map_err(explain)
        }
        Storage::ZlibBase64 => {
            let stream = base64(path, array).map_err(|e| e.to_string())?;
            decode(ZlibDecoder::new(stream), encoding, bytes, values).map_err(explain)
        }
        Storage::External { name, offset } => {
            let file = path.with_file_name(name);
            let stream = external(&file, *offset, bytes);
            let named = |e: String| format!("its external file {}: {e}", file.display());
            let stream = stream.map_err(|e| named(e.to_string()))?;
            decode(stream, encoding, bytes, values).map_err(|e| named(explain(e)))
        }
    }
}

/// Errors where there cannot be as many numbers as the array claims, by the length of what has them; for who
/// makes room for them before they are read.
pub fn check_room(path: &Path, array: &Array) -> Result<(), String> {
    let stored = array.data.end - array.data.start;
    let width = array.encoding.width() as u64;
    let (most, what) = match &array.storage {
        // A digit and what parts it from the next one.
        Storage::Ascii => (stored.div_ceil(2), "its text".to_owned()),
        Storage::Base64 => (stored * 3 / 4 / width, "its text".to_owned()),
        Storage::ZlibBase64 => {
            let bytes = stored.saturating_mul(MAX_COMPRESSION);
            (bytes / width, "its text".to_owned())
        }
        Storage::External { name, offset } => {
            let file = path.with_file_name(name);
            let what = format!("its external file {}", file.display());
            let length = scope::open(&file).and_then(|file| file.metadata());
            let length = length.map_err(|e| format!("{what}: {e}"))?.len();
            (length.saturating_sub(*offset) / width, what)
        }
    };
    match array.numbers() as u64 <= most {
        true => Ok(()),
        false => Err(format!(
            "it has fewer numbers than its dimensions say: {}, where {what} can hold {most}",
            array.numbers()
        )),
    }
}

fn explain(error: io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "it has fewer numbers than its dimensions say".to_owned(),
        _ => format!("its numbers are damaged: {error}"),
    }
}

fn text(path: &Path, array: &Array) -> io::Result<impl Read + use<>> {
    let mut file = scope::open(path)?;
    file.seek(SeekFrom::Start(array.data.start))?;
    let length = array.data.end - array.data.start;
    Ok(BufReader::with_capacity(BUFFER_BYTES, file.take(length)))
}

fn base64(path: &Path, array: &Array) -> io::Result<impl Read + use<>> {
    let text = WithoutBlanks(text(path, array)?);
    Ok(DecoderReader::new(text, &BASE64))
}

fn external(path: &Path, offset: u64, bytes: u64) -> io::Result<impl Read + use<>> {
    let mut file = scope::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, file.take(bytes)))
}

fn ascii(mut text: impl Read, count: usize, values: &mut Vec<f32>) -> Result<(), String> {
    let mut whole = String::new();
    text.read_to_string(&mut whole).map_err(|e| e.to_string())?;
    let mut found = 0;
    for word in whole.split_ascii_whitespace() {
        let shown = || word.chars().take(20).collect::<String>();
        let value = word.parse();
        values.push(value.map_err(|_| format!("{:?} among its numbers", shown()))?);
        found += 1;
        if found > count {
            return Err("it has more numbers than its dimensions say".to_owned());
        }
    }
    match found == count {
        true => Ok(()),
        false => Err("it has fewer numbers than its dimensions say".to_owned()),
    }
}

/// Decodes exactly so many bytes of the stream, which must then be at its end.
fn decode(
    mut stream: impl Read,
    encoding: Encoding,
    bytes: u64,
    values: &mut Vec<f32>,
) -> io::Result<()> {
    // Numbers are of 1, 2, 4 or 8 bytes, so none lies across two buffers.
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut left = bytes;
    while left > 0 {
        let part = &mut buffer[..left.min(BUFFER_BYTES as u64) as usize];
        stream.read_exact(part)?;
        encoding.decode(part, values);
        left -= part.len() as u64;
    }
    // At the end of a zlib stream its checksum is compared.
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::new(
            ErrorKind::InvalidData,
            "there are more than its dimensions say",
        )),
    }
}

/// Text without the line ends and blanks that may stand in it.
struct WithoutBlanks<R>(R);

impl<R: Read> Read for WithoutBlanks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.0.read(buffer)?;
            let part = &mut buffer[..read];
            if !part.iter().any(u8::is_ascii_whitespace) {
                return Ok(read);
            }
            let mut kept = 0;
            for at in 0..read {
                if !part[at].is_ascii_whitespace() {
                    part[kept] = part[at];
                    kept += 1;
                }
            }
            // 0 would say that the text is at its end.
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}
