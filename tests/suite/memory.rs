//! Memory does not grow with the length of a run.
//!
//! Linux only: the peak is read from /proc.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

const SHAPE: [usize; 3] = [64, 64, 40];
const VOXELS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];

/// A NIfTI-1 header for float32 (or, without volumes, a uint8 mask).
fn header(volumes: Option<usize>) -> Vec<u8> {
    let mut header = vec![0u8; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348i32.to_le_bytes());
    let dims = [
        if volumes.is_some() { 4 } else { 3 },
        SHAPE[0],
        SHAPE[1],
        SHAPE[2],
        volumes.unwrap_or(1),
        1,
        1,
        1,
    ];
    for (i, dim) in dims.iter().enumerate() {
        put(40 + 2 * i, &(*dim as i16).to_le_bytes());
    }
    let (code, bits) = if volumes.is_some() {
        (16i16, 32i16)
    } else {
        (2, 8)
    };
    put(70, &code.to_le_bytes());
    put(72, &bits.to_le_bytes());
    for (i, size) in [1.0f32, 3.0, 3.0, 3.5, 1.5].iter().enumerate() {
        put(76 + 4 * i, &size.to_le_bytes());
    }
    put(108, &352f32.to_le_bytes());
    put(123, &[10]); // mm, seconds
    put(344, b"n+1\0");
    header
}

fn write_run(path: &Path, volumes: usize) {
    let file = BufWriter::new(File::create(path).unwrap());
    let mut out = GzEncoder::new(file, Compression::fast());
    out.write_all(&header(Some(volumes))).unwrap();
    let mut volume = Vec::with_capacity(4 * VOXELS);
    for t in 0..volumes {
        volume.clear();
        for voxel in 0..VOXELS {
            let value = 1000.0 + ((voxel * 7 + t * 13) % 101) as f32;
            volume.extend_from_slice(&value.to_le_bytes());
        }
        out.write_all(&volume).unwrap();
    }
    out.finish().unwrap().flush().unwrap();
}

/// Peak resident memory of masking the run, in MB.
fn peak(folder: &Path, run: &str, volumes: usize) -> u64 {
    let sql = format!(
        "SELECT count(*), min(array_length(bold)), sum(bold[1]) FROM read_bold('{run}', mask => 'mask.nii')"
    );
    let (peak, row) = peak_of(folder, &sql);
    assert!(
        row.starts_with(&format!("{volumes},{}", VOXELS / 2)),
        "{row}"
    );
    peak
}

/// Peak resident memory of statements, in MB, and the last row of their answer.
fn peak_of(folder: &Path, sql: &str) -> (u64, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_voxql"))
        .current_dir(folder)
        .args(["--threads", "2", "--format", "csv", "-c", sql])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM:"));
        if let Some(kilobytes) = line.and_then(|line| line.split_whitespace().nth(1)) {
            peak = kilobytes.parse::<u64>().unwrap() / 1024;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let answer = String::from_utf8(output.stdout).unwrap();
    (peak, answer.lines().last().unwrap().to_owned())
}

#[test]
fn masking_a_long_run_stays_within_400_mb() {
    let folder = tempfile::tempdir().unwrap();
    let mut mask = header(None);
    mask.extend((0..VOXELS).map(|voxel| (voxel % 2) as u8));
    std::fs::write(folder.path().join("mask.nii"), mask).unwrap();
    let mut peaks = Vec::new();
    for volumes in [300, 1200] {
        let run = format!("run-{volumes}_bold.nii.gz");
        write_run(&folder.path().join(&run), volumes);
        peaks.push(peak(folder.path(), &run, volumes));
    }
    eprintln!(
        "peak resident memory: {} MB for 300 volumes, {} MB for 1200",
        peaks[0], peaks[1]
    );
    assert!(peaks[1] < 400, "{} MB", peaks[1]);
    assert!(
        peaks[1] < peaks[0] + 60,
        "memory grows with the run: {peaks:?} MB"
    );
}

/// Volumes go from one file to the other, a few at a time.
#[test]
fn writing_a_long_run_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut peaks = Vec::new();
    for volumes in [150, 600] {
        let run = format!("run-{volumes}_bold.nii.gz");
        write_run(&folder.path().join(&run), volumes);
        let sql = format!(
            "COPY (SELECT tr, bold FROM read_bold('{run}')) TO 'out.nii.gz' STORED AS NIFTI \
             OPTIONS (like '{run}')"
        );
        let (peak, rows) = peak_of(folder.path(), &sql);
        assert_eq!(rows, volumes.to_string());
        peaks.push(peak);
    }
    eprintln!(
        "peak resident memory of COPY: {} MB for 150 volumes, {} MB for 600",
        peaks[0], peaks[1]
    );
    assert!(
        peaks[1] < peaks[0] + 60,
        "memory grows with the run: {peaks:?} MB"
    );
}

