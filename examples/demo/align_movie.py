"""sql/align_movie.sql once more, the way it is done in Python, to compare the numbers.

    pip install av librosa nilearn pandas pillow pyarrow
    python examples/demo/align_movie.py target/demo/aligned

Not needed for anything: it is the independent opinion. It holds everything in memory,
takes the sentences' text but no embeddings, and prints how far VoxQL's columns are from its own.
"""

import re
import sys
from pathlib import Path

import av
import librosa
import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.glm.first_level import glover_hrf
from nilearn.masking import apply_mask
from PIL import Image

from make import srm

HERE = Path(__file__).resolve().parent
TR, N, TRAIN, OVERSAMPLING = 1.5, 78, 46, 50
SUBJECTS = ("01", "02", "03", "04")


def bins(times):
    """The TR of each time, in whole nanoseconds: 27.0 / 1.5 must not become 17.999…"""
    return np.rint(np.asarray(times) * 1e9).astype(np.int64) // round(TR * 1e9)


def mean_per_tr(times, vectors):
    frame = pd.DataFrame(vectors).groupby(bins(times)).mean()
    return frame.reindex(range(N)).to_numpy()


def convolve(features):
    held = np.repeat(np.nan_to_num(features), OVERSAMPLING, axis=0)
    kernel = glover_hrf(TR, oversampling=OVERSAMPLING)
    return np.stack([np.convolve(c, kernel)[: len(held) : OVERSAMPLING] for c in held.T], 1)


def video():
    times, frames = [], []
    with av.open(str(HERE / "clip.mp4")) as container:
        for frame in container.decode(video=0):
            times.append(frame.time)
            small = frame.to_image().resize((32, 24), Image.Resampling.BILINEAR)
            frames.append(np.asarray(small).ravel() / 255)
    return mean_per_tr(times, frames)


def audio():
    with av.open(str(HERE / "clip.mp4")) as container:
        parts = [f.to_ndarray()[0] for f in container.decode(audio=0) if f.time >= 0]
        rate = container.streams.audio[0].rate
    samples = librosa.resample(np.concatenate(parts), orig_sr=rate, target_sr=22050)
    mel = librosa.feature.melspectrogram(y=samples, sr=22050, n_fft=1024, hop_length=256, n_mels=80, fmax=8000)
    decibels = librosa.power_to_db(mel, top_db=None)
    return mean_per_tr(np.arange(mel.shape[1]) * 256 / 22050, decibels.T)


def sentences():
    def seconds(clock):
        h, m, s = clock.replace(",", ".").split(":")
        return int(h) * 3600 + int(m) * 60 + float(s)

    text = (HERE / "clip.srt").read_text()
    found = re.findall(r"(\S+) --> \S+\n(.+)", text)
    events = pd.DataFrame([(seconds(a), t) for a, t in found], columns=["time", "text"])
    grid = pd.DataFrame({"time": np.arange(N) * TR + TR / 2})
    return pd.merge_asof(grid, events, on="time")["text"]


def brains():
    bids = HERE / "bids"
    runs = []
    for s in SUBJECTS:
        name = f"sub-{s}/func/sub-{s}_task-movie"
        image = nib.load(bids / f"{name}_bold.nii.gz")
        mask = nib.load(bids / "derivatives/masks" / f"{name}_desc-brain_mask.nii.gz")
        runs.append(apply_mask(image, mask).T.astype(np.float32))
    means = [x[:, :TRAIN].mean(1, keepdims=True) for x in runs]
    maps = srm([x[:, :TRAIN].astype(np.float64) - m for x, m in zip(runs, means)], 10, 10)
    return {s: (w.T @ (x - m)).T for s, w, x, m in zip(SUBJECTS, maps, runs, means)}


def compare(name, got, want):
    got, want = np.stack(got).astype(np.float64), np.asarray(want, np.float64)
    r = np.corrcoef(got.ravel(), want.ravel())[0, 1]
    print(f"{name:10} correlation {r:.7f}   largest difference {np.abs(got - want).max():.2e} of {np.abs(want).max():.3g}")


def main(aligned):
    own = {"video": convolve(video()), "audio": convolve(audio()), "text": sentences(), "brain": brains()}
    for s in SUBJECTS:
        theirs = pd.read_parquet(f"{aligned}/subject={s}").sort_values("tr")
        if s == SUBJECTS[0]:
            compare("video", theirs["video"], own["video"])
            compare("audio", theirs["audio"], own["audio"])
            same = (theirs["text"].reset_index(drop=True).fillna("") == own["text"].fillna("")).sum()
            print(f"text       {same} of {N} TRs have the same sentence")
        compare(f"brain {s}", theirs["brain"], own["brain"][s])


if __name__ == "__main__":
    main(sys.argv[1])
