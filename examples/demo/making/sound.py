"""The clip's sound: two narrators, and the sea, rain, thunder and gulls behind them."""

import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

RATE = 44100
SPEECH_RATE = 22050  # what espeak-ng writes
VOICES = (("en-gb-x-rp+f3", 52), ("en-gb-scotland", 42))


def speak(text, narrator):
    """A sentence as float samples at RATE, without silence at its ends."""
    voice, pitch = VOICES[narrator]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentence.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", "142", "-p", str(pitch), "-w", path, text], check=True)
        with wave.open(str(path)) as file:
            assert file.getframerate() == SPEECH_RATE and file.getnchannels() == 1
            x = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
    loud = np.flatnonzero(np.abs(x) > 0.004)
    x = x[loud[0] : loud[-1] + 1]
    spectrum = np.fft.rfft(x)
    padded = np.zeros(len(x) + 1, complex)  # twice the samples: same spectrum, zeros above
    padded[: len(spectrum)] = spectrum
    x = np.fft.irfft(padded, 2 * len(x)) * 2
    return 0.5 * x / np.abs(x).max()


def noise(n, low, high, rng):
    """Noise between two frequencies (Hz), with the spectrum of falling water (1/sqrt f)."""
    f = np.fft.rfftfreq(n, 1 / RATE)
    gain = np.where((f >= low) & (f <= high), 1 / np.sqrt(np.maximum(f, low)), 0)
    x = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * gain, n)
    return x / x.std()


def level(sentences, cuts, n, of):
    """A loudness that follows the scenes, eased over half a second at each cut."""
    t = np.arange(n) / RATE
    x = np.zeros(n)
    for sentence, start, end in zip(sentences, cuts[:-1], cuts[1:]):
        x[(t >= start) & (t < end)] = of(sentence)
    ease = np.hanning(RATE // 2)
    return np.convolve(x[::441], ease[::441] / ease[::441].sum(), "same").repeat(441)[:n]


def soundtrack(sentences, onsets, voices, cuts, seconds):
    """All of it, as int16 at RATE."""
    rng = np.random.default_rng(7)
    n = int(seconds * RATE)
    n += -n % 441
    t = np.arange(n) / RATE
    largest = lambda v: max(v) if isinstance(v, tuple) else v
    underwater = lambda s: "depth" in s.show
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * t / 5.5)
    sea = level(sentences, cuts, n, lambda s: 0 if underwater(s) else 0.010 * (0.5 + largest(s.show.get("waves", 0.8))))
    rain = level(sentences, cuts, n, lambda s: 0.05 * largest(s.show.get("rain", 0)))
    deep = level(sentences, cuts, n, lambda s: 0.05 * underwater(s))
    x = sea * swell * noise(n, 120, 3000, rng) + rain * noise(n, 2500, 11000, rng) + deep * noise(n, 40, 220, rng)

    for sentence, start, end in zip(sentences, cuts[:-1], cuts[1:]):
        if sentence.show.get("lightning"):
            for strike in np.arange(start + 0.4, end, 1.7):
                since = np.maximum(t - strike, 0)
                x += 0.16 * (since > 0) * np.exp(-since / 0.7) * noise(n, 30, 180, rng)
        for cry in np.arange(start + 0.3, end, 0.9) if sentence.show.get("gulls") else ():
            length = 0.28
            where = (t >= cry) & (t < cry + length)
            u = (t[where] - cry) / length
            phase = 2 * np.pi * length * (1500 * u + 450 * np.sin(np.pi * u) / np.pi)
            x[where] += 0.035 * np.sin(np.pi * u) * (np.sin(phase) + 0.4 * np.sin(2 * phase))
    for onset, voice in zip(onsets, voices):
        at = int(onset * RATE)
        x[at : at + len(voice)] += voice
    fade = np.minimum(1, np.minimum(t / 0.5, (t[-1] - t) / 1.5))
    return (np.clip(x * fade, -1, 1) * 32000).astype(np.int16)