/// Each voxel's values over time, a block of voxels at a time.
#[test]
fn turning_a_long_run_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut peaks = Vec::new();
    for volumes in [150, 450] {
        let run = format!("run-{volumes}_bold.nii.gz");
        write_run(&folder.path().join(&run), volumes);
        let sql = format!(
            "SELECT count(*), min(array_length(bold)), sum(bold[1]) FROM read_voxels('{run}')"
        );
        let (peak, row) = peak_of(folder.path(), &sql);
        assert!(row.starts_with(&format!("{VOXELS},{volumes}")), "{row}");
        peaks.push(peak);
    }
    eprintln!(
        "peak resident memory of read_voxels: {} MB for 150 volumes, {} MB for 450",
        peaks[0], peaks[1]
    );
    assert!(
        peaks[1] < peaks[0] + 60,
        "memory grows with the run: {peaks:?} MB"
    );
}

/// A mono WAV of so many minutes at 22,050 Hz.
fn write_sound(path: &Path, minutes: usize) {
    let samples = 22_050 * 60 * minutes;
    let mut out = BufWriter::new(File::create(path).unwrap());
    let bytes = 2 * samples as u32;
    out.write_all(b"RIFF").unwrap();
    out.write_all(&(36 + bytes).to_le_bytes()).unwrap();
    out.write_all(b"WAVEfmt \x10\0\0\0\x01\0\x01\0").unwrap();
    out.write_all(&22_050u32.to_le_bytes()).unwrap();
    out.write_all(&44_100u32.to_le_bytes()).unwrap();
    out.write_all(b"\x02\0\x10\0data").unwrap();
    out.write_all(&bytes.to_le_bytes()).unwrap();
    for i in 0..samples {
        let sample = (i * i / 7 % 20_011) as i16 - 10_000;
        out.write_all(&sample.to_le_bytes()).unwrap();
    }
    out.flush().unwrap();
}

/// Sound is decoded, resampled and transformed as a stream.
#[test]
fn a_long_sound_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    for minutes in [3, 24] {
        write_sound(&folder.path().join(format!("{minutes}.wav")), minutes);
    }
    let queries = [
        (
            "SELECT count(samples), sum(samples[1]) FROM read_audio('{}.wav')",
            60,
        ),
        (
            "SELECT count(mel), sum(mel[1]) FROM read_mel('{}.wav', hop_length => 2205)",
            600,
        ),
        (
            "SELECT count(mel), sum(mel[1]) FROM read_mel('{}.wav', sample_rate => 16000, hop_length => 1600)",
            600,
        ),
    ];
    for (query, per_minute) in queries {
        let mut peaks = Vec::new();
        for minutes in [3, 24] {
            let sql = query.replace("{}", &minutes.to_string());
            let (peak, row) = peak_of(folder.path(), &sql);
            let rows: usize = row.split(',').next().unwrap().parse().unwrap();
            assert!(
                (per_minute * minutes..=per_minute * minutes + 1).contains(&rows),
                "{row}"
            );
            peaks.push(peak);
        }
        eprintln!("peak resident memory for 3 and 24 minutes of sound: {peaks:?} MB; {query}");
        assert!(
            peaks[1] < peaks[0] + 60,
            "memory grows with the sound: {peaks:?} MB; {query}"
        );
    }
}

/// A shared response model is fitted from subjects' second moments: their data are never in memory.
#[test]
fn more_subjects_take_hardly_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("run.nii.gz"), 60);
    let mut peaks = Vec::new();
    for subjects in [3, 12] {
        let sql = format!(
            "CREATE MODEL m USING srm OPTIONS (features 5, iterations 3) AS
                 SELECT 's' || s AS subject, tr, bold
                 FROM read_bold('run.nii.gz') CROSS JOIN generate_series(1, {subjects}) AS subjects(s);
             SELECT count(DISTINCT subject) FROM model_weights('m')"
        );
        let (peak, row) = peak_of(folder.path(), &sql);
        assert_eq!(row, subjects.to_string());
        peaks.push(peak);
    }
    let megabytes = 9 * 4 * VOXELS * 60 / 1_000_000;
    eprintln!("peak resident memory of CREATE MODEL: {peaks:?} MB for 3 and 12 subjects");
    assert!(
        peaks[1] < peaks[0] + megabytes as u64 / 2,
        "memory grows with the data ({megabytes} MB more): {peaks:?} MB"
    );
}
