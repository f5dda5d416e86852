//! What a CIFTI-2 file says of its elements, as field metadata of `bold`.

use std::collections::HashMap;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::maps::{Elements, Points};

/// JSON array of the brain models, in the order of their elements: `structure`, `type`
/// (`SURFACE` or `VOXELS`), `offset` (0-based), `count`, and of surfaces `vertices`, how many the whole one has.
pub const BRAIN_MODELS_KEY: &str = "voxql.brain_models";
/// JSON array of the names of the parcels, in the order of the elements.
pub const PARCELS_KEY: &str = "voxql.parcels";
/// JSON object of the grid that voxels are on: `dimensions`, and `affine`, the first three rows of the
/// matrix from voxel indices to millimetres.
pub const VOLUME_KEY: &str = "voxql.volume";
/// A hash of every vertex and voxel in order: two files in which an element means the same have the same.
pub const ELEMENTS_KEY: &str = "voxql.elements";
/// JSON array of the names of maps, in the order of the rows.
pub const MAPS_KEY: &str = "voxql.maps";

pub fn of(elements: &Elements, names: &[String]) -> HashMap<String, String> {
    let (key, value) = match elements {
        Elements::Models { models, .. } => {
            let models = models.iter().map(|model| match &model.points {
                Points::Vertices { surface, list } => json!({
                    "structure": model.structure,
                    "type": "SURFACE",
                    "offset": model.offset,
                    "count": list.len(),
                    "vertices": surface,
                }),
                Points::Voxels(list) => json!({
                    "structure": model.structure,
                    "type": "VOXELS",
                    "offset": model.offset,
                    "count": list.len(),
                }),
            });
            (BRAIN_MODELS_KEY, models.collect())
        }
        Elements::Parcels { parcels, .. } => {
            let names: Vec<&str> = parcels.iter().map(|p| p.name.as_str()).collect();
            (PARCELS_KEY, json!(names))
        }
    };
    let mut metadata = HashMap::from([
        (key.to_owned(), value.to_string()),
        (ELEMENTS_KEY.to_owned(), hash(elements)),
    ]);
    if let Some(volume) = elements.volume() {
        let value = json!({"dimensions": volume.dimensions, "affine": volume.affine});
        metadata.insert(VOLUME_KEY.to_owned(), value.to_string());
    }
    if !names.is_empty() {
        metadata.insert(MAPS_KEY.to_owned(), json!(names).to_string());
    }
    metadata
}

fn hash(elements: &Elements) -> String {
    let mut hash = Sha256::new();
    let mut add = |name: &str, points: &Points| {
        hash.update(name);
        hash.update([0]);
        match points {
            Points::Vertices { surface, list } => {
                hash.update((*surface as u64).to_le_bytes());
                list.iter().for_each(|at| hash.update(at.to_le_bytes()));
            }
            Points::Voxels(list) => {
                let indices = list.as_flattened().iter();
                indices.for_each(|at| hash.update(at.to_le_bytes()));
            }
        }
    };
    match elements {
        Elements::Models { models, .. } => {
            for model in models {
                add(&model.structure, &model.points);
            }
        }
        Elements::Parcels { parcels, .. } => {
            for parcel in parcels {
                add(&parcel.name, &parcel.voxels);
                for (structure, points) in &parcel.surfaces {
                    add(structure, points);
                }
            }
        }
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
