//! What a NIfTI header says, checked: everything that reading the voxels takes.

use std::path::Path;

use datafusion::common::Result;
use nifti::NiftiType;

use super::affine::{Affine, affine};
use super::raw::Raw;
use crate::readers::format::file_error;
use crate::readers::values::Encoding;

/// What reading a file takes; every field has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// How many dimensions the file claims, without trailing ones beyond the fourth: 1 to 4.
    pub dimensions: usize,
    /// Voxels along x, y and z, each at least 1.
    pub shape: [usize; 3],
    /// Volumes, at least 1.
    pub volumes: usize,
    /// How the voxels are written.
    pub encoding: Encoding,
    pub affine: Affine,
    /// The voxels are in another file, the `.img` of a pair.
    pub pair: bool,
    /// Where the voxels start, in bytes from the start of the file that has them.
    pub offset: u64,
    /// Seconds between volumes, where the header has a positive time there.
    pub repetition_time: Option<f64>,
}

impl Header {
    /// Reads the start of a file, 348 bytes of NIfTI-1 or 540 of NIfTI-2; `path` is for messages.
    ///
    /// Errors for what is not NIfTI (ANALYZE 7.5 included), for types other than the scalar
    /// integers and floats, for five and more dimensions, and for fields that contradict each other.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        Self::from_bytes(bytes).map_err(|message| file_error(path, message))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let raw = Raw::parse(bytes)?;
        let (dimensions, shape, volumes) = dimensions(&raw)?;
        let data_type = data_type(&raw)?;
        check_size(&raw, shape, volumes, data_type)?;
        Ok(Header {
            dimensions,
            shape,
            volumes,
            encoding: Encoding {
                data_type,
                big_endian: raw.big_endian,
                scaling: scaling(&raw)?,
            },
            affine: affine(&raw, shape)?,
            pair: raw.pair,
            offset: offset(&raw)?,
            repetition_time: repetition_time(&raw),
        })
    }

    /// Voxels in one volume; fits an `i32`.
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of one volume.
    pub fn volume_bytes(&self) -> usize {
        self.voxels() * self.encoding.width()
    }

    /// Bytes of the file that has the voxels, decompressed, up to the end of its last volume.
    pub fn total_bytes(&self) -> u64 {
        self.offset + self.volume_bytes() as u64 * self.volumes as u64
    }
}

/// True for the intents of CIFTI-2.
pub fn is_cifti(intent_code: i32) -> bool {
    (3000..3100).contains(&intent_code)
}

/// The sizes of the dimensions that the header claims, each at least 1.
pub fn sizes(raw: &Raw) -> Result<&[i64], String> {
    let [count, sizes @ ..] = &raw.dim;
    let claimed = usize::try_from(*count).ok().and_then(|n| sizes.get(..n));
    let Some(sizes) = claimed.filter(|s| !s.is_empty()) else {
        return Err(format!(
            "damaged NIfTI header: it claims {count} dimensions"
        ));
    };
    match sizes.iter().position(|&n| n < 1) {
        None => Ok(sizes),
        Some(bad) => Err(format!(
            "damaged NIfTI header: dimension {} has size {}",
            bad + 1,
            sizes[bad]
        )),
    }
}

fn dimensions(raw: &Raw) -> Result<(usize, [usize; 3], usize), String> {
    let sizes = sizes(raw)?;
    // CIFTI-2 is NIfTI-2 with the intents of its own and six dimensions.
    if is_cifti(raw.intent_code) {
        return Err(
            "a CIFTI-2 file: rows of grayordinates or parcels, not volumes. read_bold reads it as a run, \
             but a volume is needed here; wb_command -cifti-separate writes the one in it"
                .to_owned(),
        );
    }
    if sizes.iter().skip(4).any(|&n| n != 1) {
        return Err(format!(
            "has {} dimensions ({}); only 3-D and 4-D images are supported",
            sizes.len(),
            by_times(sizes)
        ));
    }
    let size = |axis: usize| sizes.get(axis).map_or(1, |&n| n as usize);
    Ok((sizes.len().min(4), [size(0), size(1), size(2)], size(3)))
}

