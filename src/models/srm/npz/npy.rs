//! Arrays as NumPy's `.npy` files: a line that says type, order and shape, and the numbers.

/// An array of numbers, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<T> {
    pub shape: Vec<usize>,
    pub values: Vec<T>,
}

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// A number that an array holds.
pub trait Number: Copy {
    /// NumPy's name of the type, little-endian.
    const DESCR: &'static str;

    fn bytes(self) -> [u8; 8];
    fn of(bytes: [u8; 8]) -> Self;
}

impl Number for f64 {
    const DESCR: &'static str = "<f8";

    fn bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }

    fn of(bytes: [u8; 8]) -> Self {
        f64::from_le_bytes(bytes)
    }
}

impl Number for i64 {
    const DESCR: &'static str = "<i8";

    fn bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }

    fn of(bytes: [u8; 8]) -> Self {
        i64::from_le_bytes(bytes)
    }
}

/// The file of an array.
pub fn write<T: Number>(array: &Array<T>) -> Vec<u8> {
    let shape: String = array.shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
        T::DESCR,
        shape.trim_end()
    );
    // The numbers begin at a multiple of 64.
    let length = (MAGIC.len() + 2 + header.len() + 1).next_multiple_of(64);
    while MAGIC.len() + 2 + header.len() + 1 < length {
        header.push(' ');
    }
    header.push('\n');
    let mut file = Vec::with_capacity(length + 8 * array.values.len());
    file.extend(MAGIC);
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    for value in &array.values {
        file.extend(value.bytes());
    }
    file
}

/// Reads an array of that type.
///
/// # Errors
/// Another type, another order, a file that is cut off.
pub fn read<T: Number>(file: &[u8]) -> Result<Array<T>, String> {
    let header_length = match file.get(..10) {
        Some(start) if start.starts_with(MAGIC) => {
            u16::from_le_bytes([start[8], start[9]]) as usize
        }
        _ => return Err("it is not a NumPy array of version 1".to_string()),
    };
    let header = file.get(10..10 + header_length).map(std::str::from_utf8);
    let Some(Ok(header)) = header else {
        return Err("its header is damaged".to_string());
    };
    let descr = value_of(header, "descr")?;
    if descr != format!("'{}'", T::DESCR) {
        return Err(format!("its type is {descr}, not '{}'", T::DESCR));
    }
    if value_of(header, "fortran_order")? != "False" {
        return Err("it is in Fortran's order".to_string());
    }
    let shape = value_of(header, "shape")?;
    let numbers = shape.trim_matches(['(', ')']).split(',');
    let numbers = numbers.map(str::trim).filter(|number| !number.is_empty());
    let shape = numbers.map(str::parse).collect::<Result<Vec<usize>, _>>();
    let shape = shape.map_err(|error| format!("its shape cannot be read: {error}"))?;
    let count = shape
        .iter()
        .try_fold(8usize, |size, n| size.checked_mul(*n));
    let (bytes, rest) = file[10 + header_length..].as_chunks();
    match count == Some(8 * bytes.len()) && rest.is_empty() {
        true => Ok(Array {
            shape,
            values: bytes.iter().map(|bytes| T::of(*bytes)).collect(),
        }),
        false => Err(format!("it has not the numbers of its shape {shape:?}")),
    }
}

/// What a key of the header's dictionary has, as it is written.
fn value_of<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let missing = || format!("its header has no {key}");
    let (_, after) = header
        .split_once(&format!("'{key}':"))
        .ok_or_else(missing)?;
    let after = after.trim_start();
    let end = match after.starts_with('(') {
        true => after.find(')').map(|at| at + 1),
        false => after.find([',', '}']),
    };
    Ok(after[..end.ok_or_else(missing)?].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_comes_back() {
        let array = Array {
            shape: vec![2, 3],
            values: vec![1.0, -2.5, 3.0, f64::MAX, 0.0, 6.0],
        };
        let file = write(&array);
        assert_eq!(file.len() % 64, 48);
        assert_eq!(read(&file), Ok(array));
        let vector = Array {
            shape: vec![3],
            values: vec![4, 5, -6],
        };
        assert_eq!(read(&write(&vector)), Ok(vector));
        for cut in 0..file.len() {
            assert!(read::<f64>(&file[..cut]).is_err(), "{cut}");
        }
        let other = read::<i64>(&file).unwrap_err();
        assert!(other.contains("'<f8', not '<i8'"), "{other}");
    }
}
