//! The 348 bytes that say what a NIfTI-1 file holds, checked.

use std::path::Path;

use datafusion::common::Result;
use nifti::{Endianness, NiftiHeader, NiftiType};

use crate::readers::format::file_error;

/// Bytes of a NIfTI-1 header.
pub const HEADER_BYTES: usize = 348;
/// Where the voxels of a `.nii` file start at the earliest: after the header and
/// the four bytes that say whether extensions follow.
const FIRST_OFFSET: f32 = 352.0;

/// The first three rows of the matrix that takes voxel indices to millimetres.
pub type Affine = [[f64; 4]; 3];

/// What reading a file takes; every field has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// How many dimensions the file claims, without trailing ones beyond the fourth: 1 to 4.
    pub dimensions: usize,
    /// Voxels along x, y and z, each at least 1.
    pub shape: [usize; 3],
    /// Volumes, at least 1.
    pub volumes: usize,
    /// One of the ten scalar types.
    pub data_type: NiftiType,
    pub big_endian: bool,
    /// Slope and intercept, where the values are scaled.
    pub scaling: Option<(f64, f64)>,
    pub affine: Affine,
    /// Where the voxels start, in bytes from the start of the file.
    pub offset: u64,
    /// Seconds between volumes, where the header has a positive time there.
    pub repetition_time: Option<f64>,
}

