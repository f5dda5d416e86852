//! UTF-16 text as UTF-8, as it is read.

use std::io::{self, Read};

/// Reads UTF-16 from `from`, which stands behind the byte order mark.
pub struct Utf16<R> {
    from: R,
    unit: fn([u8; 2]) -> u16,
    /// Bytes that do not make a character yet.
    odd: Vec<u8>,
    /// What was converted, and how much of it was given.
    text: String,
    given: usize,
}

impl<R: Read> Utf16<R> {
    /// `unit` puts a pair of bytes together: `u16::from_le_bytes` or `u16::from_be_bytes`.
    pub fn new(from: R, unit: fn([u8; 2]) -> u16) -> Self {
        Self {
            from,
            unit,
            odd: Vec::new(),
            text: String::new(),
            given: 0,
        }
    }

    /// Converts what comes next, until there is something or the end.
    fn refill(&mut self) -> io::Result<()> {
        self.text.clear();
        self.given = 0;
        let mut bytes = [0; 8192];
        while self.text.is_empty() {
            let n = match self.from.read(&mut bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                n => n?,
            };
            if n == 0 && self.odd.is_empty() {
                return Ok(());
            }
            self.odd.extend_from_slice(&bytes[..n]);
            self.convert(n == 0)?;
        }
        Ok(())
    }

    /// Converts all whole characters.
    fn convert(&mut self, is_end: bool) -> io::Result<()> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let (pairs, rest) = self.odd.as_chunks::<2>();
        let mut units: Vec<u16> = pairs.iter().map(|&pair| (self.unit)(pair)).collect();
        // The first half of a character waits for the second one.
        let half = units.pop_if(|unit| !is_end && (0xD800..0xDC00).contains(unit));
        if is_end && !rest.is_empty() {
            return Err(bad(
                "it is UTF-16 text that ends within a character; it is cut off",
            ));
        }
        for character in char::decode_utf16(units) {
            self.text
                .push(character.map_err(|_| bad("it begins as UTF-16 text, and is not"))?);
        }
        let left = rest.len() + if half.is_some() { 2 } else { 0 };
        self.odd.drain(..self.odd.len() - left);
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given == self.text.len() {
            self.refill()?;
        }
        let bytes = &self.text.as_bytes()[self.given..];
        let n = bytes.len().min(out.len());
        out[..n].copy_from_slice(&bytes[..n]);
        self.given += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes one by one.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = out.len().min(1);
            self.0.read(&mut out[..n])
        }
    }

    fn read(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> io::Result<String> {
        let mut all = String::new();
        Utf16::new(bytes, unit).read_to_string(&mut all)?;
        let mut slowly = String::new();
        Utf16::new(Drops(bytes), unit).read_to_string(&mut slowly)?;
        assert_eq!(all, slowly);
        Ok(all)
    }

    #[test]
    fn both_orders_and_characters_of_two_units() {
        let text = "Grüße, 東京 🎬\r\n".repeat(2000);
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(read(&little, u16::from_le_bytes).unwrap(), text);
        assert_eq!(read(&big, u16::from_be_bytes).unwrap(), text);
        assert_eq!(read(b"", u16::from_be_bytes).unwrap(), "");
    }

    #[test]
    fn what_is_no_text() {
        let error = |bytes: &[u8]| read(bytes, u16::from_be_bytes).unwrap_err().to_string();
        assert!(error(b"\0a\0").contains("cut off"));
        for half in [&b"\xD8\x00"[..], b"\xDC\x00\0a", b"\xD8\x00\0a"] {
            assert!(error(half).contains("and is not"));
        }
    }
}