/// `64 × 64 × 40`.
pub fn by_times(sizes: &[impl ToString]) -> String {
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    sizes.join(" × ")
}

/// The type of the numbers, one of the ten that are supported.
pub fn data_type(raw: &Raw) -> Result<NiftiType, String> {
    use NiftiType::*;
    match raw.datatype {
        2 => Ok(Uint8),
        4 => Ok(Int16),
        8 => Ok(Int32),
        16 => Ok(Float32),
        64 => Ok(Float64),
        256 => Ok(Int8),
        512 => Ok(Uint16),
        768 => Ok(Uint32),
        1024 => Ok(Int64),
        1280 => Ok(Uint64),
        code => Err(match data_type_name(code) {
            Some(name) => format!(
                "voxels of type {name} (code {code}) are not supported, \
                 only integers of 8 to 64 bits, float32 and float64"
            ),
            None => format!("damaged NIfTI header: {code} is no data type code"),
        }),
    }
}

/// A data type's name, as NumPy has it where it has one; `None` for a code that is none.
pub fn data_type_name(code: i16) -> Option<&'static str> {
    Some(match code {
        1 => "binary",
        2 => "uint8",
        4 => "int16",
        8 => "int32",
        16 => "float32",
        32 => "complex64",
        64 => "float64",
        128 => "rgb24",
        256 => "int8",
        512 => "uint16",
        768 => "uint32",
        1024 => "int64",
        1280 => "uint64",
        1536 => "float128",
        1792 => "complex128",
        2048 => "complex256",
        2304 => "rgba32",
        _ => return None,
    })
}

/// Keeps all later arithmetic on sizes within `u64`, and voxel indices within `i32`.
fn check_size(
    raw: &Raw,
    shape: [usize; 3],
    volumes: usize,
    data_type: NiftiType,
) -> Result<(), String> {
    let product = |n: u64, size: u64| n.checked_mul(size);
    let voxels = shape.iter().try_fold(1, |n, &size| product(n, size as u64));
    let voxels = voxels.filter(|&n| n <= i32::MAX as u64);
    let total = voxels
        .and_then(|n| product(n * data_type.size_of() as u64, volumes as u64))
        .filter(|&n| n <= i64::MAX as u64 / 2);
    match total {
        Some(_) => Ok(()),
        None => Err(format!(
            "too large: {} voxels in a volume, {volumes} volumes (or a damaged header: dim is {:?})",
            by_times(&shape),
            raw.dim
        )),
    }
}

/// A slope of 0 or one that is not finite means that values are stored as they are.
pub fn scaling(raw: &Raw) -> Result<Option<(f64, f64)>, String> {
    let (slope, inter) = (raw.scl_slope, raw.scl_inter);
    if slope == 0.0 || !slope.is_finite() {
        return Ok(None);
    }
    if !inter.is_finite() {
        return Err(format!(
            "damaged NIfTI header: scl_slope is {slope}, but scl_inter is {inter}"
        ));
    }
    Ok(((slope, inter) != (1.0, 0.0)).then_some((slope, inter)))
}

/// Where the numbers start, in bytes from the start of the file that has them.
pub fn offset(raw: &Raw) -> Result<u64, String> {
    let first = raw.first_offset();
    let offset = match raw.vox_offset {
        // Some writers leave it empty.
        0.0 => first,
        offset => offset,
    };
    // The upper bound keeps sums within a `u64`; the comparison is false for NaN.
    if (first..9.0e18).contains(&offset) && offset.fract() == 0.0 {
        return Ok(offset as u64);
    }
    Err(format!(
        "damaged NIfTI header: vox_offset is {}, which must be a whole number of at least {first}",
        raw.vox_offset
    ))
}

/// Seconds between volumes, whatever the unit; unknown units count as seconds, Hertz and the
/// like as nothing.
pub fn repetition_time(raw: &Raw) -> Option<f64> {
    let value = shortest(raw.pixdim[4]);
    let seconds = match raw.xyzt_units & 0o70 {
        0 | 8 => value,
        16 => value / 1e3,
        24 => value / 1e6,
        _ => return None,
    };
    (raw.dim[0] >= 4 && seconds > 0.0 && seconds.is_finite()).then_some(seconds)
}

