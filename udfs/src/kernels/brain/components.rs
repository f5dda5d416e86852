//! The largest connected component of a mask.

use super::{Shape, count};

const UNSEEN: u32 = u32::MAX;

/// The largest set of voxels that are connected through faces (6 neighbours), as nilearn's
/// `largest_connected_component`; of several that are as large the one met first in C order
/// (z fastest). `None` if the mask is empty.
///
/// # Panics
///
/// If the mask is not of this shape.
pub fn largest(mask: &[bool], shape: Shape) -> Option<Vec<bool>> {
    assert_eq!(mask.len(), count(shape), "the mask's voxels");
    let [nx, ny, nz] = shape;
    // A border of background around the volume: then every voxel has six neighbours.
    let [step_y, step_z] = [nx + 2, (nx + 2) * (ny + 2)];
    let padded = |x: usize, y: usize, z: usize| (x + 1) + step_y * (y + 1) + step_z * (z + 1);
    let mut labels = vec![0u32; step_z * (nz + 2)];
    for (i, row) in mask.chunks_exact(nx.max(1)).enumerate() {
        let at = padded(0, i % ny, i / ny);
        for (label, inside) in labels[at..at + nx].iter_mut().zip(row) {
            *label = if *inside { UNSEEN } else { 0 };
        }
    }

    let (mut largest, mut size, mut next) = (None, 0, 1);
    let mut queue = vec![];
    for x in 0..nx {
        for y in 0..ny {
            for z in 0..nz {
                let seed = padded(x, y, z);
                if labels[seed] != UNSEEN {
                    continue;
                }
                let found = fill(&mut labels, seed, next, [1, step_y, step_z], &mut queue);
                if found > size {
                    (largest, size) = (Some(next), found);
                }
                next += 1;
            }
        }
    }
    let largest = largest?;
    let mut kept = Vec::with_capacity(mask.len());
    for z in 0..nz {
        for y in 0..ny {
            let at = padded(0, y, z);
            kept.extend(labels[at..at + nx].iter().map(|label| *label == largest));
        }
    }
    Some(kept)
}

/// Labels all that is connected with `seed`, and counts it.
fn fill(
    labels: &mut [u32],
    seed: usize,
    label: u32,
    steps: [usize; 3],
    queue: &mut Vec<usize>,
) -> usize {
    let mut found = 0;
    labels[seed] = label;
    queue.push(seed);
    while let Some(at) = queue.pop() {
        found += 1;
        for step in steps {
            for neighbour in [at - step, at + step] {
                if labels[neighbour] == UNSEEN {
                    labels[neighbour] = label;
                    queue.push(neighbour);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonal_neighbours_are_not_connected() {
        let mask = [
            true, false, false, //
            false, true, true,
        ];
        let want = [false, false, false, false, true, true];
        assert_eq!(largest(&mask, [3, 2, 1]), Some(want.to_vec()));
    }

    #[test]
    fn the_first_in_c_order_wins_a_tie() {
        // (0, 1) is met before (1, 0): y is faster than x, though x lies side by side.
        let mask = [false, true, true, false];
        let want = [false, false, true, false];
        assert_eq!(largest(&mask, [2, 2, 1]), Some(want.to_vec()));
    }

    #[test]
    fn nothing_has_no_component() {
        assert_eq!(largest(&[false; 8], [2, 2, 2]), None);
        assert_eq!(largest(&[], [0, 2, 2]), None);
    }
}
