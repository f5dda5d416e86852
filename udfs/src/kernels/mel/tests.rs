//! Streams, padding, presets and options.

use super::*;
use proptest::prelude::*;

fn small() -> MelOptions {
    MelOptions {
        n_fft: 16,
        hop_length: 5,
        n_mels: 4,
        ..Default::default()
    }
}

fn whole(options: &MelOptions, samples: &[f64]) -> Vec<f64> {
    let mut frames = Vec::new();
    let mut mel = MelSpectrogram::new(options).unwrap();
    mel.push(samples, &mut frames);
    mel.finish(&mut frames).unwrap();
    frames
}

#[test]
fn reflection_of_short_signals() {
    let indices: Vec<_> = (0..11).map(|i| mirror(i, 4, 3)).collect();
    assert_eq!(indices, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
    assert_eq!(mirror(7, 3, 1), 0);
    let indices: Vec<_> = (0..11).map(|i| mirror_with_ends(i, 4, 3)).collect();
    assert_eq!(indices, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
    assert_eq!(mirror_with_ends(7, 3, 1), 0);
}

#[test]
fn no_sound_no_frames() {
    for pad_mode in [
        PadMode::Constant,
        PadMode::Reflect,
        PadMode::Symmetric,
        PadMode::Edge,
    ] {
        let options = MelOptions {
            pad_mode,
            ..small()
        };
        assert!(whole(&options, &[]).is_empty());
        assert_eq!(options.frames(0), 0);
        assert_eq!(whole(&options, &[1.0]).len(), 4);
    }
}

#[test]
fn too_short_for_a_frame() {
    let options = MelOptions {
        padding: Padding::None,
        ..small()
    };
    let mut mel = MelSpectrogram::<f32>::new(&options).unwrap();
    let mut frames = Vec::new();
    mel.push(&[0.0; 15], &mut frames);
    let error = mel.finish(&mut frames).unwrap_err();
    assert!(
        error.contains("15 samples are fewer than one frame of n_fft = 16"),
        "{error}"
    );
    // The error leaves it ready for the next signal.
    mel.push(&[0.0; 16], &mut frames);
    mel.finish(&mut frames).unwrap();
    assert_eq!(frames.len(), 4);
}

#[test]
fn times_of_frames() {
    let centred = MelOptions::default();
    assert_eq!(centred.frame_time(3), 3.0 * 512.0 / 22050.0);
    let not = MelOptions {
        padding: Padding::None,
        ..centred
    };
    assert_eq!(not.frame_time(3), (3.0 * 512.0 + 1024.0) / 22050.0);
}

#[test]
fn options_that_make_no_sense() {
    let default = MelOptions::default;
    let cases = [
        (
            MelOptions {
                sample_rate: 0.0,
                ..default()
            },
            "sample_rate",
        ),
        (
            MelOptions {
                sample_rate: f64::NAN,
                ..default()
            },
            "sample_rate",
        ),
        (
            MelOptions {
                n_fft: 0,
                ..default()
            },
            "n_fft",
        ),
        (
            MelOptions {
                n_fft: 1 << 40,
                ..default()
            },
            "n_fft",
        ),
        (
            MelOptions {
                hop_length: 0,
                ..default()
            },
            "hop_length",
        ),
        (
            MelOptions {
                win_length: Some(0),
                ..default()
            },
            "win_length",
        ),
        (
            MelOptions {
                win_length: Some(2049),
                ..default()
            },
            "n_fft (2048)",
        ),
        (
            MelOptions {
                power: 0.0,
                ..default()
            },
            "power",
        ),
        (
            MelOptions {
                n_mels: 0,
                ..default()
            },
            "n_mels",
        ),
        (
            MelOptions {
                fmin: -1.0,
                ..default()
            },
            "fmin",
        ),
        (
            MelOptions {
                fmin: 9000.0,
                fmax: Some(8000.0),
                ..default()
            },
            "fmax",
        ),
        (
            MelOptions {
                fmax: Some(f64::INFINITY),
                ..default()
            },
            "fmax",
        ),
    ];
    for (options, name) in cases {
        let error = MelSpectrogram::<f32>::new(&options).err().unwrap();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn bands_without_a_bin() {
    assert_eq!(MelOptions::default().warning(), None);
    let beyond = MelOptions {
        fmax: Some(1e300),
        ..MelOptions::default()
    };
    assert!(beyond.warning().unwrap().contains("above 11025 Hz"));
    let narrow = MelOptions {
        n_fft: 256,
        ..MelOptions::default()
    };
    assert!(narrow.warning().unwrap().contains("of 128 mel bands"));
}

proptest! {
    #[test]
    fn pieces_give_the_frames_of_the_whole(
        samples in proptest::collection::vec(-1.0f64..1.0, 0..200),
        cuts in proptest::collection::vec(0usize..40, 1..20),
        n_fft in 1usize..40,
        hop_length in 1usize..60,
        mode in 0usize..4,
        padding in 0usize..3,
    ) {
        let options = MelOptions {
            n_fft,
            hop_length,
            padding: [Padding::Center, Padding::None, Padding::Hop][padding],
            pad_mode: [PadMode::Constant, PadMode::Reflect, PadMode::Symmetric, PadMode::Edge][mode],
            n_mels: 3,
            ..Default::default()
        };
        let mut mel = MelSpectrogram::new(&options).unwrap();
        let (mut frames, mut rest) = (Vec::new(), &samples[..]);
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            mel.push(piece, &mut frames);
            rest = after;
        }
        mel.push(rest, &mut frames);
        let result = mel.finish(&mut frames);
        prop_assert_eq!(frames.len() as u64, 3 * options.frames(samples.len() as u64));
        prop_assert_eq!(result.is_err(), frames.is_empty() && !samples.is_empty());
        if result.is_ok() {
            prop_assert_eq!(&frames, &whole(&options, &samples));
        }
    }

    #[test]
    fn doubling_the_sound_makes_four_times_the_power(
        samples in proptest::collection::vec(-1.0f64..1.0, 16..100),
    ) {
        let one = whole(&small(), &samples);
        let doubled: Vec<f64> = samples.iter().map(|x| 2.0 * x).collect();
        for (a, b) in one.iter().zip(whole(&small(), &doubled)) {
            prop_assert!((4.0 * a - b).abs() <= 1e-9 * b.abs());
        }
    }
}
