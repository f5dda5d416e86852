//! The data arrays of a GIFTI file one after the other, and where their numbers are; those stay text.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use datafusion::common::Result;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::array::Array;
use crate::access::scope;
use crate::readers::format::file_error;
use crate::readers::nifti::volumes::explain;
use crate::readers::xml::{append_text, attribute, damaged};

const BUFFER_BYTES: usize = 256 * 1024;
/// Editors write it; the XML reader passes over it, but does not count it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads a file's tags. Of its numbers it holds no more than one array's, as text.
pub struct Scanner {
    reader: Reader<BufReader<File>>,
    buffer: Vec<u8>,
    /// Bytes before what the reader counts.
    before: u64,
    /// How many arrays the file says it has.
    pub claimed: Option<usize>,
    /// Of the whole file, as far as it has been read: pairs of name and value.
    pub metadata: Vec<(String, String)>,
    complete: bool,
}

/// Which text is being collected.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Nothing,
    Name,
    Value,
    Data,
}

impl Scanner {
    pub fn open(path: &Path) -> Result<Self> {
        let named = |e| file_error(path, explain(path, &e));
        let mut file = BufReader::with_capacity(BUFFER_BYTES, scope::open(path).map_err(named)?);
        let start = file.fill_buf().map_err(named)?;
        if start.starts_with(&[0x1f, 0x8b]) {
            return Err(file_error(
                path,
                "a compressed GIFTI file, which is not supported: its arrays are compressed \
                 inside it already; decompress it with gunzip",
            ));
        }
        let before = match start.starts_with(BYTE_ORDER_MARK) {
            true => BYTE_ORDER_MARK.len(),
            false => 0,
        };
        file.consume(before);
        let mut reader = Reader::from_reader(file);
        reader.config_mut().expand_empty_elements = true;
        Ok(Scanner {
            reader,
            buffer: vec![],
            before: before as u64,
            claimed: None,
            metadata: vec![],
            complete: false,
        })
    }

    /// The next array; `None` after the last.
    ///
    /// Errors for XML that is damaged or ends early, for what is no GIFTI, and for arrays
    /// that are no rows of numbers.
    pub fn next(&mut self) -> Result<Option<Array>, String> {
        let mut array: Option<Array> = None;
        let mut inside = Inside::Nothing;
        let (mut name, mut value) = (String::new(), String::new());
        loop {
            self.buffer.clear();
            let from = self.before + self.reader.buffer_position();
            let event = self.reader.read_event_into(&mut self.buffer);
            let event = event.map_err(|e| damaged(&e))?;
            let to = self.before + self.reader.buffer_position();
            match &event {
                Event::Start(tag) => {
                    inside = Inside::Nothing;
                    match tag.local_name().as_ref() {
                        "GIFTI" => {
                            let count = attribute(tag, "NumberOfDataArrays")?;
                            self.claimed = count.and_then(|n| n.trim().parse().ok());
                        }
                        _ if self.claimed.is_none() => {
                            return Err("no GIFTI file: it does not begin with a GIFTI tag that \
                                        says NumberOfDataArrays"
                                .to_owned());
                        }
                        "DataArray" if array.is_some() => {
                            return Err("damaged XML: a DataArray inside of another".to_owned());
                        }
                        "DataArray" => array = Some(Array::start(tag)?),
                        "Data" => {
                            inside = Inside::Data;
                            if let Some(array) = &mut array {
                                array.data = to..to;
                            }
                        }
                        "MD" => {
                            name.clear();
                            value.clear();
                        }
                        "Name" => inside = Inside::Name,
                        "Value" => inside = Inside::Value,
                        _ => {}
                    }
                }
                Event::End(tag) => {
                    inside = Inside::Nothing;
                    match tag.local_name().as_ref() {
                        "MD" => {
                            let metadata = match &mut array {
                                Some(array) => &mut array.metadata,
                                None => &mut self.metadata,
                            };
                            metadata.push((name.trim().to_owned(), value.trim().to_owned()));
                        }
                        "DataArray" => {
                            if let Some(array) = array {
                                return Ok(Some(array));
                            }
                        }
                        "GIFTI" => self.complete = true,
                        _ => {}
                    }
                }
                Event::Eof if self.complete => return Ok(None),
                Event::Eof => {
                    return Err("the file ends early, before </GIFTI>; copy it again".to_owned());
                }
                text => match (inside, &mut array) {
                    (Inside::Name, _) => append_text(text, &mut name)?,
                    (Inside::Value, _) => append_text(text, &mut value)?,
                    (Inside::Data, Some(array)) => match text {
                        Event::Text(_) if array.data.is_empty() => array.data = from..to,
                        Event::Comment(_) if array.data.is_empty() => {}
                        _ => {
                            return Err(
                                "the Data of a DataArray must be one text without comments and the like"
                                    .to_owned(),
                            );
                        }
                    },
                    _ => {}
                },
            }
        }
    }
}
