//! The boxes that an MP4 index is made of, and the numbers and tables in them.

/// A four-character code such as `avc1`.
pub type FourCc = [u8; 4];

/// The boxes in a stretch of the index.
pub fn boxes(mut data: &[u8]) -> Result<Vec<(FourCc, &[u8])>, String> {
    let mut found = Vec::new();
    while data.len() >= 8 {
        let kind = fourcc_at(data, 4)?;
        let (skip, size) = match be32(data) {
            0 => break, // QuickTime ends some lists so
            1 if data.len() >= 16 => (16, be64(&data[8..])),
            size => (8, u64::from(size)),
        };
        if size < skip || size > data.len() as u64 {
            return Err(damaged(&format!(
                "box {} claims {size} bytes where {} are left",
                name(&kind),
                data.len()
            )));
        }
        let (body, rest) = data.split_at(size as usize);
        found.push((kind, &body[skip as usize..]));
        data = rest;
    }
    Ok(found)
}

/// The body of the first box of a kind.
pub fn find<'a>(boxes: &[(FourCc, &'a [u8])], kind: &FourCc) -> Option<&'a [u8]> {
    boxes.iter().find(|(k, _)| k == kind).map(|(_, body)| *body)
}

pub fn require<'a>(boxes: &[(FourCc, &'a [u8])], kind: &FourCc) -> Result<&'a [u8], String> {
    find(boxes, kind).ok_or_else(|| damaged(&format!("box {} is missing", name(kind))))
}

/// The entries of a box made of version, flags, a count and that many entries.
pub fn table(body: &[u8], width: usize) -> Result<std::slice::ChunksExact<'_, u8>, String> {
    let count = u32_at(body, 4)? as usize;
    Ok(entries(body, 8, count, width)?.chunks_exact(width))
}

pub fn entries(body: &[u8], at: usize, count: usize, width: usize) -> Result<&[u8], String> {
    count
        .checked_mul(width)
        .and_then(|bytes| body.get(at..)?.get(..bytes))
        .ok_or_else(|| {
            damaged(&format!(
                "a table claims {count} entries, more than it holds"
            ))
        })
}

pub fn version(body: &[u8]) -> Result<u8, String> {
    body.first()
        .copied()
        .ok_or_else(|| damaged("a box is empty"))
}

pub fn u32_at(data: &[u8], at: usize) -> Result<u32, String> {
    data.get(at..at + 4)
        .map(be32)
        .ok_or_else(|| damaged("a box is too short"))
}

pub fn fourcc_at(data: &[u8], at: usize) -> Result<FourCc, String> {
    Ok(u32_at(data, at)?.to_be_bytes())
}

/// Big-endian number at the front of a slice that is known to hold it.
pub fn be32(data: &[u8]) -> u32 {
    u32::from_be_bytes([data[0], data[1], data[2], data[3]])
}

pub fn be64(data: &[u8]) -> u64 {
    u64::from(be32(data)) << 32 | u64::from(be32(&data[4..]))
}

/// A four-character code for a message.
pub fn name(kind: &FourCc) -> String {
    format!("'{}'", kind.escape_ascii())
}

pub fn damaged(what: &str) -> String {
    format!("its index (moov box) is damaged: {what}")
}
