//! EBML (RFC 8794), of which Matroska (RFC 9559) is made: elements and what is in them.
//!
//! Functions give `Result<_, String>`; the message says what is wrong and what to do, and
//! the caller puts the file's name before it.

/// Matroska's elements by their identifiers (RFC 9559, section 27.1).
pub mod id {
    pub const EBML: u32 = 0x1A45_DFA3;
    pub const SEGMENT: u32 = 0x1853_8067;
    pub const INFO: u32 = 0x1549_A966;
    pub const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub const TRACKS: u32 = 0x1654_AE6B;
    pub const TRACK_ENTRY: u32 = 0xAE;
    pub const TRACK_NUMBER: u32 = 0xD7;
    pub const TRACK_TYPE: u32 = 0x83;
    pub const CODEC_ID: u32 = 0x86;
    pub const CODEC_PRIVATE: u32 = 0x63A2;
    pub const DEFAULT_DURATION: u32 = 0x23_E383;
    pub const CONTENT_ENCODINGS: u32 = 0x6D80;
    pub const VIDEO: u32 = 0xE0;
    pub const COLOUR: u32 = 0x55B0;
    pub const MATRIX: u32 = 0x55B1;
    pub const RANGE: u32 = 0x55B9;
    pub const CLUSTER: u32 = 0x1F43_B675;
    pub const TIMESTAMP: u32 = 0xE7;
    pub const SIMPLE_BLOCK: u32 = 0xA3;
    pub const BLOCK_GROUP: u32 = 0xA0;
    pub const BLOCK: u32 = 0xA1;
    pub const BLOCK_DURATION: u32 = 0x9B;
    pub const REFERENCE_BLOCK: u32 = 0xFB;
    pub const DURATION: u32 = 0x4489;
    pub const LANGUAGE: u32 = 0x22_B59C;
    pub const LANGUAGE_TAG: u32 = 0x22_B59D;
    pub const NAME: u32 = 0x536E;
    pub const FLAG_DEFAULT: u32 = 0x88;
    pub const CODEC_DELAY: u32 = 0x56AA;
    pub const AUDIO: u32 = 0xE1;
    pub const SAMPLING_FREQUENCY: u32 = 0xB5;
    pub const OUTPUT_SAMPLING_FREQUENCY: u32 = 0x78B5;
    pub const CHANNELS: u32 = 0x9F;
    pub const BIT_DEPTH: u32 = 0x6264;
    pub const PIXEL_WIDTH: u32 = 0xB0;
    pub const PIXEL_HEIGHT: u32 = 0xBA;
    pub const DISCARD_PADDING: u32 = 0x75A2;
}

/// An element's identifier, its body's size if it is known, and the bytes that both take.
pub fn header(data: &[u8]) -> Option<(u32, Option<u64>, usize)> {
    let (id, id_width) = identifier(data)?;
    let (size, width) = number(&data[id_width..])?;
    Some((id, size, id_width + width))
}

/// What a Matroska block begins with: its track, its time after that of its cluster, in ticks, and
/// the rest, of which the flags are the first byte.
pub fn block(body: &[u8]) -> Option<(Option<u64>, i16, &[u8])> {
    let (track, width) = number(body)?;
    let (time, rest) = body.get(width..)?.split_at_checked(2)?;
    Some((track, i16::from_be_bytes(time.try_into().ok()?), rest))
}

/// The elements in a stretch of memory.
pub fn elements(mut data: &[u8]) -> Result<Vec<(u32, &[u8])>, String> {
    let mut found = vec![];
    while !data.is_empty() {
        let within = || {
            let (id, size, used) = header(data)?;
            let body = &data[used..];
            let size = usize::try_from(size?).ok()?;
            Some((id, body.get(..size)?, body.get(size..)?))
        };
        let Some((id, body, rest)) = within() else {
            return Err(damaged(
                "an element of its header is longer than the header",
            ));
        };
        found.push((id, body));
        data = rest;
    }
    Ok(found)
}

