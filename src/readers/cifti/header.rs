//! The NIfTI-2 header of a CIFTI-2 file, and where its XML is.

use super::content::Content;
use crate::readers::nifti::header::{by_times, data_type, is_cifti, offset, scaling, sizes};
use crate::readers::nifti::raw::{HEADER_2_BYTES, Raw};
use crate::readers::values::Encoding;

/// The code of the header extension that is CIFTI's XML.
const CIFTI: i32 = 32;
/// Of a compressed file; the XML of a million voxels takes a tenth of it.
const MOST_XML_BYTES: u64 = 256 << 20;
/// A file has one or a few.
const MOST_EXTENSIONS: usize = 1000;

/// What reading the matrix takes; every field has been checked against the file's length.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Numbers along a row of the file, and rows, each at least 1.
    pub shape: [usize; 2],
    pub encoding: Encoding,
    /// Where the numbers start, in bytes.
    pub offset: u64,
}

/// Reads the header and the XML.
pub fn read(content: &mut Content) -> Result<(Header, String), String> {
    let broken = |e: std::io::Error| format!("damaged: {e}");
    let start = content.read_up_to(0, HEADER_2_BYTES as u64);
    let raw = Raw::parse(&start.map_err(broken)?)?;
    if raw.version != 2 || raw.pair || !is_cifti(raw.intent_code) {
        return Err(format!(
            "no CIFTI-2 file: it is NIfTI-{}{} with intent {}, where CIFTI-2 is NIfTI-2 in one file with an intent of 3000 to 3099",
            raw.version,
            if raw.pair { " in a pair" } else { "" },
            raw.intent_code
        ));
    }
    let header = header(&raw, content)?;
    let xml = xml(&raw, &header, content)?;
    Ok((header, xml))
}

fn header(raw: &Raw, content: &Content) -> Result<Header, String> {
    let sizes = sizes(raw)?;
    let (along, across) = match sizes {
        [1, 1, 1, 1, along, across] | [1, 1, 1, 1, along, across, 1] => (*along, *across),
        _ => {
            return Err(format!(
                "dimensions are {}; only CIFTI-2 matrices of two dimensions (1 × 1 × 1 × 1 × n × m) are supported",
                by_times(sizes)
            ));
        }
    };
    let header = Header {
        // `sizes` are at least 1, so this only widens.
        shape: [along as usize, across as usize],
        encoding: Encoding {
            data_type: data_type(raw)?,
            big_endian: raw.big_endian,
            scaling: scaling(raw)?,
        },
        offset: offset(raw)?,
    };
    let bytes = (along as u64)
        .checked_mul(across as u64)
        .and_then(|n| n.checked_mul(header.encoding.width() as u64))
        .and_then(|n| n.checked_add(header.offset));
    match bytes {
        Some(bytes) if bytes <= content.most() => Ok(header),
        _ => Err(format!(
            "too short: the header says {along} × {across} numbers from byte {} on, more than \
             {} bytes{} can hold; copy it again",
            header.offset,
            content.length(),
            if content.compressed() {
                " compressed"
            } else {
                ""
            }
        )),
    }
}

/// Header extensions follow the header, each with its size and code, up to the numbers.
fn xml(raw: &Raw, header: &Header, content: &mut Content) -> Result<String, String> {
    let none = "has no CIFTI header extension, the XML that says what its rows and columns are";
    let integer = |bytes: [u8; 4]| match raw.big_endian {
        true => i32::from_be_bytes(bytes),
        false => i32::from_le_bytes(bytes),
    };
    let mut at = HEADER_2_BYTES as u64 + 4;
    for _ in 0..MOST_EXTENSIONS {
        let head = content.read_up_to(at, 8);
        let head = head.map_err(|e| format!("damaged: {e}"))?;
        let ([size, code], []) = head.as_chunks::<4>() else {
            return Err(none.to_owned());
        };
        let (size, code) = (integer(*size), integer(*code));
        let room = header.offset.saturating_sub(at);
        if room < 8 || size == 0 {
            return Err(none.to_owned());
        }
        let size = u64::try_from(size).unwrap_or(0);
        if size < 8 || size > room {
            return Err(format!(
                "damaged NIfTI header: an extension of {size} bytes at byte {at}, before the data at byte {}",
                header.offset
            ));
        }
        if code != CIFTI {
            at += size;
            continue;
        }
        if content.compressed() && size > MOST_XML_BYTES {
            return Err(format!("its XML claims {size} bytes, which is too much"));
        }
        let bytes = content.read_up_to(at + 8, size - 8);
        let bytes = bytes.map_err(|e| format!("damaged: {e}"))?;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|e| format!("damaged XML: it is no UTF-8 text: {e}"))?;
        // Extensions are filled up to a multiple of 16 bytes.
        return Ok(text.trim_end_matches('\0').to_owned());
    }
    Err(none.to_owned())
}