/// A number that was a float32 as the shortest decimal that is that float32: 0.72, where
/// widening gives 0.7200000286. Others as they are.
pub fn shortest(value: f64) -> f64 {
    let single = value as f32;
    if f64::from(single) != value {
        return value;
    }
    single.to_string().parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::nifti::testing::Image;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Header, String> {
        Header::from_bytes(bytes)
    }

    /// A header with some bytes replaced.
    fn with(changes: &[(usize, &[u8])]) -> Result<Header, String> {
        let mut bytes = Image::new([2, 3, 4], 5, 2.0).header();
        for (at, new) in changes {
            bytes[*at..at + new.len()].copy_from_slice(new);
        }
        parse(&bytes)
    }

    fn fails(changes: &[(usize, &[u8])], part: &str) {
        let message = with(changes).unwrap_err();
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn both_byte_orders_read_the_same() {
        let mut image = Image::new([2, 3, 4], 5, 0.72);
        let little = parse(&image.header()).unwrap();
        image.big_endian = true;
        let mut big = parse(&image.header()).unwrap();
        assert_eq!(
            (little.encoding.big_endian, big.encoding.big_endian),
            (false, true)
        );
        assert_eq!(little.shape, [2, 3, 4]);
        assert_eq!((little.dimensions, little.volumes), (4, 5));
        assert_eq!(little.repetition_time, Some(0.72));
        assert_eq!(little.total_bytes(), 352 + 2 * 3 * 4 * 5 * 4);
        big.encoding.big_endian = false;
        assert_eq!(big, little);
    }

    #[test]
    fn the_unit_of_time_is_applied() {
        let tr = |value: f32, unit: u8| {
            with(&[(92, &value.to_le_bytes()), (123, &[unit])])
                .unwrap()
                .repetition_time
        };
        assert_eq!(tr(1.49, 8 | 2), Some(1.49));
        assert_eq!(tr(1490.0, 16 | 2), Some(1.49));
        assert_eq!(tr(720_000.0, 24), Some(0.72));
        assert_eq!(tr(2.0, 0), Some(2.0));
        assert_eq!(tr(2.0, 32), None);
        for nothing in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(tr(nothing, 8), None);
        }
    }

    #[test]
    fn scaling_is_off_without_a_slope() {
        let scaling = |slope: f32, inter: f32| {
            with(&[(112, &slope.to_le_bytes()), (116, &inter.to_le_bytes())])
                .map(|h| h.encoding.scaling)
        };
        assert_eq!(scaling(0.0, 3.0), Ok(None));
        assert_eq!(scaling(f32::NAN, f32::NAN), Ok(None));
        assert_eq!(scaling(1.0, 0.0), Ok(None));
        assert_eq!(scaling(2.0, -1.0), Ok(Some((2.0, -1.0))));
        assert!(scaling(2.0, f32::NAN).is_err());
    }

    #[test]
    fn other_kinds_of_files_are_named() {
        fails(
            &[(0, &540i32.to_le_bytes())],
            "too short for NIfTI-2: 348 bytes",
        );
        fails(&[(0, &540i32.to_be_bytes())], "too short for NIfTI-2");
        fails(&[(0, &347i32.to_le_bytes())], "sizeof_hdr is 347");
        fails(&[(344, b"\0\0\0\0")], "ANALYZE");
        fails(&[(0, b"#!/b"), (344, b"abcd")], "not a NIfTI file");
        assert!(parse(b"tiny").unwrap_err().contains("too short"));
        assert!(parse(b"").unwrap_err().contains("too short"));
    }

    #[test]
    fn version_2_and_pairs_say_the_same() {
        let mut image = Image::new([2, 3, 4], 5, 0.72);
        (image.slope, image.inter) = (0.5, -3.0);
        let want = parse(&image.header()).unwrap();
        for (version, pair, big_endian) in [
            (1, true, false),
            (1, true, true),
            (2, false, false),
            (2, false, true),
            (2, true, false),
            (2, true, true),
        ] {
            (image.version, image.pair, image.big_endian) = (version, pair, big_endian);
            let got = parse(&image.header()).unwrap();
            let offset = match (pair, version) {
                (true, _) => 0,
                (false, 1) => 352,
                (false, _) => 544,
            };
            assert_eq!((got.offset, got.pair), (offset, pair));
            let encoding = Encoding {
                big_endian,
                ..want.encoding
            };
            let want = Header {
                encoding,
                pair,
                offset,
                ..want.clone()
            };
            assert_eq!(got, want);
        }
    }

    #[test]
    fn damaged_version_2_is_refused() {
        let mut image = Image::new([2, 3, 4], 5, 2.0);
        image.version = 2;
        let good = image.header();
        let fails = |at: usize, new: &[u8], part: &str| {
            let mut bytes = good.clone();
            bytes[at..at + new.len()].copy_from_slice(new);
            let message = parse(&bytes).unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        fails(4, b"n+1\0", "the magic bytes are missing");
        fails(8, b"\n\x1a\n\0", "line ends");
        fails(16, &9i64.to_le_bytes(), "claims 9 dimensions");
        fails(16, &(-4i64).to_le_bytes(), "claims -4 dimensions");
        fails(16, &i64::MAX.to_le_bytes(), "dimensions");
        fails(24, &(-2i64).to_le_bytes(), "dimension 1 has size -2");
        fails(24, &i64::MAX.to_le_bytes(), "too large");
        fails(48, &i64::MAX.to_le_bytes(), "too large");
        fails(12, &32i16.to_le_bytes(), "complex64 (code 32)");
        fails(168, &543i64.to_le_bytes(), "at least 544");
        fails(168, &i64::MAX.to_le_bytes(), "vox_offset");
        fails(504, &3002i32.to_le_bytes(), "CIFTI-2");
        for n in [0, 3, 4, 12, 347, 348, 539] {
            assert!(parse(&good[..n]).unwrap_err().contains("too short"), "{n}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let short =
            |values: &[i16]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
        fails(&[(40, &short(&[0]))], "claims 0 dimensions");
        fails(
            &[(40, &short(&[4, 2, -1, 4, 5]))],
            "dimension 2 has size -1",
        );
        fails(&[(40, &short(&[4, 2, 3, 0, 5]))], "dimension 3 has size 0");
        fails(&[(40, &short(&[5, 2, 3, 4, 1, 3]))], "2 × 3 × 4 × 1 × 3");
        fails(
            &[(40, &short(&[4, 32767, 32767, 32767, 32767]))],
            "too large",
        );
        fails(&[(70, &short(&[32]))], "complex64");
        fails(&[(70, &short(&[128]))], "rgb24");
        fails(&[(70, &short(&[3]))], "3 is no data type");
        for offset in [1.0, 351.0, 352.5, -352.0, f32::NAN, f32::INFINITY] {
            fails(&[(108, &offset.to_le_bytes())], "vox_offset");
        }
        assert_eq!(with(&[(108, &0f32.to_le_bytes())]).unwrap().offset, 352);
        let single = with(&[(40, &short(&[6, 2, 3, 4, 5, 1, 1]))]).unwrap();
        assert_eq!((single.dimensions, single.volumes), (4, 5));
        // The quaternion counts only where the qform does.
        let quaternion: Vec<u8> = [1.0f32; 3].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(with(&[(256, &quaternion)]).is_ok());
        fails(
            &[(252, &short(&[1, 0])), (256, &quaternion)],
            "longer than 1",
        );
    }

    proptest! {
        #[test]
        fn no_header_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..560),
            real in any::<bool>(),
            version in 1u8..=2,
            kept in prop::collection::vec(any::<bool>(), 540),
        ) {
            let mut bytes = bytes;
            if real {
                // Mostly a real header, so that the later checks are reached.
                let mut image = Image::new([2, 3, 4], 5, 2.0);
                image.version = version;
                let good = image.header();
                bytes.resize(good.len(), 0);
                for (at, (byte, kept)) in bytes.iter_mut().zip(kept).enumerate() {
                    if kept || at < 12 || (version == 1 && !(40..344).contains(&at)) {
                        *byte = good[at];
                    }
                }
            }
            if let Ok(header) = parse(&bytes) {
                prop_assert!(header.voxels() <= i32::MAX as usize);
                prop_assert!(header.total_bytes() > header.offset);
            }
        }
    }
}
