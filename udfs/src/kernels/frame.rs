//! What a picture looks like as a whole.
//!
//! A picture is `height × width` numbers, or `height × width × 3` of red, green and blue.

/// BT.601 luma of a pixel: 0.299 R + 0.587 G + 0.114 B, of the values as they are coded.
pub const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

/// The luma of each pixel, which has 1 or 3 `channels`; what grey pictures hold is luma.
pub fn lumas<T: Copy + Into<f64>>(picture: &[T], channels: usize) -> impl Iterator<Item = f64> {
    picture
        .chunks_exact(channels.max(1))
        .map(|pixel| match pixel {
            [r, g, b] => LUMA[0] * (*r).into() + LUMA[1] * (*g).into() + LUMA[2] * (*b).into(),
            [grey, ..] => (*grey).into(),
            [] => f64::NAN,
        })
}

/// The mean luma; NaN of no pixels.
pub fn luminance<T: Copy + Into<f64>>(picture: &[T], channels: usize) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for luma in lumas(picture, channels) {
        sum += luma;
        count += 1;
    }
    sum / count as f64
}

/// The standard deviation of luma over the pixels, divided by their number (Peli 1990); NaN
/// of no pixels.
pub fn rms_contrast<T: Copy + Into<f64>>(picture: &[T], channels: usize) -> f64 {
    let mean = luminance(picture, channels);
    let (mut squares, mut count) = (0.0, 0usize);
    for luma in lumas(picture, channels) {
        squares += (luma - mean) * (luma - mean);
        count += 1;
    }
    (squares / count as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_deviations() {
        assert_eq!(luminance(&[0.0f32, 1.0, 0.0, 1.0], 1), 0.5);
        assert_eq!(rms_contrast(&[0.0f32, 1.0, 0.0, 1.0], 1), 0.5);
        assert_eq!(luminance(&[1.0f64, 0.0, 0.0], 3), 0.299);
        assert_eq!(rms_contrast(&[0.25f32; 12], 3), 0.0);
        // Red and green.
        let two = [1.0f64, 0.0, 0.0, 0.0, 1.0, 0.0];
        assert!((luminance(&two, 3) - 0.443).abs() < 1e-15);
        assert!((rms_contrast(&two, 3) - 0.144).abs() < 1e-15);
        assert!(luminance::<f32>(&[], 1).is_nan());
    }
}
