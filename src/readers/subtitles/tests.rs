use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};

use super::super::format::Value;
use super::super::testing::{error, file, here, options, project, read, scan, shared};
use super::captions::{timed_text, webvtt_cues};
use super::*;

/// Onset, duration and text of every cue.
fn cues(path: &Path) -> Vec<(f64, f64, String)> {
    let batch = read(&Subtitles, path, &[]).unwrap();
    let number = batch["subtitle"].as_primitive::<Int64Type>();
    assert_eq!(
        number.values().to_vec(),
        (1..=batch.num_rows() as i64).collect::<Vec<_>>()
    );
    let onset = batch["onset"].as_primitive::<Float64Type>();
    let duration = batch["duration"].as_primitive::<Float64Type>();
    let text = batch["text"].as_string::<i32>();
    (0..batch.num_rows())
        .map(|row| {
            (
                onset.value(row),
                duration.value(row),
                text.value(row).to_string(),
            )
        })
        .collect()
}

fn cues_of(name: &str, content: &str) -> Vec<(f64, f64, String)> {
    let (_dir, path) = file(name, content);
    cues(&path)
}

fn cue(onset: f64, duration: f64, text: &str) -> (f64, f64, String) {
    (onset, duration, text.to_string())
}

#[test]
fn subrip() {
    let want = [cue(1.0, 1.5, "Hello, world!"), cue(3661.25, 0.75, "Second")];
    let plain = "1\n00:00:01,000 --> 00:00:02,500\n<i>Hello,</i>\nworld!\n\n\
                 2\n01:01:01,250 --> 01:01:02,000\nSecond\n\n";
    assert_eq!(cues_of("a.srt", plain), want);
    // Byte order mark, CRLF, no empty line at the end, points for commas, no numbers.
    let odd = "\u{FEFF}\r\n00:00:01.000 --> 00:00:02.500 X1:10 X2:20\r\nHello,\r\n{\\an8}world!\r\n\
               \r\n\r\n01:01:01,25-->01:01:02\r\nSecond";
    assert_eq!(cues_of("a.srt", odd), want);
    assert_eq!(
        cues_of("a.srt", "1\n00:00:01,000 --> 00:00:01,000\n\n"),
        [cue(1.0, 0.0, "")]
    );
    assert_eq!(cues_of("a.srt", "\n\n"), []);
}

#[test]
fn webvtt() {
    let content = "WEBVTT - a title\nKind: captions\n\nSTYLE\n::cue { color: lime }\n\nREGION\nid:left\n\n\
                   NOTE one\nline\n\n1\n00:01.000 --> 00:02.500 position:10% align:left\n<v Ann>Tom &amp; I\n\n\
                   NOTE\n\nintro\n100:00:00.000 --> 100:00:01.000\nlate";
    let want = [cue(1.0, 1.5, "Tom & I"), cue(360_000.0, 1.0, "late")];
    assert_eq!(cues_of("a.vtt", content), want);
    assert_eq!(cues_of("a.vtt", &content.replace('\n', "\r\n")), want);
}

#[test]
fn utf16() {
    let srt = "\u{FEFF}1\r\n00:00:01,000 --> 00:00:02,500\r\nGrüße, 東京 🎬\r\n";
    let vtt = "\u{FEFF}WEBVTT\n\nNOTE no cue\n\n00:01.000 --> 00:02.500\n<i>Grüße,</i> 東京 🎬";
    let want = [cue(1.0, 1.5, "Grüße, 東京 🎬")];
    for text in [srt, vtt] {
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(order).collect();
            let (_dir, path) = file("wide.srt", bytes);
            assert_eq!(cues(&path), want);
        }
    }
}

/// The languages that the rows name.
fn languages(path: &Path) -> Vec<Option<String>> {
    let batch = read(&Subtitles, path, &[]).unwrap();
    let column = batch["language"].as_string::<i32>();
    column.iter().map(|l| l.map(str::to_owned)).collect()
}

