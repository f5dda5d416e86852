use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};

use super::super::format::Value;
use super::super::testing::{error, file, here, options, project, read, scan, shared};
use super::*;

/// Tier and its number, kind, number in the tier, onset, duration, text of every row.
type Found = (String, i64, String, i64, f64, f64, String);

fn found(path: &Path, given: &[(&str, Value)]) -> Vec<Found> {
    let batch = read(&TextGrid, path, given).unwrap();
    let text = |name: &str, row| batch[name].as_string::<i32>().value(row).to_string();
    let integer = |name: &str, row| batch[name].as_primitive::<Int64Type>().value(row);
    let float = |name: &str, row| batch[name].as_primitive::<Float64Type>().value(row);
    (0..batch.num_rows())
        .map(|row| {
            (
                text("tier", row),
                integer("tier_index", row),
                text("kind", row),
                integer("interval_index", row),
                float("onset", row),
                float("duration", row),
                text("text", row),
            )
        })
        .collect()
}

fn want() -> Vec<Found> {
    let row = |tier: (&str, i64, &str), n, onset, duration, text: &str| {
        let (name, index, kind) = tier;
        let [name, kind, text] = [name, kind, text].map(str::to_string);
        (name, index, kind, n, onset, duration, text)
    };
    let words = ("words", 1, "interval");
    let beeps = ("the \"beeps\"", 2, "point");
    vec![
        row(words, 1, 0.0, 0.5, ""),
        row(words, 2, 0.5, 0.75, "caf\u{E9}"),
        row(words, 3, 1.25, 0.75, "say \"yes\"\nor no"),
        row(beeps, 1, 0.25, 0.0, "low"),
        row(beeps, 2, 1.75, 0.0, ""),
    ]
}

const LONG: &str = "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\nxmin = 0 \nxmax = 2 \n\
    tiers? <exists> \nsize = 2 \nitem []: \n    item [1]:\n        class = \"IntervalTier\" \n        \
    name = \"words\" \n        xmin = 0 \n        xmax = 2 \n        intervals: size = 3 \n        \
    intervals [1]:\n            xmin = 0 \n            xmax = 0.5 \n            text = \"\" \n        \
    intervals [2]:\n            xmin = 0.5 \n            xmax = 1.25 \n            text = \"caf\u{E9}\" \n        \
    intervals [3]:\n            xmin = 1.25 \n            xmax = 2 \n            text = \"say \"\"yes\"\"\nor no\" \n    \
    item [2]:\n        class = \"TextTier\" \n        name = \"the \"\"beeps\"\"\" \n        xmin = 0 \n        xmax = 2 \n        \
    points: size = 2 \n        points [1]:\n            number = 0.25 \n            mark = \"low\" \n        \
    points [2]:\n            number = 1.75 \n            mark = \"\" \n";

const SHORT: &str = "File type = \"ooTextFile\"\n\"TextGrid\"\n\n0\n2\n<exists>\n2\n\"IntervalTier\"\n\"words\"\n0\n2\n3\n\
    0\n0.5\n\"\"\n0.5\n1.25\n\"caf\u{E9}\"\n1.25\n2\n\"say \"\"yes\"\"\nor no\"\n\"TextTier\"\n\"the \"\"beeps\"\"\"\n0\n2\n2\n\
    0.25\n\"low\"\n1.75\n\"\"\n";

#[test]
fn both_formats_in_all_encodings() {
    let utf16 = |text: &str, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{FEFF}{text}")
            .encode_utf16()
            .flat_map(unit)
            .collect()
    };
    for text in [LONG, SHORT] {
        let latin = text.chars().map(|c| c as u8).collect();
        let commented = text
            .replace(" \n", " ! 1 \"x\"\n")
            .replace("<exists>", "<exists> ! 9");
        for bytes in [
            text.as_bytes().to_vec(),
            format!("\u{FEFF}{text}").into_bytes(),
            text.replace('\n', "\r\n").into_bytes(),
            text.replace('\n', "\r").into_bytes(),
            utf16(text, u16::to_le_bytes),
            utf16(text, u16::to_be_bytes),
            latin,
            commented.into_bytes(),
        ] {
            let (_dir, path) = file("a.TextGrid", bytes);
            assert_eq!(found(&path, &[]), want());
        }
    }
    let old = SHORT.replace("ooTextFile", "ooTextFile short");
    let (_dir, path) = file("a.TextGrid", old);
    assert_eq!(found(&path, &[]), want());
}

#[test]
fn one_tier_and_none() {
    let (_dir, path) = file("a.TextGrid", SHORT);
    let tier = |name: &str| [("tier", Value::Text(name.to_string()))];
    assert_eq!(found(&path, &tier("the \"beeps\"")), want()[3..]);
    let message = error(&TextGrid, &path, &tier("Words"));
    assert!(
        message.contains("no tier \"Words\"; its tiers are [\"words\", \"the \\\"beeps\\\"\"]"),
        "{message}"
    );
    let (_dir, path) = file("a.TextGrid", "\"ooTextFile\" \"TextGrid\" 0 2 <absent>");
    assert_eq!(found(&path, &[]), []);
    assert!(error(&TextGrid, &path, &tier("x")).contains("nor any other"));
    let (_dir, empty) = file("a.TextGrid", "");
    let described = TextGrid.describe(vec![empty], &options(&[])).unwrap();
    assert!(described.files.is_empty());
}

