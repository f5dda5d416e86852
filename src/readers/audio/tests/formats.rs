//! Every container and coding, beside ffmpeg and beside the sound that was coded.

use super::*;

fn fixture(name: &str) -> std::path::PathBuf {
    here("tests/data/audio").join(name)
}

/// One channel of the fixtures at a time (`make_audio.sh`).
fn tone(channel: usize, t: f64) -> f64 {
    let turns = [(300.0 + 400.0 * t) * t, (900.0 - 200.0 * t) * t][channel];
    [0.4, 0.3][channel] * (std::f64::consts::TAU * turns).sin()
}

fn with(path: &Path, options: &[(&str, Value)]) -> Vec<f32> {
    let options = [&[WHOLE], options].concat();
    samples(&read(&Audio, path, &options).unwrap())
}

/// The root mean square of what is not the sound that was coded, away from the edges, if it
/// came `late` samples late.
fn noise(got: &[f32], sample_rate: u32, channel: usize, late: f64) -> f64 {
    let edge = got.len() / 10;
    let inner = edge..got.len() - edge;
    let sum: f64 = inner
        .clone()
        .map(|i| {
            let want = tone(channel, (i as f64 - late) / f64::from(sample_rate));
            (f64::from(got[i]) - want).powi(2)
        })
        .sum();
    (sum / inner.len() as f64).sqrt()
}

/// As ffmpeg decodes it, and in time: with less noise than half a sample off would give.
#[rstest]
#[case("pcm_u8.wav", 8000, 1600, 0.0, 5e-3)]
#[case("pcm_s16le.wav", 8000, 1600, 0.0, 3e-5)]
#[case("pcm_s24le.wav", 8000, 1600, 0.0, 1e-6)]
#[case("pcm_s32le.wav", 8000, 1600, 0.0, 1e-6)]
#[case("pcm_f32le.wav", 8000, 1600, 0.0, 1e-6)]
#[case("pcm_f64le.wav", 8000, 1600, 0.0, 1e-6)]
#[case("tone.flac", 8000, 9600, 0.0, 3e-5)]
#[case("flac.mp4", 8000, 6400, 0.0, 3e-5)]
#[case("flac.mkv", 8000, 6400, 0.0, 3e-5)]
#[case("alac.m4a", 8000, 9600, 0.0, 3e-5)]
#[case("pcm.mkv", 8000, 2400, 0.0, 3e-5)]
#[case("tone.mp3", 44_100, 110_250, 1e-6, 3e-2)]
#[case("vbr.mp3", 16_000, 40_000, 2e-6, 3e-2)]
#[case("mp3.mp4", 44_100, 110_250, 1e-6, 3e-2)]
#[case("tone.ogg", 44_100, 110_250, 1e-6, 3e-2)]
#[case("vorbis.webm", 44_100, 111_168, 1e-6, 3e-2)]
#[case("vorbis_padded.webm", 44_100, 110_250, 1e-6, 3e-2)]
#[case("tone.m4a", 44_100, 110_250, 1e-6, 2e-1)]
fn equal_to_ffmpeg_and_in_time(
    #[case] name: &str,
    #[case] sample_rate: u32,
    #[case] length: usize,
    #[case] off: f32,
    #[case] loss: f64,
) {
    let path = fixture(name);
    let rows = read(&Audio, &path, &[WHOLE]).unwrap();
    assert_eq!(rate(&rows) as u32, sample_rate);
    let mix = samples(&rows);
    assert_eq!(mix.len(), length);
    for (channel, word) in ["left", "right"].into_iter().enumerate() {
        let one = with(&path, &[("channel", Value::Text(word.to_owned()))]);
        let [early, noise, late] = [-0.6, 0.0, 0.6].map(|n| noise(&one, sample_rate, channel, n));
        println!("{name} {word}: noise {noise:e}, if off {early:e} {late:e}");
        assert!(noise <= loss, "{name} {word}: {noise}");
        // What AAC loses at 32 kbit/s hides half a sample.
        let tells = name != "tone.m4a";
        assert!(!tells || (noise < early && noise < late), "{name} {word}");
    }
    if let Some(want) = ffmpeg(&path, 2) {
        // ffmpeg leaves the padding at the end of an MP4, which its edit list cuts away.
        let n = match name {
            "mp3.mp4" | "tone.m4a" => mix.len().min(want.len()),
            _ => mix.len().max(want.len()),
        };
        assert!(mix.len().abs_diff(want.len()) < 1024, "{name}");
        let difference = largest_difference(&mix[..n.min(mix.len())], &want[..n.min(want.len())]);
        println!("{name}: differs from ffmpeg by {difference:e}");
        assert!(difference <= off, "{name}: {difference}");
    }
}

