//! Y'CbCr of a decoded picture as 8-bit colours.

use std::ops::Range;

use rust_h264::decoder::{ChromaFormat, Frame};
use yuv::{YuvPlanarImage, YuvRange};

use super::colour::Colour;

/// Converts pictures; keeps a buffer for those of more than 8 bits.
#[derive(Default)]
pub struct Converter {
    planes: [Vec<u16>; 3],
}

impl Converter {
    /// Fills `pixels` with rows of the picture as it is stored, from an even one on, `N` bytes a pixel: 3 are
    /// red, green and blue, 4 have one more that means nothing. Four bytes are one lane of SIMD.
    ///
    /// Chroma is repeated, not interpolated, as ffmpeg does by default.
    pub fn convert<const N: usize>(
        &mut self,
        colour: &Colour,
        frame: &Frame,
        rows: Range<u32>,
        pixels: &mut Vec<u8>,
    ) -> Result<(), String> {
        let Colour { range, matrix } = *colour;
        let (width, height) = (frame.width, rows.end - rows.start);
        pixels.resize(width as usize * height as usize * N, 0);
        let stride = width * N as u32;
        let is_420 = frame.chroma_format == ChromaFormat::Yuv420;
        let bands = [
            band(frame, &frame.y, width, rows.clone()),
            band(frame, &frame.u, frame.chroma_width(), chroma(&rows, is_420)),
            band(frame, &frame.v, frame.chroma_width(), chroma(&rows, is_420)),
        ];
        if frame.bit_depth > 8 {
            for (plane, bytes) in self.planes.iter_mut().zip(bands) {
                plane.clear();
                let samples = bytes.as_chunks().0.iter();
                plane.extend(samples.map(|&sample| u16::from_le_bytes(sample)));
            }
            let [y, u, v] = &self.planes;
            let convert = match (is_420, N) {
                (true, 3) => yuv::i010_to_rgb,
                (true, _) => yuv::i010_to_rgba,
                (false, 3) => yuv::i210_to_rgb,
                (false, _) => yuv::i210_to_rgba,
            };
            convert(
                &planar(frame, height, [y, u, v]),
                pixels,
                stride,
                range,
                matrix,
            )
        } else {
            let convert = match (is_420, N) {
                (true, 3) => yuv::yuv420_to_rgb,
                (true, _) => yuv::yuv420_to_rgba,
                (false, 3) => yuv::yuv422_to_rgb,
                (false, _) => yuv::yuv422_to_rgba,
            };
            convert(&planar(frame, height, bands), pixels, stride, range, matrix)
        }
        .map_err(|e| format!("cannot convert a {width} x {height} picture to RGB: {e}"))?;
        below_black::<N>(colour, frame, rows, pixels);
        Ok(())
    }
}

/// Where luma is below black, colours lose what it is below; `yuv` takes it for black.
fn below_black<const N: usize>(
    colour: &Colour,
    frame: &Frame,
    rows: Range<u32>,
    pixels: &mut [u8],
) {
    if colour.range != YuvRange::Limited {
        return;
    }
    let width = frame.width as usize;
    let bytes = frame.bytes_per_sample();
    let scale = if bytes == 1 { 1.0 } else { 4.0 };
    let down = usize::from(frame.chroma_format == ChromaFormat::Yuv420);
    let chroma_width = frame.chroma_width() as usize;
    let first = rows.start as usize;
    let lines = band(frame, &frame.y, frame.width, rows).chunks_exact(width * bytes);
    for (line, row) in lines.zip(first..) {
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
                    let pixel = N * ((row - first) * width + x);
                    pixels[pixel..pixel + 3].copy_from_slice(&colour.rgb(y, cb, cr));
                }
            }
        }
    }
}

/// The bytes of some rows of a plane; none where it has not so many.
fn band<'a>(frame: &Frame, plane: &'a [u8], width: u32, rows: Range<u32>) -> &'a [u8] {
    let row = width as usize * frame.bytes_per_sample();
    let (start, end) = (rows.start as usize * row, rows.end as usize * row);
    plane.get(start..end).unwrap_or_default()
}

/// The rows of chroma that belong to rows of luma.
fn chroma(rows: &Range<u32>, is_420: bool) -> Range<u32> {
    match is_420 {
        true => rows.start / 2..rows.end.div_ceil(2),
        false => rows.clone(),
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
    height: u32,
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
        height,
    }
}
