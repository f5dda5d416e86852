"""Sounds that VoxQL wrote, read by Python's own wave and by libsndfile."""

import wave

import numpy as np
import soundfile
from conftest import voxql


def test_samples_and_rate(tmp_path):
    target = tmp_path / "tone.wav"
    tone = "SELECT 0.5 * sin(2 * pi() * 440 * value / 8000) AS sample FROM generate_series(0, 7999) ORDER BY value"
    voxql("-c", f"COPY ({tone}) TO '{target}' OPTIONS (sample_rate 8000)")
    with wave.open(str(target)) as sound:
        assert sound.getparams()[:4] == (1, 2, 8000, 8000)
        samples = np.frombuffer(sound.readframes(8000), "<i2") / 32768
    want = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    assert np.abs(samples - want).max() <= 0.5 / 32768 + 1e-12


def test_24_bits(tmp_path):
    target = tmp_path / "steps.wav"
    voxql("-c", f"COPY (SELECT [0.0, 0.25, -1.0, 0.5] AS s) TO '{target}' STORED AS WAV OPTIONS (sample_rate 16000, bit_depth 24)")
    # WAVE_FORMAT_EXTENSIBLE, which Python's wave reads from 3.12 on.
    samples, rate = soundfile.read(target, dtype="float64")
    assert rate == 16000
    assert samples.tolist() == [0.0, 0.25, -1.0, 0.5]
