//! Small NIfTI files made for tests: version 1 or 2, one file or a pair.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// A 4-D image with an sform of 3 mm voxels; the voxel values count up from 0.
#[derive(Debug, Clone)]
pub struct Image {
    pub shape: [i16; 3],
    /// 0 makes a 3-D image.
    pub volumes: i16,
    /// Seconds.
    pub tr: f32,
    /// The NIfTI code of the type: 16 is float32.
    pub code: i16,
    pub big_endian: bool,
    /// 1 or 2.
    pub version: u8,
    /// Whether [`Image::write`] makes a `.hdr` and an `.img`.
    pub pair: bool,
    pub slope: f32,
    pub inter: f32,
    pub origin: f32,
    /// Given instead of counting up.
    pub values: Option<Vec<f64>>,
}

impl Image {
    pub fn new(shape: [i16; 3], volumes: i16, tr: f32) -> Self {
        Image {
            shape,
            volumes,
            tr,
            code: 16,
            big_endian: false,
            version: 1,
            pair: false,
            slope: 0.0,
            inter: 0.0,
            origin: -10.0,
            values: None,
        }
    }

    /// A 3-D mask with these values, x fastest.
    pub fn mask(shape: [i16; 3], values: &[f64]) -> Self {
        let mut image = Image::new(shape, 0, 0.0);
        image.values = Some(values.to_vec());
        image
    }

    pub fn values(&self) -> Vec<f64> {
        let count = self.shape.iter().map(|&n| n as usize).product::<usize>()
            * self.volumes.max(1) as usize;
        self.values
            .clone()
            .unwrap_or_else(|| (0..count).map(|v| v as f64).collect())
    }

    pub fn header(&self) -> Vec<u8> {
        match self.version {
            1 => self.header_1(),
            _ => self.header_2(),
        }
    }

    fn dim(&self) -> [i16; 8] {
        let [nx, ny, nz] = self.shape;
        let dimensions = if self.volumes == 0 { 3 } else { 4 };
        [dimensions, nx, ny, nz, self.volumes.max(1), 1, 1, 1]
    }

    fn pixdim(&self) -> [f32; 5] {
        [1.0, 3.0, 3.0, 3.0, self.tr]
    }

    /// Puts a field, given little-endian, where it belongs.
    fn put(&self, bytes: &mut [u8], at: usize, little: &[u8]) {
        let field = &mut bytes[at..at + little.len()];
        field.copy_from_slice(little);
        if self.big_endian {
            field.reverse();
        }
    }

    fn header_1(&self) -> Vec<u8> {
        let mut bytes = vec![0u8; 348];
        let mut put = |at: usize, little: &[u8]| self.put(&mut bytes, at, little);
        put(0, &348i32.to_le_bytes());
        for (axis, n) in self.dim().iter().enumerate() {
            put(40 + 2 * axis, &n.to_le_bytes());
        }
        put(70, &self.code.to_le_bytes());
        put(72, &(8 * self.width() as i16).to_le_bytes());
        for (axis, zoom) in self.pixdim().iter().enumerate() {
            put(76 + 4 * axis, &zoom.to_le_bytes());
        }
        let offset = if self.pair { 0f32 } else { 352.0 };
        put(108, &offset.to_le_bytes());
        put(112, &self.slope.to_le_bytes());
        put(116, &self.inter.to_le_bytes());
        put(123, &[2 | 8]);
        put(254, &1i16.to_le_bytes());
        for row in 0..3 {
            put(280 + 20 * row, &3f32.to_le_bytes());
            put(292 + 16 * row, &self.origin.to_le_bytes());
        }
        bytes[148..152].copy_from_slice(b"made");
        bytes[344..348].copy_from_slice(if self.pair { b"ni1\0" } else { b"n+1\0" });
        bytes
    }

    fn header_2(&self) -> Vec<u8> {
        let mut bytes = vec![0u8; 540];
        let mut put = |at: usize, little: &[u8]| self.put(&mut bytes, at, little);
        put(0, &540i32.to_le_bytes());
        put(12, &self.code.to_le_bytes());
        put(14, &(8 * self.width() as i16).to_le_bytes());
        for (axis, n) in self.dim().iter().enumerate() {
            put(16 + 8 * axis, &i64::from(*n).to_le_bytes());
        }
        for (axis, zoom) in self.pixdim().iter().enumerate() {
            put(104 + 8 * axis, &f64::from(*zoom).to_le_bytes());
        }
        let offset = if self.pair { 0i64 } else { 544 };
        put(168, &offset.to_le_bytes());
        put(176, &f64::from(self.slope).to_le_bytes());
        put(184, &f64::from(self.inter).to_le_bytes());
        put(348, &1i32.to_le_bytes());
        for row in 0..3 {
            put(400 + 40 * row, &3f64.to_le_bytes());
            put(424 + 32 * row, &f64::from(self.origin).to_le_bytes());
        }
        put(500, &(2 | 8i32).to_le_bytes());
        bytes[240..244].copy_from_slice(b"made");
        bytes[4..8].copy_from_slice(if self.pair { b"ni2\0" } else { b"n+2\0" });
        bytes[8..12].copy_from_slice(b"\r\n\x1a\n");
        bytes
    }

    fn width(&self) -> usize {
        match self.code {
            2 | 256 => 1,
            4 | 512 => 2,
            8 | 16 | 768 => 4,
            _ => 8,
        }
    }

    /// The whole file, where it is one.
    pub fn bytes(&self) -> Vec<u8> {
        [self.header(), vec![0; 4], self.voxels()].concat()
    }

    /// The voxels as they are on disk.
    pub fn voxels(&self) -> Vec<u8> {
        let mut bytes = vec![];
        for v in self.values() {
            let mut element = match self.code {
                2 => (v as u8).to_le_bytes().to_vec(),
                256 => (v as i8).to_le_bytes().to_vec(),
                4 => (v as i16).to_le_bytes().to_vec(),
                512 => (v as u16).to_le_bytes().to_vec(),
                8 => (v as i32).to_le_bytes().to_vec(),
                768 => (v as u32).to_le_bytes().to_vec(),
                1024 => (v as i64).to_le_bytes().to_vec(),
                1280 => (v as u64).to_le_bytes().to_vec(),
                64 => v.to_le_bytes().to_vec(),
                _ => (v as f32).to_le_bytes().to_vec(),
            };
            if self.big_endian {
                element.reverse();
            }
            bytes.extend(element);
        }
        bytes
    }

    /// Writes it, compressed if the name ends so. A pair is named by its header, `a.hdr`
    /// or `a.hdr.gz`, and its voxels go to the `.img` beside it.
    pub fn write(&self, directory: &Path, name: &str) -> PathBuf {
        let write = |name: &str, bytes: Vec<u8>| {
            let path = directory.join(name);
            let bytes = if name.ends_with(".gz") {
                gzip(&bytes)
            } else {
                bytes
            };
            std::fs::write(&path, bytes).unwrap();
            path
        };
        if self.pair {
            write(&name.replace(".hdr", ".img"), self.voxels());
            return write(name, self.header());
        }
        write(name, self.bytes())
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
