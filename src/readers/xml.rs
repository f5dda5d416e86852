//! What the readers of CIFTI and GIFTI want of XML: attributes by name, and text.
//!
//! Nothing is expanded but the five predefined entities and character references, so a
//! document never grows when it is read.

use std::fmt::Display;
use std::str::FromStr;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// An attribute's value, unescaped; `None` where the tag has none of that name.
pub fn attribute(tag: &BytesStart, name: &str) -> Result<Option<String>, String> {
    let found = tag.try_get_attribute(name).map_err(|e| damaged(&e))?;
    let value = |value: quick_xml::events::attributes::Attribute| {
        let value = value.normalized_value(XmlVersion::Implicit1_0);
        value.map(String::from).map_err(|e| damaged(&e))
    };
    found.map(value).transpose()
}

/// An attribute that must be there.
pub fn required(tag: &BytesStart, name: &str) -> Result<String, String> {
    attribute(tag, name)?.ok_or_else(|| {
        format!(
            "damaged XML: {} has no attribute {name}",
            tag.name().as_ref()
        )
    })
}

/// An attribute that must be there and be a number.
pub fn number<T: FromStr>(tag: &BytesStart, name: &str) -> Result<T, String> {
    let text = required(tag, name)?;
    text.trim().parse().map_err(|_| {
        format!(
            "damaged XML: {name} of {} is {text:?}, not a number of its kind",
            tag.name().as_ref()
        )
    })
}

/// All the numbers of a text, between blanks, line ends or commas.
pub fn numbers<T: FromStr>(text: &str, what: &str) -> Result<Vec<T>, String> {
    let words = text.split(|c: char| c.is_ascii_whitespace() || c == ',');
    words
        .filter(|word| !word.is_empty())
        .map(|word| {
            let shown: String = word.chars().take(20).collect();
            word.parse()
                .map_err(|_| format!("damaged XML: {shown:?} among the numbers of {what}"))
        })
        .collect()
}

/// Appends what an event holds of the text of its element; other events hold none.
pub fn append_text(event: &Event, text: &mut String) -> Result<(), String> {
    match event {
        Event::Text(part) => text.push_str(part),
        Event::CData(part) => text.push_str(part),
        Event::GeneralRef(reference) => {
            match reference.resolve_char_ref().map_err(|e| damaged(&e))? {
                Some(c) => text.push(c),
                None => match resolve_predefined_entity(reference) {
                    Some(known) => text.push_str(known),
                    None => {
                        let name: String = reference.chars().take(40).collect();
                        return Err(format!(
                            "the entity &{name}; in its XML is not supported; write out what it stands for"
                        ));
                    }
                },
            }
        }
        _ => {}
    }
    Ok(())
}

pub fn damaged(error: &impl Display) -> String {
    format!("damaged XML: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use quick_xml::Reader;

    fn events(xml: &str, mut each: impl FnMut(&Event)) {
        let mut reader = Reader::from_str(xml);
        loop {
            match reader.read_event().unwrap() {
                Event::Eof => break,
                event => each(&event),
            }
        }
    }

    #[test]
    fn text_is_put_together_and_never_grows() {
        let mut text = String::new();
        events("<a>L &amp; R<!-- no -->&#65;<![CDATA[<&>]]></a>", |event| {
            append_text(event, &mut text).unwrap();
        });
        assert_eq!(text, "L & RA<&>");
        let bomb = "<!DOCTYPE a [<!ENTITY b \"xxxxxxxx\"><!ENTITY c \"&b;&b;&b;\">]><a>&c;</a>";
        let mut failed = None;
        events(bomb, |event| {
            if let Err(message) = append_text(event, &mut String::new()) {
                failed = Some(message);
            }
        });
        assert!(failed.unwrap().contains("&c;"));
    }

    #[test]
    fn attributes_are_unescaped_and_checked() {
        events("<a name='x &lt; y' n=' 12 ' bad='&no;'/>", |event| {
            let Event::Empty(tag) = event else { return };
            assert_eq!(attribute(tag, "name").unwrap().unwrap(), "x < y");
            assert_eq!(number::<usize>(tag, "n"), Ok(12));
            assert_eq!(attribute(tag, "other"), Ok(None));
            assert!(attribute(tag, "bad").is_err());
            assert!(required(tag, "other").unwrap_err().contains("other"));
            assert!(number::<usize>(tag, "name").unwrap_err().contains("x < y"));
        });
        assert_eq!(numbers::<u32>(" 1 2,3\n4 ", "a").unwrap(), [1u32, 2, 3, 4]);
        assert!(numbers::<u32>("1 -2", "a").unwrap_err().contains("\"-2\""));
    }
}
