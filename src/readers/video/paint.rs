//! A decoded picture as numbers, in the size and the colours that were asked for.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{InnerPixel, U8, U8x3};
use fast_image_resize::{PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use rust_h264::decoder::{ChromaFormat, Frame};
use yuv::{YuvPlanarImage, YuvRange};

use super::colour::Colour;

/// How pictures are to be.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub resize: ResizeAlg,
    pub is_grey: bool,
}

impl Look {
    pub fn channels(&self) -> usize {
        if self.is_grey { 1 } else { 3 }
    }
}

/// A picture as a decoder gives it.
pub enum Picture<'a> {
    Coded(&'a Frame),
    /// Red, green and blue of each pixel, row by row.
    Rgb {
        width: u32,
        height: u32,
        rgb: &'a [u8],
    },
}

/// Turns pictures into rows of numbers; keeps its buffers between them.
pub struct Painter {
    colour: Colour,
    /// Clockwise quarter turns from how it is stored to how it is shown.
    turns: u8,
    width: u32,
    height: u32,
    look: Look,
    resizer: Resizer,
    planes: [Vec<u16>; 3],
    rgb: Vec<u8>,
    grey: Vec<u8>,
    across: Vec<u8>,
    resized: Vec<u8>,
}

impl Painter {
    /// `width` and `height` are those of the result, after turning.
    pub fn new(colour: Colour, turns: u8, width: u32, height: u32, look: Look) -> Self {
        Self {
            colour,
            turns,
            width,
            height,
            look,
            resizer: Resizer::new(),
            planes: Default::default(),
            rgb: Vec::new(),
            grey: Vec::new(),
            across: Vec::new(),
            resized: Vec::new(),
        }
    }

    /// Appends the picture as height × width × channels numbers from 0 to 1.
    ///
    /// Chroma is repeated, not interpolated, as ffmpeg does by default; grey and
    /// the size are made of 8-bit RGB, and the turn comes last.
    pub fn paint(&mut self, picture: Picture, out: &mut Vec<f32>) -> Result<(), String> {
        let (stored_width, stored_height) = match picture {
            Picture::Coded(frame) => {
                convert(&self.colour, frame, &mut self.planes, &mut self.rgb)?;
                (frame.width, frame.height)
            }
            Picture::Rgb { width, height, .. } => (width, height),
        };
        let mut bytes: &[u8] = match picture {
            Picture::Coded(_) => &self.rgb,
            Picture::Rgb { rgb, .. } => rgb,
        };
        if self.look.is_grey {
            self.grey.clear();
            self.grey.extend(bytes.chunks_exact(3).map(luma));
            bytes = &self.grey;
        }
        let (width, height) = match self.turns % 2 {
            0 => (self.width, self.height),
            _ => (self.height, self.width),
        };
        if (stored_width, stored_height) != (width, height) {
            let (from, to) = ((stored_width, stored_height), (width, height));
            let (resizer, resize) = (&mut self.resizer, self.look.resize);
            let (across, resized) = (&mut self.across, &mut self.resized);
            match self.look.is_grey {
                true => scale::<U8>(resizer, resize, bytes, from, across, resized, to)?,
                false => scale::<U8x3>(resizer, resize, bytes, from, across, resized, to)?,
            }
            bytes = &self.resized;
        }
        let (width, height) = (width as usize, height as usize);
        match self.look.is_grey {
            true => turn::<1>(bytes, width, height, self.turns, out),
            false => turn::<3>(bytes, width, height, self.turns, out),
        }
        Ok(())
    }
}

/// BT.601 luma of a pixel in 16-bit fixed point, rounded: Pillow's `convert('L')`.
fn luma(rgb: &[u8]) -> u8 {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8
}

/// First across, then down, each rounded to 8 bits: Pillow's order, which shows where a filter overshoots.
fn scale<P: PixelTrait + InnerPixel>(
    resizer: &mut Resizer,
    resize: ResizeAlg,
    bytes: &[u8],
    (from_width, from_height): (u32, u32),
    across: &mut Vec<u8>,
    resized: &mut Vec<u8>,
    (width, height): (u32, u32),
) -> Result<(), String> {
    let between = (width, from_height);
    pass::<P>(
        resizer,
        resize,
        bytes,
        (from_width, from_height),
        across,
        between,
    )?;
    pass::<P>(resizer, resize, across, between, resized, (width, height))
}