#[test]
fn languages_of_tracks() {
    let (_dir, srt) = file("a.srt", "1\n00:00:01,000 --> 00:00:02,500\nHello\n");
    assert_eq!(languages(&srt), [None]);
    // `und`, for undetermined.
    let film = here("tests/data/ramp.mp4");
    assert_eq!(languages(&film), [None, None]);

    // The same with another language in the last track's header: three letters of five bits.
    let mut bytes = std::fs::read(film).unwrap();
    let letters = b"deu"
        .iter()
        .fold(0u16, |all, l| all << 5 | u16::from(l - 0x60));
    let header = bytes.windows(4).rposition(|four| four == b"mdhd").unwrap();
    bytes[header + 24..header + 26].copy_from_slice(&letters.to_be_bytes());
    let (_dir, german) = file("german.mp4", bytes);
    assert_eq!(
        languages(&german),
        [Some("deu".to_owned()), Some("deu".to_owned())]
    );
}

#[test]
fn text_track_of_an_mp4() {
    let want = [cue(0.2, 0.3, "one two"), cue(0.6, 0.3, "three")];
    assert_eq!(cues(&here("tests/data/ramp.mp4")), want);
    let message = error(&Subtitles, &here("tests/data/ramp_vfr.mp4"), &[]);
    assert!(
        message.contains("no subtitle track; its tracks are 'avc1'"),
        "{message}"
    );
}

#[test]
fn nasa_clip_and_its_srt_agree() {
    let (Some(mp4), Some(srt)) = (shared("av/nasa_13013.mp4"), shared("av/nasa_13013.srt")) else {
        return;
    };
    let found = cues(&srt);
    assert_eq!(found.len(), 4);
    assert_eq!(
        found[0],
        cue(
            0.21,
            4.05,
            "NAR: This is the optical and science segment of the Webb"
        )
    );
    assert_eq!(
        found[2].2,
        "at NASA’s Goddard Space Flight Center in Greenbelt, Maryland."
    );
    assert_eq!(cues(&mp4), found);
}

#[test]
fn projection_limit_and_batches() {
    let (_dir, path) = file(
        "a.srt",
        "1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:00:03,000 --> 00:00:04,000\nb\n\n3\nbroken",
    );
    // What lies behind the limit is not read.
    let mut some = project(scan(&Subtitles, &path, &[]).unwrap(), &["text", "onset"]);
    some.limit = Some(2);
    some.batch_bytes = 1;
    let batches: Vec<_> = Subtitles
        .open(&some)
        .unwrap()
        .collect::<Result<_>>()
        .unwrap();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches[1]["text"].as_string::<i32>().value(0), "b");
    some.limit = None;
    let rows = Subtitles
        .open(&project(some, &[]))
        .unwrap()
        .map(|b| b.map(|b| b.num_rows()));
    let rows: Vec<_> = rows.collect();
    assert!(matches!(rows[..], [Ok(1), Ok(1), Err(_)]), "{rows:?}");
}

#[test]
fn bad_files() {
    let good = "1\n00:00:01,000 --> 00:00:02,000\n";
    for (content, parts) in [
        (
            "1\n00:00:01,000 --> 00:61:02,000\nx\n".into(),
            ["line 2", "\"00:61:02,000\" is no time"],
        ),
        (
            "1\n00:00:01,000 -->\nx\n".into(),
            ["line 2", "\"\" is no time"],
        ),
        (
            "1\n00:00:03,000 --> 00:00:02,000\nx\n".into(),
            ["line 2", "ends before it begins"],
        ),
        ("{\"a\": 1}\n".into(), ["line 1", "not \"{\\\"a\\\": 1}\""]),
        (format!("{good}x\n\ny\n"), ["line 5", "not \"y\""]),
        (
            format!("{good}x\n2\n00:00:03,000 --> 00:00:04,000\ny\n"),
            ["line 5", "empty line"],
        ),
        ("1\n".into(), ["line 2", "the times of a cue"]),
        ("WEBVTT\n\nid\nx\n".into(), ["line 4", "the times of a cue"]),
        ("x".repeat(2 << 20), ["line 1", "longer than a megabyte"]),
        (
            format!("{good}{0}\n{0}\n{0}\n", "x".repeat(400_000)),
            ["line 5", "the text of the cue is longer"],
        ),
    ] {
        let content: String = content;
        let (_dir, path) = file("bad.srt", &content);
        let message = error(&Subtitles, &path, &[]);
        let named = message.contains("bad.srt: ");
        assert!(
            named && parts.iter().all(|part| message.contains(part)),
            "{message}"
        );
    }

    let (_dir, path) = file("bad.srt", b"1\n00:00:01,000 --> 00:00:02,000\ncaf\xE9\n");
    let message = error(&Subtitles, &path, &[]);
    assert!(
        message.contains("line 3") && message.contains("iconv -f LATIN1"),
        "{message}"
    );
    let (_dir, path) = file("bad.srt", b"\xFF\xFE1\0\n");
    let message = error(&Subtitles, &path, &[]);
    assert!(
        message.contains("bad.srt: ") && message.contains("UTF-16 text that ends within"),
        "{message}"
    );

    let (_dir, empty) = file("empty.srt", b"");
    assert_eq!(
        Subtitles
            .describe(vec![empty], &options(&[]))
            .unwrap()
            .files
            .len(),
        0
    );
}

