//! ZIP archives as NumPy reads and writes them: a few members, stored or deflated.
//!
//! The crate that everybody uses would bring a generator of parsers and rebuild half of our
//! dependencies for these two records; the format is APPNOTE.TXT of PKWARE.

use std::io::{Read, Seek, SeekFrom, Write};

use flate2::Crc;
use flate2::read::DeflateDecoder;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// 1980-01-01, the first day of the format: files of the same content are the same.
const DATE: u16 = 0x21;

/// Members that were written, for the directory at the end.
struct Member {
    name: String,
    crc: u32,
    size: u32,
    offset: u32,
}

/// Writes members one after the other, stored as they are.
pub struct Archive<W> {
    writer: W,
    position: u64,
    members: Vec<Member>,
}

impl<W: Write> Archive<W> {
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            position: 0,
            members: Vec::new(),
        }
    }

    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let (Ok(size), Ok(offset)) = (u32::try_from(bytes.len()), u32::try_from(self.position))
        else {
            return Err("an archive of this kind holds 4 GB".to_string());
        };
        let mut crc = Crc::new();
        crc.update(bytes);
        let member = Member {
            name: name.to_string(),
            crc: crc.sum(),
            size,
            offset,
        };
        let mut header = LOCAL.to_le_bytes().to_vec();
        header.extend(20u16.to_le_bytes());
        member.describe(&mut header);
        header.extend(name.as_bytes());
        self.write(&header)?;
        self.write(bytes)?;
        self.members.push(member);
        Ok(())
    }

    pub fn finish(&mut self) -> Result<(), String> {
        let start = self.position;
        let mut directory = Vec::new();
        for member in &self.members {
            directory.extend(CENTRAL.to_le_bytes());
            directory.extend(20u16.to_le_bytes());
            directory.extend(20u16.to_le_bytes());
            member.describe(&mut directory);
            // Comment, disk, attributes.
            directory.extend([0; 10]);
            directory.extend(member.offset.to_le_bytes());
            directory.extend(member.name.as_bytes());
        }
        let Ok(start) = u32::try_from(start) else {
            return Err("an archive of this kind holds 4 GB".to_string());
        };
        let count = (self.members.len() as u16).to_le_bytes();
        let length = (directory.len() as u32).to_le_bytes();
        directory.extend(END.to_le_bytes());
        directory.extend([0; 4]);
        directory.extend(count);
        directory.extend(count);
        directory.extend(length);
        directory.extend(start.to_le_bytes());
        directory.extend([0; 2]);
        self.write(&directory)?;
        self.writer.flush().map_err(|error| error.to_string())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.position += bytes.len() as u64;
        let written = self.writer.write_all(bytes);
        written.map_err(|error| error.to_string())
    }
}

impl Member {
    /// The fields that both headers have: flags to the length of the extra field.
    fn describe(&self, header: &mut Vec<u8>) {
        header.extend([0; 6]);
        header.extend(DATE.to_le_bytes());
        header.extend(self.crc.to_le_bytes());
        header.extend(self.size.to_le_bytes());
        header.extend(self.size.to_le_bytes());
        header.extend((self.name.len() as u16).to_le_bytes());
        header.extend([0; 2]);
    }
}

/// The bytes of one member, by its name.
///
/// # Errors
/// An archive that is damaged or has no such member, and members over 4 GB.
pub fn member(archive: &mut (impl Read + Seek), name: &str) -> Result<Vec<u8>, String> {
    let directory = directory(archive)?;
    let mut at = 0;
    while let Some(entry) = directory.get(at..at + 46) {
        if number(entry, 0, 4) != u64::from(CENTRAL) {
            break;
        }
        let length = |at| number(entry, at, 2) as usize;
        let title = directory.get(at + 46..at + 46 + length(28));
        if title == Some(name.as_bytes()) {
            return read(archive, entry);
        }
        at += 46 + length(28) + length(30) + length(32);
    }
    Err("there is no such member".to_string())
}

fn directory(archive: &mut (impl Read + Seek)) -> Result<Vec<u8>, String> {
    let io = |error: std::io::Error| error.to_string();
    let length = archive.seek(SeekFrom::End(0)).map_err(io)?;
    // The last record may be followed by a comment.
    let tail = length.min(22 + 0xffff);
    let last = bytes(archive, length - tail, tail)?;
    let signature = END.to_le_bytes();
    let end = last.windows(4).rposition(|window| window == signature);
    let Some(end) = end.and_then(|at| last.get(at..at + 22)) else {
        return Err("it is not a ZIP archive, or it is cut off".to_string());
    };
    let (size, offset) = (number(end, 12, 4), number(end, 16, 4));
    if offset + size > length {
        return Err("its directory lies outside of it".to_string());
    }
    bytes(archive, offset, size)
}

fn read(archive: &mut (impl Read + Seek), entry: &[u8]) -> Result<Vec<u8>, String> {
    let (method, crc) = (number(entry, 10, 2), number(entry, 16, 4));
    let (packed, size, offset) = (
        number(entry, 20, 4),
        number(entry, 24, 4),
        number(entry, 42, 4),
    );
    if [packed, size, offset].contains(&u64::from(u32::MAX)) {
        return Err("it is over 4 GB".to_string());
    }
    let local = bytes(archive, offset, 30)?;
    if number(&local, 0, 4) != u64::from(LOCAL) {
        return Err("its header is damaged".to_string());
    }
    let start = offset + 30 + number(&local, 26, 2) + number(&local, 28, 2);
    let packed = bytes(archive, start, packed)?;
    let content = match method {
        0 => packed,
        8 => {
            let mut content = Vec::new();
            // One byte more than there should be, to see that there is not.
            let mut decoder = DeflateDecoder::new(packed.as_slice()).take(size + 1);
            let read = decoder.read_to_end(&mut content);
            read.map_err(|error| error.to_string())?;
            content
        }
        other => return Err(format!("it is packed by method {other}, which is not read")),
    };
    let mut sum = Crc::new();
    sum.update(&content);
    match content.len() as u64 == size && u64::from(sum.sum()) == crc {
        true => Ok(content),
        false => Err("its checksum is wrong: the file is damaged".to_string()),
    }
}

/// `length` bytes from `offset` on; what is claimed beyond the archive's end is not asked memory for.
fn bytes(archive: &mut (impl Read + Seek), offset: u64, length: u64) -> Result<Vec<u8>, String> {
    let io = |error: std::io::Error| error.to_string();
    archive.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut bytes = Vec::new();
    archive.take(length).read_to_end(&mut bytes).map_err(io)?;
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err("it is cut off".to_string()),
    }
}

/// A little-endian number of `size` bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let part = bytes.get(at..at + size).unwrap_or_default();
    part.iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn members_come_back_and_damage_is_seen() {
        let mut file = Vec::new();
        let mut archive = Archive::new(&mut file);
        archive.add("a.npy", b"first").unwrap();
        archive.add("b.npy", &[7; 1000]).unwrap();
        archive.finish().unwrap();
        let get = |file: &[u8], name| member(&mut Cursor::new(file), name);
        assert_eq!(get(&file, "a.npy").unwrap(), b"first");
        assert_eq!(get(&file, "b.npy").unwrap(), [7; 1000]);
        assert!(get(&file, "c.npy").is_err());
        for cut in 0..file.len() {
            assert!(get(&file[..cut], "b.npy").is_err(), "{cut}");
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x55;
            // An error or the right bytes: dates and versions do not matter.
            if let Ok(bytes) = get(&damaged, "b.npy") {
                assert_eq!(bytes, [7; 1000], "{at}");
            }
        }
    }
}