// Of one type: with `Image`, all thirteen kinds of pixels would be compiled, a quarter of
// this crate's code.
fn pass<P: PixelTrait + InnerPixel>(
    resizer: &mut Resizer,
    resize: ResizeAlg,
    bytes: &[u8],
    (from_width, from_height): (u32, u32),
    resized: &mut Vec<u8>,
    (width, height): (u32, u32),
) -> Result<(), String> {
    let fail = |e: &dyn std::fmt::Display| format!("cannot change the picture's size: {e}");
    let from =
        TypedImageRef::<P>::from_buffer(from_width, from_height, bytes).map_err(|e| fail(&e))?;
    resized.resize(width as usize * height as usize * size_of::<P>(), 0);
    let mut to = TypedImage::<P>::from_buffer(width, height, resized).map_err(|e| fail(&e))?;
    let options = ResizeOptions::new().resize_alg(resize);
    resizer
        .resize_typed(&from, &mut to, &options)
        .map_err(|e| fail(&e))
}

/// A byte as a number from 0 to 1. (A table would keep the compiler from SIMD.)
fn unit(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

/// Appends a stored picture of `w` × `h` pixels of `N` bytes, turned clockwise, as numbers.
fn turn<const N: usize>(picture: &[u8], w: usize, h: usize, turns: u8, out: &mut Vec<f32>) {
    match turns {
        0 => out.extend(picture.iter().map(|&b| unit(b))),
        2 => out.extend(picture.chunks_exact(N).rev().flatten().map(|&b| unit(b))),
        turns => {
            // Row y of the result is a column of the stored picture.
            for y in 0..w {
                for x in 0..h {
                    let (sx, sy) = match turns {
                        1 => (y, h - 1 - x),
                        _ => (w - 1 - y, x),
                    };
                    let at = N * (sy * w + sx);
                    out.extend(picture[at..at + N].iter().map(|&b| unit(b)));
                }
            }
        }
    }
}

/// Fills `rgb` with the picture as it is stored.
fn convert(
    colour: &Colour,
    frame: &Frame,
    planes: &mut [Vec<u16>; 3],
    rgb: &mut Vec<u8>,
) -> Result<(), String> {
    let Colour { range, matrix } = *colour;
    let (width, height) = (frame.width, frame.height);
    rgb.resize(width as usize * height as usize * 3, 0);
    let stride = width * 3;
    if frame.bit_depth > 8 {
        for (plane, bytes) in planes.iter_mut().zip([&frame.y, &frame.u, &frame.v]) {
            plane.clear();
            plane.extend(
                bytes
                    .chunks_exact(2)
                    .map(|b| u16::from_le_bytes([b[0], b[1]])),
            );
        }
        let [y, u, v] = planes;
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
    .map_err(|e| format!("cannot convert a {width} x {height} picture to RGB: {e}"))?;
    below_black(colour, frame, rgb);
    Ok(())
}

/// Where luma is below black, colours lose what it is below; `yuv` takes it for black.
fn below_black(colour: &Colour, frame: &Frame, rgb: &mut [u8]) {
    if colour.range != YuvRange::Limited {
        return;
    }
    let width = frame.width as usize;
    let bytes = frame.bytes_per_sample();
    let scale = if bytes == 1 { 1.0 } else { 4.0 };
    let down = usize::from(frame.chroma_format == ChromaFormat::Yuv420);
    let chroma_width = frame.chroma_width() as usize;
    for (row, line) in frame.y.chunks_exact(width * bytes).enumerate() {
        for (run, lumas) in line.chunks(RUN * bytes).enumerate() {
            let least = match bytes {
                1 => lumas.iter().fold(u8::MAX, |least, &y| least.min(y)).into(),
                _ => least_of_16_bits(lumas) / 4,
            };
            // Most runs have none, and the least is found by SIMD.
            if least >= 16 {
                continue;
            }
            for x in run * RUN..(run * RUN + RUN).min(width) {
                let y = f64::from(frame.sample(&frame.y, row * width + x)) / scale;
                if y < 16.0 {
                    let at = (row >> down) * chroma_width + x / 2;
                    let cb = f64::from(frame.sample(&frame.u, at)) / scale;
                    let cr = f64::from(frame.sample(&frame.v, at)) / scale;
                    let pixel = 3 * (row * width + x);
                    rgb[pixel..pixel + 3].copy_from_slice(&colour.rgb(y, cb, cr));
                }
            }
        }
    }
}

/// Pixels that are looked at together.
const RUN: usize = 32;

fn least_of_16_bits(bytes: &[u8]) -> u16 {
    bytes
        .as_chunks()
        .0
        .iter()
        .fold(u16::MAX, |least, &y| least.min(u16::from_le_bytes(y)))
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