impl Header {
    /// Reads the start of a file; `path` is for messages.
    ///
    /// Errors for what is not NIfTI-1 in one file (NIfTI-2, `.hdr`/`.img` pairs and
    /// ANALYZE 7.5 included), for types other than the scalar integers and floats, for
    /// five and more dimensions, and for fields that contradict each other.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        Self::from_bytes(bytes).map_err(|message| file_error(path, message))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        check_kind(bytes)?;
        let raw = NiftiHeader::from_reader(bytes).map_err(|e| format!("not NIfTI-1: {e}"))?;
        if raw.sizeof_hdr != HEADER_BYTES as i32 {
            return Err(format!(
                "damaged NIfTI header: sizeof_hdr is {}, not {HEADER_BYTES}",
                raw.sizeof_hdr
            ));
        }
        let (dimensions, shape, volumes) = dimensions(&raw)?;
        let data_type = data_type(&raw)?;
        check_size(&raw, shape, volumes, data_type)?;
        Ok(Header {
            dimensions,
            shape,
            volumes,
            data_type,
            big_endian: raw.endianness == Endianness::Big,
            scaling: scaling(&raw)?,
            affine: affine(&raw, shape)?,
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
        self.voxels() * self.data_type.size_of()
    }

    /// Bytes of the file, decompressed, up to the end of its last volume.
    pub fn total_bytes(&self) -> u64 {
        self.offset + self.volume_bytes() as u64 * self.volumes as u64
    }
}

/// Tells apart what people have in files called `.nii`.
fn check_kind(bytes: &[u8]) -> Result<(), String> {
    let starts_with_size = |size: i32| {
        bytes.starts_with(&size.to_le_bytes()) || bytes.starts_with(&size.to_be_bytes())
    };
    if starts_with_size(540) {
        return Err("NIfTI-2 is not supported, only NIfTI-1; \
                    convert it, with nibabel for example: \
                    nib.Nifti1Image.from_image(nib.load(path)).to_filename('new.nii.gz')"
            .to_owned());
    }
    if bytes.len() < HEADER_BYTES {
        return Err(format!(
            "too short for NIfTI: {} bytes, the header alone takes {HEADER_BYTES}",
            bytes.len()
        ));
    }
    match &bytes[HEADER_BYTES - 4..HEADER_BYTES] {
        b"n+1\0" => Ok(()),
        b"ni1\0" => Err("the header of a .hdr/.img pair, which is not supported; \
                         convert it to one .nii or .nii.gz file"
            .to_owned()),
        _ if starts_with_size(HEADER_BYTES as i32) => {
            Err("not NIfTI-1: the magic bytes are missing (an ANALYZE 7.5 file?)".to_owned())
        }
        _ => Err("not a NIfTI file".to_owned()),
    }
}

fn dimensions(raw: &NiftiHeader) -> Result<(usize, [usize; 3], usize), String> {
    let [count, sizes @ ..] = raw.dim;
    let count = usize::from(count);
    let Some(sizes) = sizes.get(..count).filter(|s| !s.is_empty()) else {
        return Err(format!(
            "damaged NIfTI header: it claims {count} dimensions"
        ));
    };
    // The field is a signed 16-bit number, which the crate reads as unsigned.
    if let Some(bad) = sizes.iter().position(|&n| n == 0 || n > i16::MAX as u16) {
        return Err(format!(
            "damaged NIfTI header: dimension {} has size {}",
            bad + 1,
            sizes[bad] as i16
        ));
    }
    if sizes.iter().skip(4).any(|&n| n != 1) {
        return Err(format!(
            "has {count} dimensions ({}); only 3-D and 4-D images are supported",
            by_times(sizes)
        ));
    }
    let size = |axis: usize| sizes.get(axis).map_or(1, |&n| usize::from(n));
    Ok((count.min(4), [size(0), size(1), size(2)], size(3)))
}

/// `64 × 64 × 40`.
pub fn by_times(sizes: &[impl ToString]) -> String {
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    sizes.join(" × ")
}

fn data_type(raw: &NiftiHeader) -> Result<NiftiType, String> {
    use NiftiType::*;
    match raw.data_type() {
        Ok(
            scalar @ (Uint8 | Int8 | Uint16 | Int16 | Uint32 | Int32 | Uint64 | Int64 | Float32
            | Float64),
        ) => Ok(scalar),
        Ok(other) => Err(format!(
            "voxels of type {other:?} (code {}) are not supported, \
             only integers of 8 to 64 bits, float32 and float64",
            raw.datatype
        )),
        Err(_) => Err(format!(
            "damaged NIfTI header: {} is no data type code",
            raw.datatype
        )),
    }
}

/// Keeps all later arithmetic on sizes within `u64`, and voxel indices within `i32`.
fn check_size(
    raw: &NiftiHeader,
    shape: [usize; 3],
    volumes: usize,
    data_type: NiftiType,
) -> Result<(), String> {
    let voxels = shape.iter().map(|&n| n as u64).product::<u64>();
    let total = (voxels * data_type.size_of() as u64).checked_mul(volumes as u64);
    if voxels > i32::MAX as u64 || total.is_none_or(|n| n > i64::MAX as u64 / 2) {
        return Err(format!(
            "too large: {} voxels in a volume, {volumes} volumes (or a damaged header: dim is {:?})",
            by_times(&shape),
            raw.dim
        ));
    }
    Ok(())
}

/// A slope of 0 or one that is not finite means that values are stored as they are.
fn scaling(raw: &NiftiHeader) -> Result<Option<(f64, f64)>, String> {
    let (slope, inter) = (f64::from(raw.scl_slope), f64::from(raw.scl_inter));
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

fn offset(raw: &NiftiHeader) -> Result<u64, String> {
    let offset = match raw.vox_offset {
        // Some writers leave it empty.
        0.0 => FIRST_OFFSET,
        offset => offset,
    };
    // The upper bound is what an `i64` holds; the comparison is false for NaN.
    if (FIRST_OFFSET..9.0e18).contains(&offset) && offset.fract() == 0.0 {
        return Ok(offset as u64);
    }
    Err(format!(
        "damaged NIfTI header: vox_offset is {}, which must be a whole number of at least {FIRST_OFFSET}",
        raw.vox_offset
    ))
}

/// Takes the sform if there is one, else the qform, else voxel sizes alone.
fn affine(raw: &NiftiHeader, shape: [usize; 3]) -> Result<Affine, String> {
    if raw.sform_code > 0 {
        return Ok([raw.srow_x, raw.srow_y, raw.srow_z].map(|row| row.map(f64::from)));
    }
    let [qfac, x, y, z, ..] = raw.pixdim;
    let zooms = [x, y, z].map(|zoom| f64::from(zoom).abs());
    if raw.qform_code > 0 {
        return qform(raw, zooms, qfac < 0.0);
    }
    // No orientation is known: the origin is the volume's centre, and x is
    // flipped, as nibabel has it, because most scanners store left last.
    let signed = [-zooms[0], zooms[1], zooms[2]];
    let mut affine = [[0.0; 4]; 3];
    for axis in 0..3 {
        affine[axis][axis] = signed[axis];
        affine[axis][3] = -signed[axis] * (shape[axis] as f64 - 1.0) / 2.0;
    }
    Ok(affine)
}

/// Rotation by a unit quaternion of which the file stores three parts, times voxel sizes.
fn qform(raw: &NiftiHeader, zooms: [f64; 3], flip_z: bool) -> Result<Affine, String> {
    let [b, c, d] = [raw.quatern_b, raw.quatern_c, raw.quatern_d].map(f64::from);
    let rest = 1.0 - (b * b + c * c + d * d);
    // Three parts rounded to float32 may be a little longer than 1; NaN is refused too.
    if rest.is_nan() || rest < -3.0 * f64::from(f32::EPSILON) {
        return Err(format!(
            "damaged NIfTI header: the qform's quaternion ({b}, {c}, {d}) is longer than 1"
        ));
    }
    let a = rest.max(0.0).sqrt();
    let rotation = [
        [
            a * a + b * b - c * c - d * d,
            2.0 * (b * c - a * d),
            2.0 * (b * d + a * c),
        ],
        [
            2.0 * (b * c + a * d),
            a * a + c * c - b * b - d * d,
            2.0 * (c * d - a * b),
        ],
        [
            2.0 * (b * d - a * c),
            2.0 * (c * d + a * b),
            a * a + d * d - b * b - c * c,
        ],
    ];
    let [x, y, z] = zooms;
    let z = if flip_z { -z } else { z };
    let origin = [raw.quatern_x, raw.quatern_y, raw.quatern_z].map(f64::from);
    let mut affine = [[0.0; 4]; 3];
    for row in 0..3 {
        let [rx, ry, rz] = rotation[row];
        affine[row] = [rx * x, ry * y, rz * z, origin[row]];
    }
    Ok(affine)
}

/// Seconds, whatever the unit; unknown units count as seconds, Hertz and the like as nothing.
fn repetition_time(raw: &NiftiHeader) -> Option<f64> {
    // The shortest decimal that is this float32: 0.72, where widening gives 0.7200000286.
    let value: f64 = raw.pixdim[4].to_string().parse().ok()?;
    let seconds = match raw.xyzt_units & 0o70 {
        0 | 8 => value,
        16 => value / 1e3,
        24 => value / 1e6,
        _ => return None,
    };
    (raw.dim[0] >= 4 && seconds > 0.0 && seconds.is_finite()).then_some(seconds)
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
        let big = parse(&image.header()).unwrap();
        assert_eq!((little.big_endian, big.big_endian), (false, true));
        assert_eq!(little.shape, [2, 3, 4]);
        assert_eq!((little.dimensions, little.volumes), (4, 5));
        assert_eq!(little.repetition_time, Some(0.72));
        assert_eq!(little.total_bytes(), 352 + 2 * 3 * 4 * 5 * 4);
        assert_eq!(
            Header {
                big_endian: false,
                ..big
            },
            little
        );
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
            with(&[(112, &slope.to_le_bytes()), (116, &inter.to_le_bytes())]).map(|h| h.scaling)
        };
        assert_eq!(scaling(0.0, 3.0), Ok(None));
        assert_eq!(scaling(f32::NAN, f32::NAN), Ok(None));
        assert_eq!(scaling(1.0, 0.0), Ok(None));
        assert_eq!(scaling(2.0, -1.0), Ok(Some((2.0, -1.0))));
        assert!(scaling(2.0, f32::NAN).is_err());
    }

