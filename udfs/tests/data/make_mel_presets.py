"""Writes mel_presets.json: what HiFi-GAN and Whisper make of a made sound.

    pip install librosa transformers && python udfs/tests/data/make_mel_presets.py

Whisper's numbers are those of transformers' WhisperFeatureExtractor, without its filling up to 30
seconds; HiFi-GAN's follow the formula of its training code with librosa's filters, in float64.
"""

import json
import pathlib

import librosa
import numpy as np
from transformers import WhisperFeatureExtractor


def hifigan(sound, n_fft=1024, hop=256):
    filters = librosa.filters.mel(sr=22050, n_fft=n_fft, n_mels=80, fmin=0, fmax=8000)
    padded = np.pad(sound, (n_fft - hop) // 2, mode="reflect")
    spectrum = librosa.stft(padded, n_fft=n_fft, hop_length=hop, center=False)
    magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
    return np.log(np.maximum(filters @ magnitude, 1e-5))


def whisper(sound):
    extractor = WhisperFeatureExtractor()
    return np.asarray(extractor._np_extract_fbank_features(sound[None].astype(np.float32), "cpu"))[0]


i = np.arange(3000)
sound = 0.5 * np.sin(2 * np.pi * 220 * i / 16000) + 0.25 * np.sin(2 * np.pi * (300 + 0.2 * i) * i / 16000)
presets = {"hifigan": hifigan(sound), "whisper": whisper(sound)}
frames = {name: np.round(bands.T, 6).tolist() for name, bands in presets.items()}
path = pathlib.Path(__file__).parent / "mel_presets.json"
path.write_text(json.dumps(frames, separators=(",", ":")) + "\n")
