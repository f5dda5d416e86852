"""Writes presets.json: what the presets hifigan and whisper make of a tone and a chirp, by numpy, from
the published formulas of the two systems; the filter banks are librosa's, which both systems use.

    pip install librosa
    python tests/data/mel/make.py > tests/data/mel/presets.json
"""
import json, sys
import numpy as np
import librosa
def sound(n, sr):
    t = np.arange(n) / sr
    return (0.4*np.sin(2*np.pi*440*t) + 0.2*np.sin(2*np.pi*(300+2000*t)*t)).astype(np.float32)
def frames(y, n_fft, hop):
    k = 1 + (len(y) - n_fft)//hop
    return np.stack([y[i*hop:i*hop+n_fft] for i in range(k)])
def hifigan(y):
    n_fft, hop = 1024, 256
    p = (n_fft-hop)//2
    y = np.pad(y.astype(np.float64), (p, p), mode='reflect')
    w = np.hanning(n_fft+1)[:-1]
    s = np.fft.rfft(frames(y, n_fft, hop)*w)
    m = np.sqrt(s.real**2 + s.imag**2 + 1e-9)
    fb = librosa.filters.mel(sr=22050, n_fft=n_fft, n_mels=80, fmin=0, fmax=8000)
    return np.log(np.maximum(m @ fb.T, 1e-5))
def whisper(y):
    n_fft, hop = 400, 160
    y = np.pad(y.astype(np.float64), (n_fft//2, n_fft//2), mode='reflect')
    w = np.hanning(n_fft+1)[:-1]
    s = np.abs(np.fft.rfft(frames(y, n_fft, hop)*w))[:-1]**2
    fb = librosa.filters.mel(sr=16000, n_fft=n_fft, n_mels=80)
    l = np.log10(np.maximum(s @ fb.T, 1e-10))
    l = np.maximum(l, l.max()-8)
    return (l+4)/4
out = {}
for name, sr, f in (("hifigan", 22050, hifigan), ("whisper", 16000, whisper)):
    samples = [round(float(x), 7) for x in sound(2500, sr)]
    m = f(np.array(samples))
    mel = [float(f"{x:.7g}") for x in m.ravel()]
    out[name] = dict(sample_rate=sr, frames=len(m), samples=samples, mel=mel)
json.dump(out, sys.stdout, separators=(",", ":"))
