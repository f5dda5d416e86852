//! How the Y'CbCr numbers of a stream mean colours.

use rust_h264::nal::SpsInfo;
use yuv::{YuvRange, YuvStandardMatrix};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    pub range: YuvRange,
    pub matrix: YuvStandardMatrix,
}

impl Colour {
    /// `matrix` is a number of ITU-T H.273, table 4. What says nothing (2), or RGB, is BT.601, as
    /// in ffmpeg and so in decord, OpenCV and PyAV; players on a screen guess BT.709 from 720 lines on.
    pub fn new(matrix: u64, is_full: bool) -> Self {
        let matrix = match matrix {
            1 => YuvStandardMatrix::Bt709,
            4 => YuvStandardMatrix::Fcc,
            7 => YuvStandardMatrix::Smpte240,
            9 | 10 => YuvStandardMatrix::Bt2020,
            _ => YuvStandardMatrix::Bt601,
        };
        let range = match is_full {
            true => YuvRange::Full,
            false => YuvRange::Limited,
        };
        Self { range, matrix }
    }

    /// What an H.264 parameter set says; limited range where it says nothing.
    pub fn of_h264(info: Option<&SpsInfo>) -> Self {
        Self::new(
            info.map_or(2, |i| u64::from(i.matrix)),
            info.is_some_and(|i| i.full_range),
        )
    }
}

impl Colour {
    /// Red, green and blue of a pixel, rounded. The numbers are those of 8 bits, and may have fractions.
    pub fn rgb(&self, y: f64, cb: f64, cr: f64) -> [u8; 3] {
        let (y, cb, cr) = match self.range {
            YuvRange::Limited => (
                (y - 16.0) / 219.0,
                (cb - 128.0) / 224.0,
                (cr - 128.0) / 224.0,
            ),
            YuvRange::Full => (y / 255.0, (cb - 128.0) / 255.0, (cr - 128.0) / 255.0),
        };
        // The parts of red and blue in luma.
        let (kr, kb) = match self.matrix {
            YuvStandardMatrix::Bt709 => (0.2126, 0.0722),
            YuvStandardMatrix::Fcc => (0.30, 0.11),
            YuvStandardMatrix::Smpte240 => (0.212, 0.087),
            YuvStandardMatrix::Bt2020 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        let (red, blue) = (y + 2.0 * (1.0 - kr) * cr, y + 2.0 * (1.0 - kb) * cb);
        let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
        // A conversion to an integer keeps within it.
        [red, green, blue].map(|v| (v * 255.0).round() as u8)
    }
}
