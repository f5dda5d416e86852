//! Which kind of file it is, by its first bytes.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::super::mp4::is_movie;
use crate::access::scope;

/// The kinds of file that may hold sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Wav,
    Flac,
    /// MPEG audio, layer 2 and 3, as a stream of frames.
    Mpeg,
    Ogg,
    /// Matroska and WebM.
    Matroska,
    /// MP4, M4A and MOV.
    Movie,
}

/// The endings of file names of all of them.
pub const EXTENSIONS: &[&str] = &[
    ".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".mp4", ".m4a", ".mov", ".mkv", ".mka",
    ".webm",
];

/// The same for a message.
pub const NAMES: &str = "WAV, FLAC, MP3, Ogg, MP4 or Matroska";

/// What a file is, and how many bytes of tags (ID3v2) come before it; None for something
/// else.
pub fn recognise(path: &Path) -> Result<Option<(Container, u64)>, String> {
    let mut file = scope::open(path).map_err(|e| e.to_string())?;
    let mut skip = 0;
    // A file may have several tags; more than a few are no tags.
    for _ in 0..8 {
        file.seek(SeekFrom::Start(skip))
            .map_err(|e| e.to_string())?;
        let mut magic = Vec::new();
        let read = Read::by_ref(&mut file).take(12).read_to_end(&mut magic);
        read.map_err(|e| e.to_string())?;
        match tag_length(&magic) {
            Some(length) => skip += length,
            None => return Ok(by_magic(&magic).map(|container| (container, skip))),
        }
    }
    Ok(None)
}

fn by_magic(magic: &[u8]) -> Option<Container> {
    match magic {
        [b'R', b'I', b'F', b'F', ..] => Some(Container::Wav),
        [b'f', b'L', b'a', b'C', ..] => Some(Container::Flac),
        [b'O', b'g', b'g', b'S', ..] => Some(Container::Ogg),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Container::Matroska),
        // Eleven bits of sync; then version, layer (3 or 2: UTF-16 text would be layer 1), bit
        // rate and sample rate, most of which have a value that is not used.
        [0xff, second, third, ..]
            if second >> 5 == 7
                && second >> 3 & 3 != 1
                && matches!(second >> 1 & 3, 1 | 2)
                && third >> 4 != 15
                && third >> 2 & 3 != 3 =>
        {
            Some(Container::Mpeg)
        }
        // A QuickTime movie may have its preview first.
        _ if is_movie(magic) || magic.get(4..8) == Some(b"pnot") => Some(Container::Movie),
        _ => None,
    }
}

/// The length of an ID3v2 tag with its header: seven bits a byte, and ten more where it has
/// a footer.
fn tag_length(magic: &[u8]) -> Option<u64> {
    let [b'I', b'D', b'3', _, _, flags, size @ ..] = magic else {
        return None;
    };
    let size = size.get(..4)?;
    if size.iter().any(|&byte| byte & 0x80 != 0) {
        return None;
    }
    let size = size.iter().fold(0, |n, &byte| n << 7 | u64::from(byte));
    Some(10 + size + if flags & 0x10 != 0 { 10 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes() {
        assert_eq!(by_magic(b"RIFF\0\0\0\0WAVE"), Some(Container::Wav));
        assert_eq!(by_magic(&[0xff, 0xfb, 0x90, 0]), Some(Container::Mpeg));
        assert_eq!(by_magic(&[0xff, 0xfe, b'a', 0]), None); // UTF-16 text
        assert_eq!(by_magic(&[0xff; 12]), None);
        assert_eq!(by_magic(b"\0\0\0\x20ftypM4A "), Some(Container::Movie));
        assert_eq!(by_magic(b""), None);
    }

    #[test]
    fn tags() {
        assert_eq!(tag_length(b"ID3\x04\0\0\0\0\x02\x01"), Some(10 + 257));
        assert_eq!(tag_length(b"ID3\x04\0\x10\0\0\0\x01"), Some(21));
        assert_eq!(tag_length(b"ID3\x04\0\0\0\0\0\xff"), None);
        assert_eq!(tag_length(b"ID3"), None);
    }
}