#[test]
fn timed_text_samples() {
    assert_eq!(timed_text(b"\0\x02hi\0\0\0\x08styl").unwrap(), "hi");
    assert_eq!(timed_text(b"\0\x06\xFE\xFF\0h\0i").unwrap(), "hi");
    assert_eq!(timed_text(b"\0\0").unwrap(), "");
    assert_eq!(timed_text(b"").unwrap(), "");
    for bad in [&b"\0"[..], b"\0\x05hi", b"\0\x01\xE9"] {
        assert!(timed_text(bad).is_err());
    }
}

#[test]
fn webvtt_samples() {
    let boxed = |kind: &[u8; 4], body: &[u8]| {
        let length = (8 + body.len() as u32).to_be_bytes();
        [&length[..], kind, body].concat()
    };
    let cue = |text: &str| boxed(b"vttc", &boxed(b"payl", text.as_bytes()));
    let two = [cue("<v Ann>Tom &amp;\nI"), cue("you")].concat();
    assert_eq!(webvtt_cues(&two).unwrap(), "Tom & I you");
    assert_eq!(webvtt_cues(&boxed(b"vtte", b"")).unwrap(), "");
    assert_eq!(webvtt_cues(b"").unwrap(), "");
    assert!(webvtt_cues(b"\0\0\0\xFFvttc").is_err());
    let bad = boxed(b"vttc", &boxed(b"payl", b"\xE9"));
    assert!(webvtt_cues(&bad).unwrap_err().contains("not UTF-8"));
}

#[test]
fn streams() {
    let film = here("tests/data/ramp.mp4");
    let first = [("stream", Value::Integer(0))];
    assert_eq!(read(&Subtitles, &film, &first).unwrap().num_rows(), 2);
    let (_dir, text) = file("a.srt", "1\n00:00:01,000 --> 00:00:02,000\na\n");
    assert_eq!(read(&Subtitles, &text, &first).unwrap().num_rows(), 1);
    for (path, stream, part) in [
        (&film, 1, "no subtitle stream 1: it has 1, numbered from 0"),
        (&text, 1, "a text file has one"),
        (&text, -1, "stream must be 0 or more, not -1"),
    ] {
        let message = error(&Subtitles, path, &[("stream", Value::Integer(stream))]);
        assert!(message.contains(part), "{message}");
    }
    if let Some(nasa) = shared("av/nasa_13013.mp4") {
        // Both streams are the same text.
        let second = [("stream", Value::Integer(1))];
        let first = read(&Subtitles, &nasa, &first).unwrap();
        assert_eq!(read(&Subtitles, &nasa, &second).unwrap(), first);
    }
}

/// Bytes changed and cut at random (xorshift, one seed): an error or other cues, never a panic.
#[test]
fn damage() {
    let texts = [
        ("a.srt", b"1\n00:00:01,000 --> 00:00:02,500\n<i>Hello &amp; {\\an8}\nyou</i>\n\n2\n00:01:01,25 --> 00:01:02\nB\n".to_vec()),
        ("a.vtt", b"WEBVTT\n\nNOTE x\n\nSTYLE\n::cue {}\n\nid\n00:01.000 --> 00:02.000 line:0\n<v A>one <00:01.5>two &#233;\n".to_vec()),
        ("a.mp4", std::fs::read(here("tests/data/ramp.mp4")).unwrap()),
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for (name, whole) in &texts {
        for _ in 0..200 {
            let mut bytes = whole.clone();
            for _ in 0..=random(8) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            if random(3) == 0 {
                bytes.truncate(random(bytes.len()) + 1);
            }
            let (_dir, path) = file(name, &bytes);
            let _ = read(&Subtitles, &path, &[]);
        }
    }
}