/// An element's identifier, its length marker kept, and how many bytes it takes.
pub fn identifier(data: &[u8]) -> Option<(u32, usize)> {
    let width = data.first()?.leading_zeros() as usize + 1;
    if width > 4 {
        return None;
    }
    let bytes = data.get(..width)?;
    let id = bytes.iter().fold(0, |id, &byte| id << 8 | u32::from(byte));
    Some((id, width))
}

/// A number of variable length, and how many bytes it takes; all ones mean that it is unknown.
pub fn number(data: &[u8]) -> Option<(Option<u64>, usize)> {
    let first = *data.first()?;
    let width = first.leading_zeros() as usize + 1;
    let bytes = data.get(..width).filter(|_| width <= 8)?;
    let all = bytes
        .iter()
        .fold(0u64, |all, &byte| all << 8 | u64::from(byte));
    let most = (1u64 << (7 * width)) - 1;
    let value = all & most;
    Some(((value != most).then_some(value), width))
}

/// A whole number, of up to 8 bytes.
pub fn unsigned(body: &[u8]) -> Result<u64, String> {
    match body.len() {
        0..=8 => Ok(body.iter().fold(0, |all, &byte| all << 8 | u64::from(byte))),
        _ => Err(damaged("a number has more than 8 bytes")),
    }
}

/// A number of 4 or 8 bytes; none is 0.
pub fn float(body: &[u8]) -> Result<f64, String> {
    match (<[u8; 4]>::try_from(body), <[u8; 8]>::try_from(body)) {
        (Ok(bytes), _) => Ok(f64::from(f32::from_be_bytes(bytes))),
        (_, Ok(bytes)) => Ok(f64::from_be_bytes(bytes)),
        _ if body.is_empty() => Ok(0.0),
        _ => Err(damaged("a number has neither 4 nor 8 bytes")),
    }
}

/// Text, which may be filled up with zeros.
pub fn text(body: &[u8]) -> String {
    let end = body.iter().position(|&b| b == 0).unwrap_or(body.len());
    String::from_utf8_lossy(&body[..end]).into_owned()
}

/// The message for what cannot be so, and what to do.
pub fn damaged(what: &str) -> String {
    format!(
        "its Matroska structure is damaged: {what}; `ffmpeg -i in.mkv -c copy out.mkv` may save what is there"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_variable_length() {
        assert_eq!(number(&[0x81]), Some((Some(1), 1)));
        assert_eq!(number(&[0x40, 0x02]), Some((Some(2), 2)));
        assert_eq!(number(&[0xFF]), Some((None, 1)));
        assert_eq!(number(&[0x01, 0, 0, 0, 0, 0, 1, 0]), Some((Some(256), 8)));
        for bad in [&[][..], &[0x00], &[0x40]] {
            assert_eq!(number(bad), None);
        }
        assert_eq!(
            identifier(&[0x1A, 0x45, 0xDF, 0xA3]),
            Some((0x1A45_DFA3, 4))
        );
        assert_eq!(identifier(&[0x08, 1, 2, 3, 4]), None);
    }

    #[test]
    fn values() {
        assert_eq!(unsigned(&[1, 2]), Ok(258));
        assert_eq!(float(&44_100f32.to_be_bytes()), Ok(44_100.0));
        assert_eq!(text(b"eng\0\0"), "eng");
        assert!(unsigned(&[0; 9]).is_err() && float(&[0; 3]).is_err());
        assert!(elements(&[0xd7, 0x85, 1]).is_err());
    }

    #[test]
    fn elements_of_all_lengths() {
        assert_eq!(header(&[0xd7, 0x81, 5]), Some((0xd7, Some(1), 2)));
        assert_eq!(header(&[0x56, 0xaa, 0x40, 2]), Some((0x56aa, Some(2), 4)));
        assert_eq!(header(&[0xae, 0xff]), Some((0xae, None, 2)));
        assert_eq!(header(&[0xd7]), None);
        assert_eq!(header(&[0, 0x81]), None);
        assert_eq!(header(&[0xd7, 0]), None);
    }
}
