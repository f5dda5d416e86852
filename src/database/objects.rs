//! Where tables, views, models and indexes lie, and their names as file names.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use datafusion::common::Result;

use super::Database;

/// The kinds of things in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    Table,
    View,
    External,
    Model,
    Index,
}

impl ObjectKind {
    /// The kinds that share one name space: what can stand after FROM.
    pub const RELATIONS: [Self; 3] = [Self::Table, Self::View, Self::External];

    pub fn noun(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::External => "external table",
            Self::Model => "model",
            Self::Index => "index",
        }
    }

    pub(super) fn directory(self) -> &'static str {
        match self {
            Self::Table => "tables",
            Self::View => "views",
            Self::External => "external",
            Self::Model => "models",
            Self::Index => "indexes",
        }
    }

    /// Views and external tables are SQL text; tables, models and indexes are directories.
    fn ending(self) -> &'static str {
        match self {
            Self::View | Self::External => ".sql",
            Self::Table | Self::Model | Self::Index => "",
        }
    }
}

impl Database {
    /// Where all tables lie.
    pub fn tables(&self) -> PathBuf {
        self.root().join(ObjectKind::Table.directory())
    }

    /// Where the object lies, whether or not it exists.
    pub fn place(&self, kind: ObjectKind, name: &str) -> PathBuf {
        let file = format!("{}{}", encode(name), kind.ending());
        self.root().join(kind.directory()).join(file)
    }

    pub fn exists(&self, kind: ObjectKind, name: &str) -> bool {
        self.place(kind, name).exists()
    }

    /// What stands after FROM by this name.
    pub fn relation(&self, name: &str) -> Option<ObjectKind> {
        ObjectKind::RELATIONS
            .into_iter()
            .find(|kind| self.exists(*kind, name))
    }

    /// The names of all objects of a kind, sorted.
    pub fn names(&self, kind: ObjectKind) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(self.root().join(kind.directory())) {
            Ok(entries) => entries,
            // A database that was made before there were indexes.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let file = entry?.file_name();
            let name = file.to_str().and_then(|f| f.strip_suffix(kind.ending()));
            if let Some(name) = name.and_then(decode) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Letters, digits, `_` and `-` stand for themselves, every other byte is `%XX`:
/// any SQL name is a file name, and none leaves its directory.
fn encode(name: &str) -> String {
    let mut file = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => file.push(byte as char),
            _ => file.push_str(&format!("%{byte:02X}")),
        }
    }
    file
}

fn decode(file: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(file.len());
    let mut rest = file.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    // What VoxQL did not write (`.DS_Store`) is no object.
    (encode(&name) == file).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_file_name_and_comes_back() {
        for name in ["bold", "My Table", "../up", "a/b", "50%", "Größe", ".x", ""] {
            let file = encode(name);
            assert!(!file.contains('/') && !file.starts_with('.'), "{file}");
            assert_eq!(decode(&file).as_deref(), Some(name));
        }
        for file in [".DS_Store", "a b", "%4", "%zz", "%41"] {
            assert_eq!(decode(file), None, "{file}");
        }
    }
}
