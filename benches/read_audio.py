"""Times decoding and resampling ten minutes of sound in VoxQL and in librosa.load.

    pip install librosa soundfile
    cargo build --release
    python benches/read_audio.py target/release/voxql

The sound is 44.1 kHz stereo in 16 bits as WAV, FLAC and MP3 (libsndfile's own encoder), read as 22,050 Hz mono.
Prints the median of five, in seconds, on one core and on two: VoxQL decodes ahead of what it resamples, librosa uses one
core whatever there is. VoxQL's times include the start of the program; librosa's are those of librosa.load alone, in a
process that has imported it already.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, CORES[:1])  # libraries count cores when they are imported

import librosa
import numpy as np
import soundfile

RATE, SECONDS = 44_100, 600


def write(folder):
    """Voices, roughly: harmonics that come and go, over a little noise; the channels differ."""
    rng = np.random.default_rng(0)
    time = np.arange(RATE * SECONDS) / RATE
    syllables = np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.3 * time)) / RATE
    voice = syllables * sum(np.sin(k * pitch) / k for k in range(1, 12)) * 0.2
    stereo = np.stack([voice, np.roll(voice, 400)], axis=1) + rng.normal(0, 0.003, (len(time), 2))
    for name, subtype in [("a.wav", "PCM_16"), ("a.flac", "PCM_16"), ("a.mp3", "MPEG_LAYER_III")]:
        # Written in pieces: libsndfile's MP3 encoder does not take everything at once.
        with soundfile.SoundFile(folder / name, "w", RATE, 2, subtype) as file:
            for piece in np.array_split(stereo, SECONDS):
                file.write(piece)


def median(run):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(voxql):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write(folder)
        librosa.load(folder / "a.wav", sr=22_050, duration=1)
        for name in ("a.wav", "a.flac", "a.mp3"):
            path = folder / name
            sql = f"SELECT count(*), sum(array_length(samples)) FROM read_audio('{path}', sample_rate => 22050)"
            for cores in (1, 2):
                os.sched_setaffinity(0, CORES[:cores])  # inherited by VoxQL
                ours = median(lambda: subprocess.run([voxql, "-c", sql], check=True, stdout=subprocess.DEVNULL))
                theirs = median(lambda: librosa.load(path, sr=22_050))
                print(f"{name}, cores: {cores}: VoxQL {ours:.2f} s, librosa {theirs:.2f} s, {theirs / ours:.1f} times")


if __name__ == "__main__":
    main(sys.argv[1])
