//! What one file of the tree has in each column.

use std::cell::OnceCell;
use std::fs;
use std::io::{self, Read};

use serde_json::{Map, Value};

use crate::access::scope;
use crate::readers::bids::level::{Json, Level};
use crate::readers::bids::walk::{Found, Kind};
use crate::readers::bids::{Name, stem};

/// The names of directories of data.
const DATATYPES: [&str; 16] = [
    "anat",
    "beh",
    "dwi",
    "eeg",
    "emg",
    "fmap",
    "func",
    "ieeg",
    "meg",
    "micr",
    "motion",
    "mrs",
    "nirs",
    "perf",
    "pet",
    "phenotype",
];

/// A file, and on demand what its name, its directories and its bytes say.
pub struct Row<'a> {
    found: &'a Found,
    name: Option<Name<'a>>,
    levels: Vec<&'a Level>,
    size: OnceCell<Result<u64, String>>,
    sidecars: OnceCell<Vec<&'a Json>>,
}

impl<'a> Row<'a> {
    /// `levels` as `Walk::levels` gives them.
    pub fn new(found: &'a Found, levels: Vec<&'a Level>) -> Self {
        Self {
            found,
            name: Name::parse(&found.name),
            levels,
            size: OnceCell::new(),
            sidecars: OnceCell::new(),
        }
    }

    pub fn path(&self) -> String {
        self.found.path.to_string_lossy().into_owned()
    }

    /// The value of an entity, by its key in names (`sub`).
    pub fn entity(&self, key: &str) -> Option<&str> {
        self.name.as_ref()?.value(key)
    }

    /// The directory that the file is in, where it is one of data.
    pub fn datatype(&self) -> Option<&str> {
        let directory = self.found.path.parent()?.file_name()?.to_str()?;
        DATATYPES.contains(&directory).then_some(directory)
    }

    pub fn suffix(&self) -> Option<&str> {
        self.extension()?;
        Some(self.name.as_ref()?.suffix)
    }

    /// From the first dot of the name on.
    pub fn extension(&self) -> Option<&str> {
        let extension = &self.found.name[stem(&self.found.name).len()..];
        (!extension.is_empty()).then_some(extension)
    }

    pub fn size(&self) -> Option<u64> {
        match self.found.kind {
            Kind::File => self.file_size().ok(),
            _ => None,
        }
    }

    fn file_size(&self) -> Result<u64, &str> {
        let look = || match fs::metadata(&self.found.path) {
            Ok(found) => Ok(found.len()),
            Err(error) => Err(error.to_string()),
        };
        let size = self.size.get_or_init(look);
        size.as_ref().copied().map_err(String::as_str)
    }

    /// The JSON files that describe this one, the least specific first.
    fn sidecars(&self) -> &[&'a Json] {
        self.sidecars.get_or_init(|| {
            let mut found = vec![];
            if self.is_json() {
                return found;
            }
            match &self.name {
                Some(name) if !name.pairs.is_empty() => {
                    for level in &self.levels {
                        level.describing(name, &mut found);
                    }
                }
                // Other names have no entities to inherit by.
                _ => {
                    let own = format!("{}.json", stem(&self.found.name));
                    found.extend(self.levels.last().and_then(|level| level.json(&own)));
                }
            }
            found
        })
    }

    fn is_json(&self) -> bool {
        self.found.name.ends_with(".json")
    }

    /// A field of the sidecars: the most specific wins. Broken sidecars count as empty.
    fn field(&self, name: &str) -> Option<&Value> {
        let fields = self.sidecars().iter().rev();
        fields
            .filter_map(|json| json.fields().ok())
            .find_map(|fields| fields.get(name))
            .filter(|value| !value.is_null())
    }

    pub fn number(&self, field: &str) -> Option<f64> {
        self.field(field)?.as_f64()
    }

    pub fn text(&self, field: &str) -> Option<&str> {
        self.field(field)?.as_str()
    }

    pub fn numbers(&self, field: &str) -> Option<Vec<f64>> {
        let values = self.field(field)?.as_array()?;
        values.iter().map(Value::as_f64).collect()
    }

    /// All fields of the sidecars, as one JSON object.
    pub fn sidecar(&self) -> Option<String> {
        let mut merged: Option<Map<String, Value>> = None;
        for fields in self.sidecars().iter().filter_map(|json| json.fields().ok()) {
            let merged = merged.get_or_insert_with(Map::new);
            merged.extend(fields.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        Some(Value::Object(merged?).to_string())
    }

    /// What is wrong with the file: first its bytes, then its sidecars, then its name.
    pub fn problem(&self) -> Option<String> {
        match &self.found.kind {
            Kind::Dangling => Some("a link to nothing; fetch the file (`datalad get`)".to_string()),
            Kind::Unreadable(error) => Some(format!("cannot be read: {error}")),
            Kind::Bundle => None,
            Kind::File => self.content_problem(),
        }
        .or_else(|| self.sidecar_problem())
        .or_else(|| self.name_problem())
    }

    fn content_problem(&self) -> Option<String> {
        match self.file_size() {
            Err(error) => return Some(format!("cannot be read: {error}")),
            Ok(0) => return Some("empty file".to_string()),
            Ok(_) => {}
        }
        if self.is_json() {
            let json = self.levels.last()?.json(&self.found.name)?;
            return json.fields().err().map(ToString::to_string);
        }
        if self.found.name.ends_with(".gz") {
            return match start(&self.found.path) {
                Ok(bytes) if bytes == *b"\x1f\x8b" => None,
                Ok(_) => Some("not gzip, though its name ends in .gz".to_string()),
                Err(error) => Some(format!("cannot be read: {error}")),
            };
        }
        None
    }

    fn sidecar_problem(&self) -> Option<String> {
        for json in self.sidecars() {
            if let Err(error) = json.fields() {
                return Some(format!("sidecar {}: {error}", json.name()));
            }
        }
        let wrong = |field: &str, wanted: &str| {
            let shown: String = self.field(field)?.to_string().chars().take(60).collect();
            Some(format!("its sidecar's {field} is {shown}, not {wanted}"))
        };
        for field in ["RepetitionTime", "StartTime"] {
            if self.number(field).is_none()
                && let Some(problem) = wrong(field, "a number of seconds")
            {
                return Some(problem);
            }
        }
        if self.text("TaskName").is_none()
            && let Some(problem) = wrong("TaskName", "text")
        {
            return Some(problem);
        }
        match self.numbers("SliceTiming") {
            None => wrong("SliceTiming", "a list of seconds"),
            Some(_) => None,
        }
    }

    /// A name with a subject is meant to be one of BIDS.
    fn name_problem(&self) -> Option<String> {
        let meant = self.found.name.starts_with("sub-") && self.found.name.contains('_');
        (meant && self.name.is_none()).then(|| {
            "not a BIDS name: it is not key-value_…_suffix with known keys, each once".to_string()
        })
    }
}

/// The first two bytes, or fewer.
fn start(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    scope::open(path)?.take(2).read_to_end(&mut bytes)?;
    Ok(bytes)
}