/// Where the file does not say what the encoder put before the sound, it is heard.
#[rstest]
#[case("plain.mp3")]
#[case("aac.mkv")]
#[case("mp3.mkv")]
fn as_ffmpeg_where_the_delay_is_not_said(#[case] name: &str) {
    let path = fixture(name);
    let got = whole(&path);
    if let Some(want) = ffmpeg(&path, 2) {
        assert!(largest_difference(&got, &want) <= 1e-6);
    }
}

/// What is not decoded in the process.
#[rstest]
#[case("tone.opus", 48_000, 120_000, 2, "Opus")]
#[case("opus.webm", 48_000, 120_000, 2, "Opus")]
#[case("surround.m4a", 44_100, 44_100, 6, "AAC with 5.1 channels")]
#[case("pcm.mov", 8000, 2400, 2, "PCM in an MP4")]
fn through_ffmpeg(
    #[case] name: &str,
    #[case] sample_rate: i32,
    #[case] length: usize,
    #[case] channels: usize,
    #[case] coding: &str,
) {
    let path = fixture(name);
    match read(&Audio, &path, &[WHOLE]) {
        Ok(rows) => {
            assert_eq!(rate(&rows), sample_rate);
            let want = ffmpeg(&path, channels).unwrap();
            let got = samples(&rows);
            assert!(
                (length..length + 1100).contains(&got.len()),
                "{}",
                got.len()
            );
            let n = got.len().min(want.len());
            assert!(largest_difference(&got[..n], &want[..n]) <= 1e-6);
        }
        Err(error) => {
            let error = error.to_string();
            let says = error.contains(coding) && error.contains("ffprobe would do it");
            assert!(says && error.contains(name), "{error}");
        }
    }
}

#[rstest]
#[case("two.mkv")]
#[case("two.mp4")]
fn streams_of_a_film(#[case] name: &str) {
    let path = fixture(name);
    let stream = |n: i64| with(&path, &[("stream", Value::Integer(n))]);
    // The second is the one flagged.
    assert_eq!(whole(&path), stream(1));
    assert_ne!(stream(0), stream(1));
    let error = error(&Audio, &path, &[("stream", Value::Integer(2))]);
    assert!(
        error.contains("there is no sound stream 2: it has 2"),
        "{error}"
    );
    // The first begins late.
    let english = stream(0);
    let first = english.iter().position(|&x| x != 0.0).unwrap();
    assert!((2900..4100).contains(&first), "{first}");
    if Command::new("ffmpeg").arg("-version").output().is_ok() {
        let run = Command::new("ffmpeg")
            .args(["-v", "error", "-copyts", "-i", path.to_str().unwrap()])
            .args(["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0"])
            .args(["-ac", "1", "-f", "f32le", "-"])
            .output()
            .unwrap();
        println!(
            "{name}: {} samples, ffmpeg {}",
            english.len(),
            run.stdout.len() / 4
        );
    }
}

#[test]
fn channels_by_number() {
    let path = fixture("pcm_s16le.wav");
    let channel = |text: &str| with(&path, &[("channel", Value::Text(text.to_owned()))]);
    assert_eq!(channel("left"), channel("0"));
    assert_eq!(channel("right"), channel("1"));
    assert_eq!(channel("mix"), whole(&path));
    let error = error(&Audio, &path, &[("channel", Value::Text("2".to_owned()))]);
    assert!(
        error.contains("pcm_s16le.wav: there is no channel 2: the sound has 2"),
        "{error}"
    );
}

/// A tag before the sound, as players write it, pictures and all.
#[test]
fn tags_are_skipped() {
    let bytes = std::fs::read(fixture("tone.mp3")).unwrap();
    let mut tagged = b"ID3\x04\0\0\0\0\x02\x01".to_vec();
    tagged.extend([0; 257]);
    tagged.extend(&bytes);
    let (_directory, path) = file("a.mp3", tagged);
    assert_eq!(whole(&path), whole(&fixture("tone.mp3")));
}
