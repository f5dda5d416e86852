//! A decoded picture in the size and the colours that were asked for, and as numbers.

use std::ops::Range;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{InnerPixel, U8, U8x3, U8x4};
use fast_image_resize::{PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use rust_h264::decoder::Frame;

use super::colour::Colour;
use super::convert::Converter;

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

/// Gives pictures the size and the colours that were asked for; keeps its buffers between them.
pub struct Painter {
    colour: Colour,
    /// Clockwise quarter turns from how it is stored to how it is shown.
    turns: u8,
    width: u32,
    height: u32,
    look: Look,
    resizer: Resizer,
    converter: Converter,
    pixels: Vec<u8>,
    grey: Vec<u8>,
    across: Vec<u8>,
    quads: [Vec<u8>; 2],
    resized: Vec<u8>,
    turned: Vec<u8>,
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
            converter: Converter::default(),
            pixels: Vec::new(),
            grey: Vec::new(),
            across: Vec::new(),
            quads: Default::default(),
            resized: Vec::new(),
            turned: Vec::new(),
        }
    }

    /// Appends the picture as height × width × channels numbers from 0 to 1.
    pub fn paint_numbers(&mut self, picture: Picture, out: &mut Vec<f32>) -> Result<(), String> {
        let shown = (self.width, self.height);
        match picture {
            Picture::Coded(frame)
                if (frame.width, frame.height) == shown
                    && self.turns == 0
                    && !self.look.is_grey =>
            {
                for rows in bands(frame.height) {
                    let pixels = &mut self.pixels;
                    self.converter
                        .convert::<3>(&self.colour, frame, rows, pixels)?;
                    append_numbers(pixels, out);
                }
            }
            picture => append_numbers(self.paint(picture)?, out),
        }
        Ok(())
    }

    /// The picture as height × width × channels bytes.
    ///
    /// Grey and the size are made of 8-bit RGB, and the turn comes last.
    pub fn paint<'a>(&'a mut self, picture: Picture<'a>) -> Result<&'a [u8], String> {
        let (colour, is_grey) = (&self.colour, self.look.is_grey);
        let from = match &picture {
            Picture::Coded(frame) => (frame.width, frame.height),
            Picture::Rgb { width, height, .. } => (*width, *height),
        };
        let to = match self.turns % 2 {
            0 => (self.width, self.height),
            _ => (self.height, self.width),
        };
        let (resizer, resize) = (&mut self.resizer, self.look.resize);
        let (pixels, across, resized) = (&mut self.pixels, &mut self.across, &mut self.resized);
        // Across, then down, each rounded to 8 bits: Pillow's order, which shows where a filter overshoots.
        let between = (to.0, from.1);
        let mut bytes: &[u8] = match picture {
            picture if is_grey => {
                self.grey.clear();
                match picture {
                    Picture::Coded(frame) => {
                        for rows in bands(frame.height) {
                            self.converter.convert::<4>(colour, frame, rows, pixels)?;
                            append_greys::<4>(pixels, &mut self.grey);
                        }
                    }
                    Picture::Rgb { rgb, .. } => append_greys::<3>(rgb, &mut self.grey),
                }
                if from == to {
                    &self.grey
                } else {
                    let quads = &mut self.quads;
                    across_by_fours(resizer, resize, &self.grey, from, quads, across, to.0)?;
                    pass::<U8>(resizer, resize, across, between, resized, to)?;
                    resized
                }
            }
            Picture::Coded(frame) if from != to => {
                // A fourth channel that means nothing costs less than three.
                self.converter
                    .convert::<4>(colour, frame, 0..frame.height, pixels)?;
                pass::<U8x4>(resizer, resize, pixels, from, across, between)?;
                pass::<U8x4>(resizer, resize, across, between, pixels, to)?;
                let pixels = pixels.as_chunks::<4>().0;
                resized.resize(pixels.len() * 3, 0);
                let three = resized.as_chunks_mut().0.iter_mut().zip(pixels);
                three.for_each(|(out, &[r, g, b, _])| *out = [r, g, b]);
                resized
            }
            Picture::Coded(frame) => {
                self.converter
                    .convert::<3>(colour, frame, 0..frame.height, pixels)?;
                pixels
            }
            Picture::Rgb { rgb, .. } if from != to => {
                pass::<U8x3>(resizer, resize, rgb, from, across, between)?;
                pass::<U8x3>(resizer, resize, across, between, resized, to)?;
                resized
            }
            Picture::Rgb { rgb, .. } => rgb,
        };
        if self.turns != 0 {
            let (width, height) = (to.0 as usize, to.1 as usize);
            match is_grey {
                true => turn::<1>(bytes, width, height, self.turns, &mut self.turned),
                false => turn::<3>(bytes, width, height, self.turns, &mut self.turned),
            }
            bytes = &self.turned;
        }
        Ok(bytes)
    }
}

/// Appends bytes as numbers from 0 to 1.
pub fn append_numbers(bytes: &[u8], out: &mut Vec<f32>) {
    out.extend(bytes.iter().map(|&byte| number(byte)));
}

/// A byte over 255, correctly rounded. (A division takes several times as long, and a table would
/// keep the compiler from SIMD.)
fn number(byte: u8) -> f32 {
    // 1/255 in two parts. A byte times the first, which has 16 bits, is exact, and what the
    // second's product is rounded by is too little to change the sum: a test tries all bytes.
    const HIGH: f32 = f32::from_bits((1.0f32 / 255.0).to_bits() & 0xFFFF_FF00);
    const LOW: f32 = (1.0 / 255.0 - HIGH as f64) as f32;
    let byte = f32::from(byte);
    byte * HIGH + byte * LOW
}

