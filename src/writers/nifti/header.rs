//! The header of an image as bytes: NIfTI-1, or NIfTI-2 where a dimension is too long for it.

use nifti::NiftiType;

use super::placement::Placement;

/// The longest dimension of NIfTI-1.
const LONGEST: usize = i16::MAX as usize;

/// Bytes before the voxels: the header, and four that say that no extension follows.
const BEFORE_1: u16 = 352;
const BEFORE_2: u16 = 544;

/// Seconds, as `xyzt_units` has them.
const SECONDS: u8 = 8;

/// What a header says.
#[derive(Debug)]
pub struct Header<'a> {
    pub placement: &'a Placement,
    /// `None`: a 3-D image.
    pub volumes: Option<usize>,
    pub element: NiftiType,
    /// Seconds between volumes.
    pub repetition_time: Option<f64>,
}

impl Header<'_> {
    /// Bytes from the start of the file to its voxels; room for any header where the number
    /// of volumes is not known yet.
    pub fn room(placement: &Placement, volumes: Option<Option<usize>>) -> u16 {
        match volumes {
            Some(volumes) if !is_long(placement, volumes) => BEFORE_1,
            _ => BEFORE_2,
        }
    }

    /// The header, with zeros up to the voxels, which begin after `room` bytes.
    pub fn bytes(&self, room: u16) -> Vec<u8> {
        match is_long(self.placement, self.volumes) {
            false => self.version_1(room),
            true => self.version_2(room),
        }
    }

    fn dim(&self) -> [usize; 8] {
        let [x, y, z] = self.placement.shape;
        let count = if self.volumes.is_some() { 4 } else { 3 };
        [count, x, y, z, self.volumes.unwrap_or(1), 1, 1, 1]
    }

    fn pixdim(&self) -> [f64; 8] {
        let [x, y, z] = self.placement.zooms;
        let time = self.repetition_time.unwrap_or(0.0);
        [self.placement.qfac, x, y, z, time, 0.0, 0.0, 0.0]
    }

    fn units(&self) -> u8 {
        let time = self.repetition_time.map_or(0, |_| SECONDS);
        self.placement.space_unit | time
    }

    fn bits(&self) -> i16 {
        8 * self.element.size_of() as i16
    }

    fn version_1(&self, room: u16) -> Vec<u8> {
        let mut fields = Fields(vec![0; usize::from(room)]);
        let place = self.placement;
        fields.put(0, 348i32.to_le_bytes());
        fields.put(38, *b"r");
        fields.put_all(40, self.dim().map(|n| (n as i16).to_le_bytes()));
        fields.put(70, (self.element as i16).to_le_bytes());
        fields.put(72, self.bits().to_le_bytes());
        fields.put_all(76, self.pixdim().map(f32_bytes));
        fields.put(108, f32::from(room).to_le_bytes());
        fields.put(112, 1f32.to_le_bytes());
        fields.put(123, [self.units()]);
        fields.put(148, *DESCRIPTION);
        fields.put(252, (place.qform_code as i16).to_le_bytes());
        fields.put(254, (place.sform_code as i16).to_le_bytes());
        fields.put_all(256, place.quatern.map(f32_bytes));
        fields.put_all(268, place.qoffset.map(f32_bytes));
        for (row, numbers) in place.srow.iter().enumerate() {
            fields.put_all(280 + 16 * row, numbers.map(f32_bytes));
        }
        fields.put(344, *b"n+1\0");
        fields.0
    }

    fn version_2(&self, room: u16) -> Vec<u8> {
        let mut fields = Fields(vec![0; usize::from(room)]);
        let place = self.placement;
        fields.put(0, 540i32.to_le_bytes());
        fields.put(4, *b"n+2\0\r\n\x1a\n");
        fields.put(12, (self.element as i16).to_le_bytes());
        fields.put(14, self.bits().to_le_bytes());
        fields.put_all(16, self.dim().map(|n| (n as i64).to_le_bytes()));
        fields.put_all(104, self.pixdim().map(f64::to_le_bytes));
        fields.put(168, i64::from(room).to_le_bytes());
        fields.put(176, 1f64.to_le_bytes());
        fields.put(240, *DESCRIPTION);
        fields.put(344, place.qform_code.to_le_bytes());
        fields.put(348, place.sform_code.to_le_bytes());
        fields.put_all(352, place.quatern.map(f64::to_le_bytes));
        fields.put_all(376, place.qoffset.map(f64::to_le_bytes));
        for (row, numbers) in place.srow.iter().enumerate() {
            fields.put_all(400 + 32 * row, numbers.map(f64::to_le_bytes));
        }
        fields.put(500, i32::from(self.units()).to_le_bytes());
        fields.0
    }
}

const DESCRIPTION: &[u8; 5] = b"VoxQL";

fn is_long(placement: &Placement, volumes: Option<usize>) -> bool {
    let longest = placement.shape.into_iter().chain(volumes).max();
    longest > Some(LONGEST)
}

fn f32_bytes(value: f64) -> [u8; 4] {
    (value as f32).to_le_bytes()
}

/// Bytes at constant places, which are within the room for any header.
struct Fields(Vec<u8>);

impl Fields {
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&bytes);
    }

    fn put_all<const N: usize, const COUNT: usize>(&mut self, at: usize, all: [[u8; N]; COUNT]) {
        for (index, bytes) in all.into_iter().enumerate() {
            self.put(at + N * index, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::readers::nifti::grid::Grid;
    use crate::readers::nifti::header as read;
    use crate::readers::nifti::raw::Raw;
    use rstest::rstest;

    #[rstest]
    #[case::a_map([4, 5, 6], None, 1, 352)]
    #[case::a_run([4, 5, 6], Some(300), 1, 352)]
    #[case::the_longest([32_767, 1, 1], Some(1), 1, 352)]
    #[case::a_longer([32_768, 1, 1], None, 2, 544)]
    #[case::a_long_run([2, 2, 2], Some(32_768), 2, 544)]
    fn readers_read_it(
        #[case] shape: [usize; 3],
        #[case] volumes: Option<usize>,
        #[case] version: u8,
        #[case] room: u16,
    ) {
        let affine = [
            [-3.0, 0.0, 0.0, 90.5],
            [0.0, 3.25, 0.0, -126.0],
            [0.0, 0.0, 2.0, -72.0],
        ];
        let placement = Placement::at(&Grid { shape, affine });
        let header = Header {
            placement: &placement,
            volumes,
            element: NiftiType::Int16,
            repetition_time: volumes.map(|_| 0.72),
        };
        assert_eq!(Header::room(&placement, Some(volumes)), room);
        assert_eq!(Header::room(&placement, None), 544);
        // A stream's image leaves room for either.
        for room in [room, 544] {
            let bytes = header.bytes(room);
            assert_eq!(bytes.len(), usize::from(room));
            let raw = Raw::parse(&bytes).unwrap();
            assert_eq!(
                (raw.version, raw.sform_code, raw.qform_code),
                (version, 2, 0)
            );
            assert_eq!(raw.descrip, "VoxQL");
            let got = read::Header::parse(Path::new("made"), &bytes).unwrap();
            assert_eq!(
                (got.shape, got.affine, got.encoding.scaling),
                (shape, affine, None)
            );
            assert_eq!(got.encoding.data_type, NiftiType::Int16);
            assert_eq!(got.offset, u64::from(room));
            assert_eq!(got.volumes, volumes.unwrap_or(1));
            assert_eq!(got.dimensions, if volumes.is_some() { 4 } else { 3 });
            assert_eq!(got.repetition_time, header.repetition_time);
        }
    }
}
