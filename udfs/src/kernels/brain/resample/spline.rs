//! Cubic B-splines: coefficients of the spline through the voxels, and its weights.

use super::super::Shape;

/// The pole of the cubic spline's recursive filter: `sqrt(3) - 2`.
const POLE: f64 = -0.267_949_192_431_122_7;

/// Turns the values of a volume into the coefficients of the spline through them, in place; beyond
/// its ends the volume is mirrored at the outermost voxels.
pub fn prefilter(volume: &mut [f64], [nx, ny, nz]: Shape) {
    for row in volume.chunks_exact_mut(nx) {
        filter(row, nx, 1, 1);
    }
    for slice in volume.chunks_exact_mut(nx * ny) {
        filter(slice, ny, nx, nx);
    }
    // Row by row, so that what the passes touch stays in the cache.
    for y in 0..ny {
        filter(&mut volume[y * nx..], nz, nx * ny, nx);
    }
}

/// Filters `width` lines side by side; each has `n` samples, `step` apart.
fn filter(lines: &mut [f64], n: usize, step: usize, width: usize) {
    if n < 2 {
        return;
    }
    let gain = (1.0 - POLE) * (1.0 - 1.0 / POLE);
    for i in 0..n {
        for value in &mut lines[i * step..][..width] {
            *value *= gain;
        }
    }
    // The causal filter starts with the sum over the mirrored line, which is periodic.
    let last = (n - 1) * step;
    let far = POLE.powi(n as i32 - 1);
    for lane in 0..width {
        let mut sum = lines[lane] + far * lines[last + lane];
        let mut power = POLE;
        for i in 1..n - 1 {
            // What is smaller than the rounding of the sum adds nothing.
            if power == 0.0 {
                break;
            }
            let mirrored = (n - 1 - i) * step + lane;
            sum += power * (lines[i * step + lane] + far * lines[mirrored]);
            power *= POLE;
        }
        lines[lane] = sum / (1.0 - far * far);
    }
    for i in 1..n {
        let (before, here) = lines.split_at_mut(i * step);
        let before = &before[(i - 1) * step..];
        for (value, before) in here[..width].iter_mut().zip(before) {
            *value += POLE * before;
        }
    }
    let end = POLE / (POLE * POLE - 1.0);
    for lane in 0..width {
        lines[last + lane] = (POLE * lines[last - step + lane] + lines[last + lane]) * end;
    }
    for i in (0..n - 1).rev() {
        let (here, after) = lines.split_at_mut((i + 1) * step);
        let here = &mut here[i * step..][..width];
        for (value, after) in here.iter_mut().zip(&*after) {
            *value = POLE * (after - *value);
        }
    }
}

/// The weights of the four coefficients around a place that is `t` behind the second of them.
pub fn weights(t: f64) -> [f64; 4] {
    let rest = 1.0 - t;
    let before = rest * rest * rest / 6.0;
    let here = (t * t * (t - 2.0) * 3.0 + 4.0) / 6.0;
    let next = (rest * rest * (rest - 2.0) * 3.0 + 4.0) / 6.0;
    [before, here, next, 1.0 - before - here - next]
}

/// The coefficient that stands for coefficient `i`: `d c b | a b c d | c b a`.
pub fn mirror(i: isize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let i = i.rem_euclid(2 * (n as isize - 1)) as usize;
    i.min(2 * (n - 1) - i)
}
