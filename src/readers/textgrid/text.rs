//! The text of a TextGrid, whatever its encoding.

use crate::access::scope;
use std::io::Read;
use std::path::Path;

/// A day of phones is some 50 MB; a larger file is something else.
const MOST_BYTES: u64 = 256 << 20;

/// Reads a whole file as text.
pub fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    scope::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("it is larger than 256 MB; this is no TextGrid".to_string());
    }
    decode(bytes)
}

/// UTF-16 by its byte order mark, UTF-8 if it is that, else Latin-1.
fn decode(bytes: Vec<u8>) -> Result<String, String> {
    match bytes.as_slice() {
        [0xFF, 0xFE, rest @ ..] => return utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => return utf16(rest, u16::from_be_bytes),
        _ => {}
    }
    if bytes.starts_with(b"ooBinaryFile") {
        return Err(
            "it is a binary TextGrid, and only text is read; in Praat, open it and choose \
             Save > Save as text file"
                .to_string(),
        );
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => match text.strip_prefix('\u{FEFF}') {
            Some(rest) => rest.to_string(),
            None => text,
        },
        Err(error) => error.as_bytes().iter().map(|&byte| byte as char).collect(),
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("it is UTF-16 text that ends within a character; it is cut off".to_string());
    }
    char::decode_utf16(pairs.iter().map(|&pair| unit(pair)))
        .collect::<Result<_, _>>()
        .map_err(|_| "it begins as UTF-16 text does, and is none".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        let text = "caf\u{E9} \u{1F9E0}";
        let units = || text.encode_utf16();
        let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
            [b"\xFF\xFE", &little[..]].concat(),
            [b"\xFE\xFF", &big[..]].concat(),
        ] {
            assert_eq!(decode(bytes).unwrap(), text);
        }
        assert_eq!(decode(b"caf\xE9".to_vec()).unwrap(), "caf\u{E9}");
        let cut = [b"\xFF\xFE", &little[..little.len() - 1]].concat();
        assert!(decode(cut).unwrap_err().contains("cut off"));
        let half = [b"\xFF\xFE", &little[..little.len() - 2]].concat();
        assert!(decode(half).unwrap_err().contains("is none"));
        let binary = b"ooBinaryFile\x08TextGrid".to_vec();
        assert!(decode(binary).unwrap_err().contains("Save as text file"));
    }
}
