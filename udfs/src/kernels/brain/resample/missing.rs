//! Voxels that are not finite, while a volume is resampled.

use super::super::Shape;

/// How far finite values reach into what is missing, in voxels.
const REACH: usize = 2;

/// Gives missing voxels the mean of their neighbours (of six) that are there, then those next to
/// these theirs; what is left becomes 0. So nilearn does, to keep gaps from spreading.
pub fn fill(volume: &mut [f64], missing: &[bool], [nx, ny, nz]: Shape) {
    let mut known: Vec<bool> = missing.iter().map(|missing| !missing).collect();
    for (value, known) in volume.iter_mut().zip(&known) {
        if !known {
            *value = 0.0;
        }
    }
    for _ in 0..REACH {
        let mut found = Vec::new();
        for i in (0..volume.len()).filter(|i| !known[*i]) {
            let (x, y, z) = (i % nx, i / nx % ny, i / (nx * ny));
            let neighbours = [
                (x > 0).then(|| i - 1),
                (x + 1 < nx).then_some(i + 1),
                (y > 0).then(|| i - nx),
                (y + 1 < ny).then_some(i + nx),
                (z > 0).then(|| i - nx * ny),
                (z + 1 < nz).then_some(i + nx * ny),
            ];
            let there = neighbours.into_iter().flatten().filter(|n| known[*n]);
            let (sum, count) = there.fold((0.0, 0), |(sum, n), at| (sum + volume[at], n + 1));
            if count > 0 {
                found.push((i, sum / f64::from(count)));
            }
        }
        for (i, value) in found {
            volume[i] = value;
            known[i] = true;
        }
    }
}
