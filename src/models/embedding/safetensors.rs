//! Tensors of a `.safetensors` file: the length of a header (8 bytes, little endian), the header (JSON:
//! type, shape and place of each tensor), then the numbers.

use std::path::Path;

use arrow::datatypes::{ArrowPrimitiveType, Float16Type};
use datafusion::common::{Result, exec_datafusion_err};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The header's entry of one tensor.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// A file's bytes, and what is in them.
pub struct Tensors {
    file: String,
    header: Map<String, Value>,
    numbers: Vec<u8>,
}

impl Tensors {
    /// Reads the file whole: it is for small ones.
    pub fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let damaged =
            |what: String| exec_datafusion_err!("'{file}' is no safetensors file: {what}");
        let bytes = std::fs::read(path)
            .map_err(|e| exec_datafusion_err!("cannot read '{}': {e}", path.display()))?;
        let (length, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| damaged(format!("it has {} bytes", bytes.len())))?;
        let header = usize::try_from(u64::from_le_bytes(*length))
            .ok()
            .and_then(|length| rest.split_at_checked(length));
        let (header, numbers) =
            header.ok_or_else(|| damaged("its header is longer than the file".to_string()))?;
        let header = serde_json::from_slice(header).map_err(|e| damaged(e.to_string()))?;
        Ok(Self {
            file,
            header,
            numbers: numbers.to_vec(),
        })
    }

    /// The shape and the values, as single floats, of the tensor `name`; None if there is none.
    pub fn get(&self, name: &str) -> Result<Option<(Vec<usize>, Vec<f32>)>> {
        let Some(entry) = self.header.get(name) else {
            return Ok(None);
        };
        let damaged =
            |what: &str| exec_datafusion_err!("'{}': the tensor {name} {what}", self.file);
        let entry = Entry::deserialize(entry).map_err(|e| damaged(&e.to_string()))?;
        let [start, end] = entry.data_offsets;
        let bytes = self
            .numbers
            .get(start..end)
            .ok_or_else(|| damaged("lies outside the file"))?;
        let values = values(&entry.dtype, bytes).ok_or_else(|| {
            damaged(&format!(
                "is of type {}; F64, F32, F16 and BF16 are read",
                entry.dtype
            ))
        })?;
        let elements = entry
            .shape
            .iter()
            .try_fold(1usize, |n, length| n.checked_mul(*length));
        if elements != Some(values.len()) {
            return Err(damaged(&format!(
                "has {} values, and the shape {:?}",
                values.len(),
                entry.shape
            )));
        }
        Ok(Some((entry.shape, values)))
    }
}

fn values(dtype: &str, bytes: &[u8]) -> Option<Vec<f32>> {
    type Half = <Float16Type as ArrowPrimitiveType>::Native;
    fn all<const N: usize>(bytes: &[u8], one: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (chunks, _) = bytes.as_chunks::<N>();
        chunks.iter().map(|chunk| one(*chunk)).collect()
    }
    Some(match dtype {
        "F64" => all(bytes, |b| f64::from_le_bytes(b) as f32),
        "F32" => all(bytes, f32::from_le_bytes),
        "F16" => all(bytes, |b| Half::from_le_bytes(b).to_f32()),
        // The upper half of a single float.
        "BF16" => all(bytes, |b: [u8; 2]| {
            f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)
        }),
        _ => return None,
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The bytes of a file with tensors of type F32.
    pub fn file(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
        let (mut header, mut numbers) = (Map::new(), Vec::new());
        for (name, shape, values) in tensors {
            let start = numbers.len();
            numbers.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            let offsets = [start, numbers.len()];
            let entry =
                serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": offsets});
            header.insert(name.to_string(), entry);
        }
        let header = serde_json::to_vec(&header).unwrap();
        [
            &(header.len() as u64).to_le_bytes(),
            header.as_slice(),
            &numbers,
        ]
        .concat()
    }

    fn read(bytes: &[u8]) -> Result<Tensors> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Tensors::read(file.path())
    }

    #[test]
    fn reads_what_was_written() {
        let tensors = read(&file(&[("a", &[2, 1], &[1.5, -2.0]), ("b", &[], &[3.0])])).unwrap();
        assert_eq!(
            tensors.get("a").unwrap(),
            Some((vec![2, 1], vec![1.5, -2.0]))
        );
        assert_eq!(tensors.get("b").unwrap(), Some((vec![], vec![3.0])));
        assert_eq!(tensors.get("c").unwrap(), None);
        assert_eq!(values("BF16", &[0xc0, 0x3f]), Some(vec![1.5]));
        assert_eq!(values("F16", &[0x00, 0xbe]), Some(vec![-1.5]));
        assert_eq!(values("F64", &2.5f64.to_le_bytes()), Some(vec![2.5]));
    }

    #[test]
    fn damage_is_an_error() {
        let whole = file(&[("a", &[2], &[1.5, -2.0])]);
        assert!(
            read(&whole[..whole.len() - 1]).unwrap().get("a").is_err(),
            "cut"
        );
        assert!(read(&whole[..4]).is_err() && read(&whole[..20]).is_err());
        assert!(read(&[0xff; 32]).is_err());
        let wrong = file(&[("a", &[3], &[1.5, -2.0])]);
        let message = read(&wrong).unwrap().get("a").unwrap_err().to_string();
        assert!(
            message.contains("has 2 values, and the shape [3]"),
            "{message}"
        );
    }
}