/// The rows of a picture, some at a time: so few that their colours stay in the processor's cache.
fn bands(height: u32) -> impl Iterator<Item = Range<u32>> {
    const ROWS: u32 = 16;
    let starts = (0..height).step_by(ROWS as usize);
    starts.map(move |start| start..height.min(start + ROWS))
}

/// Appends the BT.601 luma of pixels of `N` bytes in 16-bit fixed point, rounded: Pillow's `convert('L')`.
fn append_greys<const N: usize>(pixels: &[u8], greys: &mut Vec<u8>) {
    // Factors of 15 bits at most are one instruction for eight products; 38,470 is twice one.
    let luma = |pixel: &[u8; N]| {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
        ((19_595 * r + 2 * (19_235 * g) + 7_471 * b + 0x8000) >> 16) as u8
    };
    in_wide_lanes(|| greys.extend(pixels.as_chunks().0.iter().map(luma)));
}

/// Does `work` with the processor's wider registers, if it has them: loops over bytes take half the time.
fn in_wide_lanes(work: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2(work: impl FnOnce()) {
            work();
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { with_avx2(work) };
        }
    }
    work();
}

/// Changes the width of a grey picture. Four rows are the four channels of one, which takes a quarter of the time
/// that `fast_image_resize` takes for a row at once.
fn across_by_fours(
    resizer: &mut Resizer,
    resize: ResizeAlg,
    bytes: &[u8],
    (from_width, height): (u32, u32),
    [quads, resized]: &mut [Vec<u8>; 2],
    across: &mut Vec<u8>,
    width: u32,
) -> Result<(), String> {
    let row = from_width as usize;
    let fours = height.div_ceil(4);
    quads.clear();
    quads.resize(fours as usize * row * 4, 0);
    for (four, out) in bytes.chunks(4 * row).zip(quads.chunks_exact_mut(4 * row)) {
        let last = four.len() - row;
        // Below the last row it stands again.
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| &four[(i * row).min(last)..][..row]);
        let columns = a.iter().zip(b).zip(c).zip(d);
        let out = out.as_chunks_mut().0.iter_mut();
        in_wide_lanes(|| {
            for (out, (((a, b), c), d)) in out.zip(columns) {
                let [a, b, c, d] = [*a, *b, *c, *d].map(u32::from);
                *out = (a | b << 8 | c << 16 | d << 24).to_le_bytes();
            }
        });
    }
    pass::<U8x4>(
        resizer,
        resize,
        quads,
        (from_width, fours),
        resized,
        (width, fours),
    )?;
    let row = width as usize;
    across.clear();
    across.resize(height as usize * row, 0);
    for (four, out) in resized
        .chunks_exact(4 * row)
        .zip(across.chunks_mut(4 * row))
    {
        for (i, out) in out.chunks_exact_mut(row).enumerate() {
            let quads = four.as_chunks::<4>().0;
            in_wide_lanes(|| {
                out.iter_mut()
                    .zip(quads)
                    .for_each(|(out, quad)| *out = (u32::from_le_bytes(*quad) >> (8 * i)) as u8);
            });
        }
    }
    Ok(())
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
    let options = ResizeOptions::new().resize_alg(resize).use_alpha(false);
    resizer
        .resize_typed(&from, &mut to, &options)
        .map_err(|e| fail(&e))
}

/// Fills `turned` with a stored picture of `w` × `h` pixels of `N` bytes, turned clockwise.
fn turn<const N: usize>(picture: &[u8], w: usize, h: usize, turns: u8, turned: &mut Vec<u8>) {
    let pixels = picture.as_chunks::<N>().0;
    turned.resize(pixels.len() * N, 0);
    let out = turned.as_chunks_mut::<N>().0;
    match turns {
        2 => {
            for (to, from) in out.iter_mut().zip(pixels.iter().rev()) {
                *to = *from;
            }
        }
        turns => {
            // Row y of the result is a column of the stored picture.
            for (y, row) in out.chunks_exact_mut(h).enumerate() {
                for (x, to) in row.iter_mut().enumerate() {
                    let (sx, sy) = match turns {
                        1 => (y, h - 1 - x),
                        _ => (w - 1 - y, x),
                    };
                    *to = pixels[sy * w + sx];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fast_image_resize::FilterType;

    use super::*;

    #[test]
    fn four_rows_at_once_are_rows_one_by_one() {
        for (width, height, to) in [(64, 36, 31), (17, 5, 40), (9, 1, 4), (640, 7, 3)] {
            let bytes: Vec<u8> = (0..width * height)
                .map(|i| ((i * 7919) >> 3) as u8)
                .collect();
            for resize in [
                ResizeAlg::Nearest,
                ResizeAlg::Convolution(FilterType::Lanczos3),
                ResizeAlg::Convolution(FilterType::Bilinear),
            ] {
                let (mut one, mut four) = (Vec::new(), Vec::new());
                let resizer = &mut Resizer::new();
                let from = (width, height);
                pass::<U8>(resizer, resize, &bytes, from, &mut one, (to, height)).unwrap();
                let quads = &mut Default::default();
                across_by_fours(resizer, resize, &bytes, from, quads, &mut four, to).unwrap();
                assert_eq!(one, four, "{width} x {height} to {to}");
            }
        }
    }

    #[test]
    fn numbers_are_correctly_rounded() {
        for byte in 0..=u8::MAX {
            let exact = f32::from(byte) / 255.0;
            assert_eq!(number(byte).to_bits(), exact.to_bits(), "{byte}");
        }
    }
}
