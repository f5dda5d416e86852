//! Where an image's voxels lie, as the fields of a header say it.

use crate::readers::nifti::affine::Affine;
use crate::readers::nifti::grid::Grid;
use crate::readers::nifti::raw::Raw;

/// The code of a place that is known to agree with something, and no more: what nibabel
/// writes for a new image's sform.
const ALIGNED: i32 = 2;

/// Millimetres.
const MM: u8 = 2;

/// A part of 1 by which axes may miss right angles and still be a rotation's: a little
/// more than float32 keeps.
const TOLERANCE: f64 = 1e-5;

/// The grid of an image: its shape, and both forms of its affine.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// Voxels along x, y and z.
    pub shape: [usize; 3],
    pub sform_code: i32,
    pub srow: Affine,
    pub qform_code: i32,
    /// 1, or -1 for a left-handed grid.
    pub qfac: f64,
    /// Sizes of voxels.
    pub zooms: [f64; 3],
    pub quatern: [f64; 3],
    pub qoffset: [f64; 3],
    /// The lower three bits of `xyzt_units`.
    pub space_unit: u8,
}

impl Placement {
    /// As another image says it, field by field: no affine is computed, so none is rounded.
    pub fn like(raw: &Raw, shape: [usize; 3]) -> Self {
        let [qfac, x, y, z, ..] = raw.pixdim;
        Placement {
            shape,
            sform_code: raw.sform_code,
            srow: raw.srow,
            qform_code: raw.qform_code,
            qfac: if qfac < 0.0 { -1.0 } else { 1.0 },
            zooms: [x, y, z].map(f64::abs),
            quatern: raw.quatern,
            qoffset: raw.qoffset,
            space_unit: raw.xyzt_units & 0o7,
        }
    }

    /// As nibabel does for a new image: the sform has the affine and counts; the qform, which
    /// does not, agrees with it where the affine is a rotation of a grid of boxes.
    pub fn at(grid: &Grid) -> Self {
        let affine = &grid.affine;
        let column = |axis: usize| affine.map(|row| row[axis]);
        let zooms = [0, 1, 2].map(|axis| norm(column(axis)));
        let (qfac, quatern) = quaternion(affine, zooms).unwrap_or((1.0, [0.0; 3]));
        Placement {
            shape: grid.shape,
            sform_code: ALIGNED,
            srow: *affine,
            qform_code: 0,
            qfac,
            zooms,
            quatern,
            qoffset: column(3),
            space_unit: MM,
        }
    }

    /// Voxels in one volume.
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }
}

