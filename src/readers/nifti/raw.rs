//! The bytes of a NIfTI header as fields, the same for NIfTI-1 (348 bytes) and NIfTI-2 (540).
//!
//! Only what tells the kind of file is checked here; what the fields claim is checked by
//! [`super::header`].

/// Bytes of a NIfTI-1 header, and of the part of a NIfTI-2 header that tells which it is.
pub const HEADER_BYTES: usize = 348;
/// Bytes of a NIfTI-2 header.
pub const HEADER_2_BYTES: usize = 540;

/// How the magic of NIfTI-2 ends: line ends, which a transfer as text changes.
const LINE_ENDS: &[u8] = b"\r\n\x1a\n";

/// A header's fields. Numbers that NIfTI-1 stores as float32 are widened, exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// 1 or 2.
    pub version: u8,
    /// The voxels are in another file, `.img`.
    pub pair: bool,
    pub big_endian: bool,
    /// The number of dimensions, then their sizes.
    pub dim: [i64; 8],
    pub intent_code: i32,
    pub datatype: i16,
    /// qfac, then the sizes of voxels, then the time between volumes.
    pub pixdim: [f64; 8],
    pub vox_offset: f64,
    pub scl_slope: f64,
    pub scl_inter: f64,
    pub xyzt_units: u8,
    /// Text, up to its first zero byte.
    pub descrip: String,
    pub qform_code: i32,
    pub sform_code: i32,
    /// b, c and d of the qform's unit quaternion.
    pub quatern: [f64; 3],
    pub qoffset: [f64; 3],
    pub srow: [[f64; 4]; 3],
}

/// True if these first bytes of a file begin a NIfTI-2 header.
pub fn is_version_2(start: &[u8]) -> bool {
    byte_order(start, HEADER_2_BYTES).is_some()
}

impl Raw {
    /// Takes the first 348 bytes of a file, or 540 for NIfTI-2; more are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        match byte_order(bytes, HEADER_2_BYTES) {
            Some(big_endian) => Self::version_2(bytes, big_endian),
            None => Self::version_1(bytes),
        }
    }

    fn version_1(bytes: &[u8]) -> Result<Self, String> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(format!(
                "too short for NIfTI: {} bytes, the header alone takes {HEADER_BYTES}",
                bytes.len()
            ));
        };
        let order = byte_order(header, HEADER_BYTES);
        let pair = match (&header[344..], order) {
            (b"n+1\0", _) => false,
            (b"ni1\0", _) => true,
            (_, Some(_)) => {
                return Err(
                    "not NIfTI-1: the magic bytes are missing (an ANALYZE 7.5 file?)".to_owned(),
                );
            }
            _ => return Err("not a NIfTI file".to_owned()),
        };
        let Some(big_endian) = order else {
            return Err(format!(
                "damaged NIfTI header: sizeof_hdr is {}, not {HEADER_BYTES}",
                Fields {
                    header,
                    big_endian: false
                }
                .i32(0)
            ));
        };
        let fields = Fields { header, big_endian };
        let floats = |at: usize| move |i: usize| f64::from(fields.f32(at + 4 * i));
        Ok(Raw {
            version: 1,
            pair,
            big_endian,
            dim: std::array::from_fn(|i| i64::from(fields.i16(40 + 2 * i))),
            intent_code: i32::from(fields.i16(68)),
            datatype: fields.i16(70),
            pixdim: std::array::from_fn(floats(76)),
            vox_offset: f64::from(fields.f32(108)),
            scl_slope: f64::from(fields.f32(112)),
            scl_inter: f64::from(fields.f32(116)),
            xyzt_units: header[123],
            descrip: text(&header[148..228]),
            qform_code: i32::from(fields.i16(252)),
            sform_code: i32::from(fields.i16(254)),
            quatern: std::array::from_fn(floats(256)),
            qoffset: std::array::from_fn(floats(268)),
            srow: std::array::from_fn(|row| std::array::from_fn(floats(280 + 16 * row))),
        })
    }

    fn version_2(bytes: &[u8], big_endian: bool) -> Result<Self, String> {
        let Some(header) = bytes.first_chunk::<HEADER_2_BYTES>() else {
            return Err(format!(
                "too short for NIfTI-2: {} bytes, the header alone takes {HEADER_2_BYTES}",
                bytes.len()
            ));
        };
        let (magic, line_ends) = header[4..12].split_at(4);
        let pair = match magic {
            b"n+2\0" => false,
            b"ni2\0" => true,
            _ => {
                return Err(format!(
                    "damaged NIfTI-2 header: sizeof_hdr is {HEADER_2_BYTES}, \
                     but the magic bytes are missing"
                ));
            }
        };
        if line_ends != LINE_ENDS {
            return Err(
                "damaged NIfTI-2 header: the line ends in its magic bytes were changed, \
                 as a transfer as text does; copy the file again, as binary"
                    .to_owned(),
            );
        }
        let fields = Fields { header, big_endian };
        let floats = |at: usize| move |i: usize| fields.f64(at + 8 * i);
        Ok(Raw {
            version: 2,
            pair,
            big_endian,
            dim: std::array::from_fn(|i| fields.i64(16 + 8 * i)),
            intent_code: fields.i32(504),
            datatype: fields.i16(12),
            pixdim: std::array::from_fn(floats(104)),
            // Exact as far as any disk reaches.
            vox_offset: fields.i64(168) as f64,
            scl_slope: fields.f64(176),
            scl_inter: fields.f64(184),
            // The low byte has both units.
            xyzt_units: fields.i32(500) as u8,
            descrip: text(&header[240..320]),
            qform_code: fields.i32(344),
            sform_code: fields.i32(348),
            quatern: std::array::from_fn(floats(352)),
            qoffset: std::array::from_fn(floats(376)),
            srow: std::array::from_fn(|row| std::array::from_fn(floats(400 + 32 * row))),
        })
    }

    /// Where the voxels start at the earliest: in a file of their own at its start, else after
    /// the header and the four bytes that say whether extensions follow.
    pub fn first_offset(&self) -> f64 {
        match (self.pair, self.version) {
            (true, _) => 0.0,
            (false, 1) => HEADER_BYTES as f64 + 4.0,
            (false, _) => HEADER_2_BYTES as f64 + 4.0,
        }
    }
}

/// Whether the file is big-endian, by its first field, the header's size; `None` if that
/// is neither way `size`.
fn byte_order(bytes: &[u8], size: usize) -> Option<bool> {
    let size = size as i32;
    if bytes.starts_with(&size.to_le_bytes()) {
        return Some(false);
    }
    bytes.starts_with(&size.to_be_bytes()).then_some(true)
}

/// Numbers at places of a header. Places are constants within it.
#[derive(Clone, Copy)]
struct Fields<'a> {
    header: &'a [u8],
    big_endian: bool,
}

macro_rules! number {
    ($name:ident) => {
        fn $name(self, at: usize) -> $name {
            let mut bytes = [0; size_of::<$name>()];
            bytes.copy_from_slice(&self.header[at..at + size_of::<$name>()]);
            match self.big_endian {
                true => $name::from_be_bytes(bytes),
                false => $name::from_le_bytes(bytes),
            }
        }
    };
}

impl Fields<'_> {
    number!(i16);
    number!(i32);
    number!(i64);
    number!(f32);
    number!(f64);
}

/// Text that is not UTF-8 is taken as Latin-1, in which every byte is a character.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    match std::str::from_utf8(&bytes[..end]) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes[..end].iter().map(|&b| char::from(b)).collect(),
    }
}
