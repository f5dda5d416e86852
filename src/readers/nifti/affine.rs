//! Where voxels lie: the sform if there is one, else the qform, else voxel sizes alone.

use super::raw::Raw;

/// The first three rows of the matrix that takes voxel indices to millimetres.
pub type Affine = [[f64; 4]; 3];

/// Which fields of a header gave its affine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Sform,
    Qform,
    VoxelSizes,
}

impl Origin {
    /// As `nifti_header` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Sform => "sform",
            Origin::Qform => "qform",
            Origin::VoxelSizes => "voxel sizes",
        }
    }

    /// A form counts where its code is above 0; the sform comes first.
    pub fn of(raw: &Raw) -> Self {
        if raw.sform_code > 0 {
            Origin::Sform
        } else if raw.qform_code > 0 {
            Origin::Qform
        } else {
            Origin::VoxelSizes
        }
    }
}

/// `shape` are the voxels along x, y and z, of which the affine without forms takes the centre.
pub fn affine(raw: &Raw, shape: [usize; 3]) -> Result<Affine, String> {
    let [qfac, x, y, z, ..] = raw.pixdim;
    let zooms = [x, y, z].map(f64::abs);
    match Origin::of(raw) {
        Origin::Sform => Ok(raw.srow),
        Origin::Qform => qform(raw, zooms, qfac < 0.0),
        Origin::VoxelSizes => {
            // No orientation is known: the origin is the volume's centre, and x is
            // flipped, as nibabel has it, because most scanners store left last.
            let signed = [-zooms[0], zooms[1], zooms[2]];
            let mut affine = [[0.0; 4]; 3];
            for axis in 0..3 {
                affine[axis][axis] = signed[axis];
                affine[axis][3] = -signed[axis] * (shape[axis] as f64 - 1.0) / 2.0;
            }
            Ok(affine)
        }
    }
}

/// Rotation by a unit quaternion of which the file stores three parts, times voxel sizes.
fn qform(raw: &Raw, zooms: [f64; 3], flip_z: bool) -> Result<Affine, String> {
    let [b, c, d] = raw.quatern;
    let rest = 1.0 - (b * b + c * c + d * d);
    // Three parts rounded to float32 (NIfTI-2 made from NIfTI-1 has them too) may be a little
    // longer than 1; NaN is refused too.
    if rest.is_nan() || rest < -3.0 * f64::from(f32::EPSILON) {
        return Err(format!(
            "damaged NIfTI header: the qform's quaternion ({b}, {c}, {d}) is longer than 1"
        ));
    }
    let a = rest.max(0.0).sqrt();
    let rotation = [
        [
            a * a + b * b - c * c - d * d,
            2.0 * (b * c - a * d),
            2.0 * (b * d + a * c),
        ],
        [
            2.0 * (b * c + a * d),
            a * a + c * c - b * b - d * d,
            2.0 * (c * d - a * b),
        ],
        [
            2.0 * (b * d - a * c),
            2.0 * (c * d + a * b),
            a * a + d * d - b * b - c * c,
        ],
    ];
    let [x, y, z] = zooms;
    let z = if flip_z { -z } else { z };
    let mut affine = [[0.0; 4]; 3];
    for row in 0..3 {
        let [rx, ry, rz] = rotation[row];
        affine[row] = [rx * x, ry * y, rz * z, raw.qoffset[row]];
    }
    Ok(affine)
}