fn norm(vector: [f64; 3]) -> f64 {
    vector.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// qfac, and b, c, d of the unit quaternion whose a is not negative; `None` where the affine
/// is sheared or flat.
fn quaternion(affine: &Affine, zooms: [f64; 3]) -> Option<(f64, [f64; 3])> {
    let mut r = affine.map(|[x, y, z, _]| [x / zooms[0], y / zooms[1], z / zooms[2]]);
    let dot =
        |r: &[[f64; 3]; 3], a: usize, b: usize| r.iter().map(|row| row[a] * row[b]).sum::<f64>();
    let right_angles = [(0, 1), (0, 2), (1, 2)];
    // False for NaN, which a zoom of 0 gives.
    if !right_angles
        .iter()
        .all(|&(a, b)| dot(&r, a, b).abs() <= TOLERANCE)
    {
        return None;
    }
    let determinant = r[0][0] * (r[1][1] * r[2][2] - r[1][2] * r[2][1])
        - r[0][1] * (r[1][0] * r[2][2] - r[1][2] * r[2][0])
        + r[0][2] * (r[1][0] * r[2][1] - r[1][1] * r[2][0]);
    let qfac = if determinant < 0.0 { -1.0 } else { 1.0 };
    for row in &mut r {
        row[2] *= qfac;
    }
    // Four times the squares of a, b, c, d; the largest is divided by, which is never small.
    let squares = [
        1.0 + r[0][0] + r[1][1] + r[2][2],
        1.0 + r[0][0] - r[1][1] - r[2][2],
        1.0 - r[0][0] + r[1][1] - r[2][2],
        1.0 - r[0][0] - r[1][1] + r[2][2],
    ];
    let largest = (0..4).max_by(|&a, &b| squares[a].total_cmp(&squares[b]))?;
    let four = 2.0 * squares[largest].sqrt();
    let [a, b, c, d] = match largest {
        0 => [
            four / 4.0,
            (r[2][1] - r[1][2]) / four,
            (r[0][2] - r[2][0]) / four,
            (r[1][0] - r[0][1]) / four,
        ],
        1 => [
            (r[2][1] - r[1][2]) / four,
            four / 4.0,
            (r[0][1] + r[1][0]) / four,
            (r[0][2] + r[2][0]) / four,
        ],
        2 => [
            (r[0][2] - r[2][0]) / four,
            (r[0][1] + r[1][0]) / four,
            four / 4.0,
            (r[1][2] + r[2][1]) / four,
        ],
        _ => [
            (r[1][0] - r[0][1]) / four,
            (r[0][2] + r[2][0]) / four,
            (r[1][2] + r[2][1]) / four,
            four / 4.0,
        ],
    };
    let sign = if a < 0.0 { -1.0 } else { 1.0 };
    Some((qfac, [b, c, d].map(|part| part * sign)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::nifti::affine::affine;
    use proptest::prelude::*;

    /// The affine that a reader makes of the qform.
    fn qform(placement: &Placement) -> Affine {
        let [x, y, z] = placement.zooms;
        let raw = Raw {
            version: 1,
            pair: false,
            big_endian: false,
            dim: [3, 2, 2, 2, 1, 1, 1, 1],
            intent_code: 0,
            datatype: 16,
            pixdim: [placement.qfac, x, y, z, 0.0, 0.0, 0.0, 0.0],
            vox_offset: 352.0,
            scl_slope: 1.0,
            scl_inter: 0.0,
            xyzt_units: 10,
            descrip: String::new(),
            qform_code: 1,
            sform_code: 0,
            quatern: placement.quatern,
            qoffset: placement.qoffset,
            srow: [[0.0; 4]; 3],
        };
        affine(&raw, [2, 2, 2]).unwrap()
    }

    fn at(affine: Affine) -> Placement {
        Placement::at(&Grid {
            shape: [2, 2, 2],
            affine,
        })
    }

    #[test]
    fn a_sheared_grid_has_no_qform() {
        let placement = at([
            [2.0, 0.5, 0.0, 1.0],
            [0.0, 2.0, 0.0, 2.0],
            [0.0, 0.0, 2.0, 3.0],
        ]);
        assert_eq!(placement.quatern, [0.0; 3]);
        assert_eq!((placement.sform_code, placement.qform_code), (2, 0));
        let flat = at([[0.0; 4]; 3]);
        assert_eq!((flat.zooms, flat.quatern), ([0.0; 3], [0.0; 3]));
    }

    proptest! {
        /// Any rotation, flipped or not, with any sizes of voxels: the qform gives it back.
        #[test]
        fn the_qform_agrees(
            angles in prop::array::uniform3(-4.0..4.0f64),
            zooms in prop::array::uniform3(0.1..10.0f64),
            flips in prop::array::uniform3(any::<bool>()),
            origin in prop::array::uniform3(-200.0..200.0f64),
        ) {
            let [(sx, cx), (sy, cy), (sz, cz)] = angles.map(f64::sin_cos);
            let rotation = [
                [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
                [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
                [-sy, sx * cy, cx * cy],
            ];
            let signed: Vec<f64> = zooms.iter().zip(flips)
                .map(|(zoom, flip)| if flip { -zoom } else { *zoom }).collect();
            let affine: Affine = std::array::from_fn(|row| [
                rotation[row][0] * signed[0],
                rotation[row][1] * signed[1],
                rotation[row][2] * signed[2],
                origin[row],
            ]);
            let got = qform(&at(affine));
            for (got, want) in got.iter().flatten().zip(affine.iter().flatten()) {
                prop_assert!((got - want).abs() < 1e-9 * 200.0, "{got} {want}");
            }
        }
    }
}