    #[test]
    fn other_kinds_of_files_are_named() {
        fails(&[(0, &540i32.to_le_bytes())], "NIfTI-2");
        fails(&[(0, &540i32.to_be_bytes())], "NIfTI-2");
        fails(&[(344, b"ni1\0")], ".hdr/.img pair");
        fails(&[(344, b"\0\0\0\0")], "ANALYZE");
        fails(&[(0, b"#!/b"), (344, b"abcd")], "not a NIfTI file");
        assert!(parse(b"tiny").unwrap_err().contains("too short"));
        assert!(parse(b"").unwrap_err().contains("too short"));
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
        fails(&[(70, &short(&[32]))], "Complex64");
        fails(&[(70, &short(&[128]))], "Rgb24");
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
            bytes in prop::collection::vec(any::<u8>(), 0..360),
            real in any::<bool>(),
            kept in prop::collection::vec(any::<bool>(), 348),
        ) {
            let mut bytes = bytes;
            if real {
                // Mostly a real header, so that the later checks are reached.
                bytes.resize(HEADER_BYTES, 0);
                let good = Image::new([2, 3, 4], 5, 2.0).header();
                for (at, (byte, kept)) in bytes.iter_mut().zip(kept).enumerate() {
                    if kept || !(40..344).contains(&at) {
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
