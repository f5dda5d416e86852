"""Times the mel spectrogram of ten minutes at 22,050 Hz (80 bands, n_fft 1024, hop 256) in VoxQL and in librosa.

    pip install librosa soundfile
    cargo build --release
    python benches/read_mel.py target/release/voxql

Prints the least of five in seconds of processor time and of the clock, librosa's with one thread. VoxQL's times include the
start of the program; librosa's are those of load and melspectrogram, in a process that has imported and
warmed it already. The kernel alone is timed by `cargo bench --bench mel`, and librosa's here.
"""

import os

for name in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ[f"{name}_NUM_THREADS"] = "1"

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import librosa
import numpy as np
import soundfile

RATE = 22050
MEL = dict(n_fft=1024, hop_length=256, n_mels=80, fmax=8000)


def seconds(run):
    """Processor time, of children too, and the clock's: each the least of five."""
    times = []
    for _ in range(5):
        before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        start = time.perf_counter()
        run()
        clock = time.perf_counter() - start
        after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after))
        times.append((cpu, clock))
    return [min(column) for column in zip(*times)]


def main(voxql):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.wav"
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 600 * RATE).astype(np.float32)
        soundfile.write(path, noise, RATE, subtype="PCM_16")
        librosa.feature.melspectrogram(y=noise[:RATE], sr=RATE, **MEL)

        def load():
            samples, _ = librosa.load(path, sr=RATE)
            librosa.feature.melspectrogram(y=samples, sr=RATE, **MEL)

        arguments = ", ".join(f"{name} => {value}" for name, value in MEL.items())
        sql = f"SELECT count(mel), max(mel[1]) FROM read_mel('{path}', {arguments})"
        ours = seconds(lambda: subprocess.run([voxql, "-c", sql], check=True, stdout=subprocess.DEVNULL))
        theirs = seconds(load)
        alone = seconds(lambda: librosa.feature.melspectrogram(y=noise, sr=RATE, **MEL))
        print(f"read_mel:                  {ours[0]:.3f} s of processor, {ours[1]:.3f} s of the clock")
        print(f"load and melspectrogram:   {theirs[0]:.3f} s of processor, {theirs[1]:.3f} s of the clock")
        print(f"melspectrogram alone:      {alone[0]:.3f} s of processor, {alone[1]:.3f} s of the clock")


if __name__ == "__main__":
    main(sys.argv[1])