#[test]
fn projection_limit_and_batches() {
    let (_dir, path) = file("a.TextGrid", LONG);
    let mut some = project(scan(&TextGrid, &path, &[]).unwrap(), &["text", "onset"]);
    some.limit = Some(2);
    some.batch_bytes = 1;
    let batches: Vec<_> = TextGrid
        .open(&some)
        .unwrap()
        .collect::<Result<_>>()
        .unwrap();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[1]["text"].as_string::<i32>().value(0), "caf\u{E9}");
    let none = project(scan(&TextGrid, &path, &[]).unwrap(), &[]);
    let rows = TextGrid.open(&none).unwrap().map(|b| b.unwrap().num_rows());
    assert_eq!(rows.sum::<usize>(), 5);
}

#[test]
fn damage_is_named_with_its_line() {
    let line = |n: usize, message: &str| format!("bad.TextGrid: line {n}: {message}");
    for (content, message) in [
        (
            LONG.replace("size = 3", "size = 2"),
            line(24, "tier 2 of 2"),
        ),
        (
            LONG.replace("size = 3", "size = 4"),
            line(29, "the time of interval 4 of 4 in tier \"words\""),
        ),
        (
            LONG.replace("<exists> \nsize = 2", "<exists> \nsize = 1"),
            line(29, "the end of the file, after 1 tiers"),
        ),
        (
            LONG.replace("<exists> \nsize = 2", "<exists> \nsize = 3"),
            line(40, "tier 3 of 3"),
        ),
        (
            SHORT.replace("\n3\n", "\n2.5\n"),
            line(12, "the number of intervals is 2.5"),
        ),
        (
            SHORT.replace("\n3\n", "\n1e18\n"),
            line(12, "the number of intervals is 1000"),
        ),
        (
            SHORT.replace("\n3\n", "\n-3\n"),
            line(12, "the number of intervals is -3"),
        ),
        (
            LONG.replace("xmax = 0.5", "xmax = half"),
            line(17, "\"half\" stands for a value"),
        ),
        (
            SHORT.replace("1.75", "1,75"),
            line(30, "\"1,75\" is no number"),
        ),
        (
            LONG.replace("xmax = 1.25", "xmax = 0.25"),
            line(21, "the end of interval 2 of 3 in tier \"words\" is before"),
        ),
        (
            LONG.replace("TextTier", "PitchTier"),
            line(29, "tier 2 of 2"),
        ),
        (
            LONG.replace("<exists>", "<maybe>"),
            line(6, "<exists> or <absent> should be here, not <maybe>"),
        ),
        (
            LONG.replace("\"TextGrid\"", "\"Pitch 1\""),
            line(2, "this file has an object of Praat's class \"Pitch 1\""),
        ),
        (
            "onset\tduration\n".to_string(),
            line(3, "").replace("line 3: ", "line 2: this is no TextGrid"),
        ),
        (
            "\"Praat chronological TextGrid text file\"\n0 1".to_string(),
            line(1, "this is a chronological"),
        ),
        (
            "ooBinaryFile\u{8}TextGrid".to_string(),
            "bad.TextGrid: it is a binary TextGrid".to_string(),
        ),
    ] {
        let (_dir, path) = file("bad.TextGrid", &content);
        let said = error(&TextGrid, &path, &[]);
        assert!(said.contains(&message), "{said}\n  not {message}");
    }
}

/// However a file is cut or changed, it is read or refused, and never a part of it taken for all.
#[test]
fn damage_does_no_harm() {
    for end in (0..LONG.trim_end().len()).filter(|&end| LONG.is_char_boundary(end)) {
        assert!(grid::parse(&LONG[..end]).is_err(), "{end}");
    }
    // A xorshift: the same damage in each run.
    let mut state = 0x5eed_u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let (_dir, path) = file("a.TextGrid", "");
    for round in 0..3_000 {
        let mut bytes = [LONG, SHORT][round % 2].as_bytes().to_vec();
        for _ in 0..=below(4) {
            let at = below(bytes.len());
            let other = below(bytes.len());
            match below(4) {
                0 => bytes[at] = b"\"<>!=[]0 9-\n\r\xFF\xFE\0"[below(16)],
                1 => bytes[at] ^= 1 << below(8),
                2 => {
                    bytes.drain(at.min(other)..at.max(other));
                }
                _ => {
                    let copied = bytes[at.min(other)..at.max(other)].to_vec();
                    bytes.splice(at..at, copied);
                }
            }
            if bytes.is_empty() {
                bytes.push(b'"');
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Err(error) = read(&TextGrid, &path, &[]) {
            assert!(error.to_string().contains("a.TextGrid"), "{error}");
        }
    }
}

#[test]
fn a_real_annotation() {
    let Some(path) = shared("speech/textgrid/bobby_words.TextGrid") else {
        return;
    };
    let rows = found(&path, &[]);
    assert_eq!(rows.len(), 9);
    let words: Vec<&str> = rows[..6].iter().map(|row| row.6.as_str()).collect();
    assert_eq!(words, ["", "BOBBY", "RIPPED", "THE", "LEDGER", ""]);
    assert_eq!((rows[6].0.as_str(), rows[6].1, rows[6].3), ("phrase", 2, 1));
    assert_eq!(rows[1].4, 0.06469123242311078);
    assert_eq!(rows[1].5, 0.41156462585 - 0.06469123242311078);
    assert!(here("tests/data/words").exists());
}
