//! Erosion and dilation of masks by the 6-neighbour cross, as `scipy.ndimage`'s
//! `binary_erosion` and `binary_dilation`. Outside the volume is background, for erosion too: a
//! mask that touches an edge shrinks there.

use super::{Shape, count};

/// Keeps the voxels of which all six neighbours are in the mask, `iterations` times.
///
/// # Panics
///
/// If the mask is not of this shape.
pub fn erode(mask: &[bool], shape: Shape, iterations: usize) -> Vec<bool> {
    repeat(mask, shape, iterations, |a, b| a & b)
}

/// Adds the voxels of which a neighbour is in the mask, `iterations` times.
///
/// # Panics
///
/// If the mask is not of this shape.
pub fn dilate(mask: &[bool], shape: Shape, iterations: usize) -> Vec<bool> {
    repeat(mask, shape, iterations, |a, b| a | b)
}

fn repeat(
    mask: &[bool],
    shape: Shape,
    iterations: usize,
    combine: impl Fn(bool, bool) -> bool + Copy,
) -> Vec<bool> {
    assert_eq!(mask.len(), count(shape), "the mask's voxels");
    let mut mask = mask.to_vec();
    if mask.is_empty() {
        return mask;
    }
    let mut next = vec![false; mask.len()];
    for _ in 0..iterations {
        step(&mask, shape, &mut next, combine);
        std::mem::swap(&mut mask, &mut next);
        if mask == next {
            break;
        }
    }
    mask
}

/// Combines each voxel with its six neighbours, row by row.
fn step(
    mask: &[bool],
    [nx, ny, nz]: Shape,
    out: &mut [bool],
    combine: impl Fn(bool, bool) -> bool,
) {
    let background = vec![false; nx];
    let row = |y: usize, z: usize| match y < ny && z < nz {
        true => &mask[nx * (y + ny * z)..][..nx],
        false => &background[..],
    };
    for (i, out) in out.chunks_exact_mut(nx).enumerate() {
        let (y, z) = (i % ny, i / ny);
        // Before the first row is a row that no volume has.
        let neighbours = [
            row(y.wrapping_sub(1), z),
            row(y + 1, z),
            row(y, z.wrapping_sub(1)),
            row(y, z + 1),
        ];
        let here = row(y, z);
        out.copy_from_slice(here);
        for neighbour in neighbours {
            for (out, value) in out.iter_mut().zip(neighbour) {
                *out = combine(*out, *value);
            }
        }
        for (out, left) in out[1..].iter_mut().zip(here) {
            *out = combine(*out, *left);
        }
        for (out, right) in out.iter_mut().zip(&here[1..]) {
            *out = combine(*out, *right);
        }
        out[0] = combine(out[0], false);
        out[nx - 1] = combine(out[nx - 1], false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume 5 × 3 × 3 with one voxel.
    fn point() -> Vec<bool> {
        (0..45).map(|i| i == 2 + 5 * (1 + 3)).collect()
    }

    #[test]
    fn a_point_grows_to_a_cross() {
        let grown = dilate(&point(), [5, 3, 3], 1);
        assert_eq!(grown.iter().filter(|v| **v).count(), 7);
        let twice = dilate(&grown, [5, 3, 3], 1);
        assert_eq!(twice, dilate(&point(), [5, 3, 3], 2));
        assert_eq!(erode(&grown, [5, 3, 3], 1), point());
        assert_eq!(dilate(&point(), [5, 3, 3], 0), point());
    }

    #[test]
    fn outside_is_background() {
        let full = vec![true; 27];
        let eroded = erode(&full, [3, 3, 3], 1);
        assert_eq!(eroded.iter().filter(|v| **v).count(), 1);
        assert!(eroded[13]);
        // A single slice has neighbours outside everywhere.
        assert!(!erode(&full, [9, 3, 1], 1).contains(&true));
        assert_eq!(
            dilate(&full, [3, 3, 3], usize::MAX),
            full,
            "ends when nothing changes"
        );
    }

    #[test]
    fn an_empty_volume_stays_empty() {
        assert!(erode(&[], [0, 3, 3], 2).is_empty());
    }
}
