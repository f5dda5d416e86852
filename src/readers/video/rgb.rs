//! A decoded picture as RGB numbers of the size that was asked for.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use rust_h264::decoder::{ChromaFormat, Frame};
use rust_h264::nal::SpsInfo;
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

/// How Y'CbCr numbers of a stream mean colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    range: YuvRange,
    matrix: YuvStandardMatrix,
}

impl Colour {
    /// What the stream's parameter set says (ITU-T H.264, table E-5). Where it
    /// says nothing, limited range, and BT.709 from 720 lines on, BT.601 below.
    pub fn new(info: Option<&SpsInfo>, height: u32) -> Self {
        let matrix = match info.map_or(2, |i| i.matrix) {
            1 => YuvStandardMatrix::Bt709,
            4 => YuvStandardMatrix::Fcc,
            5 | 6 => YuvStandardMatrix::Bt601,
            7 => YuvStandardMatrix::Smpte240,
            9 | 10 => YuvStandardMatrix::Bt2020,
            _ if height >= 720 => YuvStandardMatrix::Bt709,
            _ => YuvStandardMatrix::Bt601,
        };
        let range = match info.is_some_and(|i| i.full_range) {
            true => YuvRange::Full,
            false => YuvRange::Limited,
        };
        Self { range, matrix }
    }
}

/// Turns pictures into rows of numbers; keeps its buffers between them.
pub struct Painter {
    colour: Colour,
    /// Clockwise quarter turns from how it is stored to how it is shown.
    turns: u8,
    width: u32,
    height: u32,
    resizer: Resizer,
    planes: [Vec<u16>; 3],
    rgb: Vec<u8>,
    resized: Vec<u8>,
    /// b/255 for every byte b.
    unit: [f32; 256],
}

impl Painter {
    /// `width` and `height` are those of the result, after turning.
    pub fn new(colour: Colour, turns: u8, width: u32, height: u32) -> Self {
        Self {
            colour,
            turns,
            width,
            height,
            resizer: Resizer::new(),
            planes: Default::default(),
            rgb: Vec::new(),
            resized: Vec::new(),
            unit: std::array::from_fn(|b| b as f32 / 255.0),
        }
    }

    /// Appends the picture as height × width × 3 numbers from 0 to 1.
    ///
    /// Chroma is repeated, not interpolated, as ffmpeg does by default; the
    /// size is changed on 8-bit RGB by a triangle filter that widens when it
    /// shrinks (antialiasing), as Pillow's `BILINEAR` and ffmpeg's `bilinear`.
    pub fn paint(&mut self, frame: &Frame, out: &mut Vec<f32>) -> Result<(), String> {
        self.convert(frame)?;
        let (width, height) = match self.turns % 2 {
            0 => (self.width, self.height),
            _ => (self.height, self.width),
        };
        let picture = if (frame.width, frame.height) == (width, height) {
            &self.rgb
        } else {
            // Of one type: with `Image`, all thirteen kinds of pixels would be compiled, a
            // quarter of this crate's code.
            let from = TypedImageRef::<U8x3>::from_buffer(frame.width, frame.height, &self.rgb)
                .map_err(|e| e.to_string())?;
            self.resized.resize((width * height * 3) as usize, 0);
            let mut to = TypedImage::<U8x3>::from_buffer(width, height, &mut self.resized)
                .map_err(|e| e.to_string())?;
            let options =
                ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
            self.resizer
                .resize_typed(&from, &mut to, &options)
                .map_err(|e| e.to_string())?;
            &self.resized
        };
        let unit = &self.unit;
        match self.turns {
            0 => out.extend(picture.iter().map(|&b| unit[b as usize])),
            2 => out.extend(
                picture
                    .chunks_exact(3)
                    .rev()
                    .flatten()
                    .map(|&b| unit[b as usize]),
            ),
            turns => {
                // Row y of the result is a column of the stored picture.
                let (w, h) = (width as usize, height as usize);
                for y in 0..w {
                    for x in 0..h {
                        let (sx, sy) = if turns == 1 {
                            (y, h - 1 - x)
                        } else {
                            (w - 1 - y, x)
                        };
                        let at = 3 * (sy * w + sx);
                        out.extend(picture[at..at + 3].iter().map(|&b| unit[b as usize]));
                    }
                }
            }
        }
        Ok(())
    }

    /// Fills `rgb` with the picture as it is stored.
    fn convert(&mut self, frame: &Frame) -> Result<(), String> {
        let (width, height) = (frame.width, frame.height);
        self.rgb.resize(width as usize * height as usize * 3, 0);
        let (rgb, stride) = (&mut self.rgb, width * 3);
        let Colour { range, matrix } = self.colour;
        if frame.bit_depth > 8 {
            for (plane, bytes) in self.planes.iter_mut().zip([&frame.y, &frame.u, &frame.v]) {
                plane.clear();
                plane.extend(
                    bytes
                        .chunks_exact(2)
                        .map(|b| u16::from_le_bytes([b[0], b[1]])),
                );
            }
            let [y, u, v] = &self.planes;
            let image = planar(frame, [y, u, v]);
            match frame.chroma_format {
                ChromaFormat::Yuv420 => yuv::i010_to_rgb(&image, rgb, stride, range, matrix),
                ChromaFormat::Yuv422 => yuv::i210_to_rgb(&image, rgb, stride, range, matrix),
            }
        } else {
            let image = planar(frame, [&frame.y, &frame.u, &frame.v]);
            match frame.chroma_format {
                ChromaFormat::Yuv420 => yuv::yuv420_to_rgb(&image, rgb, stride, range, matrix),
                ChromaFormat::Yuv422 => yuv::yuv422_to_rgb(&image, rgb, stride, range, matrix),
            }
        }
        .map_err(|e| format!("cannot convert a {width} x {height} picture to RGB: {e}"))
    }
}

fn planar<'a, T: Copy + std::fmt::Debug>(
    frame: &Frame,
    [y_plane, u_plane, v_plane]: [&'a [T]; 3],
) -> YuvPlanarImage<'a, T> {
    YuvPlanarImage {
        y_plane,
        y_stride: frame.width,
        u_plane,
        u_stride: frame.chroma_width(),
        v_plane,
        v_stride: frame.chroma_width(),
        width: frame.width,
        height: frame.height,
    }
}
