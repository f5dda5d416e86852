"""Makes the demonstration's data. Users need not run this: the results are committed.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy nibabel
    /tmp/venv/bin/python examples/demo/make.py            # clip.mp4, clip.srt, bids/
    /tmp/venv/bin/python examples/demo/make.py --brains   # bids/ alone, from the clip as it is
    /tmp/venv/bin/python examples/demo/make.py --check    # makes nothing, prints what to expect

It needs `ffmpeg` with libx264, and `espeak-ng`. Everything is seeded, but another
version of these programs encodes other bytes, so remake all of it or nothing:
the simulated brains follow the clip as it was encoded.
"""

import argparse
import math
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import nibabel as nib
import numpy as np

from making import brains, scenes, sound
from making.drawing import HEIGHT, WIDTH
from making.story import STORY

HERE = Path(__file__).resolve().parent
FPS = 25
GAP = 0.7  # seconds of silence between sentences
FIRST = 1.2  # when the first sentence begins
CLIP, SUBTITLES, BIDS = HERE / "clip.mp4", HERE / "clip.srt", HERE / "bids"


def make_clip():
    """Speaks, draws and encodes; writes clip.mp4 and clip.srt."""
    voices, onsets, clock = [], [], FIRST
    for i, sentence in enumerate(STORY):
        voices.append(sound.speak(sentence.text, i % 2))
        onsets.append(round(clock, 2))
        clock = onsets[-1] + len(voices[-1]) / sound.RATE + GAP
    ends = [round(o + len(v) / sound.RATE, 2) for o, v in zip(onsets, voices)]
    seconds = math.ceil((ends[-1] + 2) / brains.TR) * brains.TR
    cuts = [0.0] + [o - GAP / 2 for o in onsets[1:]] + [seconds]

    blocks = [f"{i}\n{clock_text(a)} --> {clock_text(b)}\n{s.text}\n" for i, (a, b, s) in enumerate(zip(onsets, ends, STORY), 1)]
    SUBTITLES.write_text("\n".join(blocks))

    with tempfile.TemporaryDirectory() as folder:
        track = Path(folder) / "sound.wav"
        with wave.open(str(track), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(sound.RATE)
            file.writeframes(sound.soundtrack(STORY, onsets, voices, cuts, seconds).tobytes())
        encoder = subprocess.Popen(
            ["ffmpeg", "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-",
             "-i", track, "-c:v", "libx264", "-preset", "veryslow", "-crf", "29", "-pix_fmt", "yuv420p", "-threads", "1",
             "-c:a", "aac", "-b:a", "48k", "-ac", "1", "-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact",
             "-movflags", "+faststart", "-t", str(seconds), CLIP],
            stdin=subprocess.PIPE)
        for frame in range(int(seconds * FPS)):
            t = frame / FPS
            i = max(k for k, cut in enumerate(cuts[:-1]) if cut <= t)
            picture = scenes.draw(STORY[i].show, (t - cuts[i]) / (cuts[i + 1] - cuts[i]), t)
            encoder.stdin.write(picture.bytes())
        encoder.stdin.close()
        assert encoder.wait() == 0


def clock_text(seconds):
    ms = round(seconds * 1000)
    return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


def subtitles():
    """[(onset, duration, text)] as clip.srt has them."""
    def seconds(text):
        h, m, s = text.replace(",", ".").split(":")
        return int(h) * 3600 + int(m) * 60 + float(s)

    found = []
    for block in SUBTITLES.read_text().strip().split("\n\n"):
        _, times, text = block.split("\n")
        start, end = map(seconds, times.split(" --> "))
        found.append((start, round(end - start, 3), text))
    return found


def clip_seconds():
    answer = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", CLIP],
                            check=True, capture_output=True, text=True).stdout
    return float(answer)


def make_brains():
    """Simulates the viewers of the clip as it is; writes bids/."""
    events = subtitles()
    n_tr = math.floor(clip_seconds() / brains.TR + 0.01)
    latent = brains.responses(brains.clip_features(CLIP, events, n_tr))
    rows = [f"{onset:.2f}\t{duration:.2f}\t{s.scene}\t{text}" for (onset, duration, text), s in zip(events, STORY)]
    shutil.rmtree(BIDS, ignore_errors=True)
    brains.write_bids(BIDS, latent, "onset\tduration\ttrial_type\tsentence\n" + "\n".join(rows) + "\n")


def srm(data, k, iterations, seed=0):
    """The shared response model (Chen et al. 2015) as BrainIAK computes it. Returns each subject's map."""
    states = np.random.RandomState(seed)
    seeds = [states.randint(0, 2**32, dtype=np.uint64) for _ in data]
    w = [np.linalg.qr(np.random.RandomState(int(s)).random_sample((x.shape[0], k)))[0] for s, x in zip(seeds, data)]
    x = [d - d.mean(1, keepdims=True) for d in data]
    trace = [(d**2).sum() for d in x]
    t = x[0].shape[1]
    rho2, sigma = np.ones(len(x)), np.eye(k)
    for _ in range(iterations):
        r0 = (1 / rho2).sum()
        inverse = np.linalg.inv(np.linalg.inv(sigma) + r0 * np.eye(k))
        b = sum(wi.T @ xi / r for wi, xi, r in zip(w, x, rho2))
        s = sigma @ (np.eye(k) - r0 * inverse) @ b
        sigma = inverse + s @ s.T / t
        for i, xi in enumerate(x):
            a = xi @ s.T
            u, _, vt = np.linalg.svd(a + 0.001 * np.eye(*a.shape), full_matrices=False)
            w[i] = u @ vt
            rho2[i] = (trace[i] - 2 * (w[i] * a).sum() + t * np.trace(sigma)) / (t * xi.shape[0])
    return w


def isc(data):
    """Leave-one-out correlation, [subject][row], of subjects' equally long rows."""
    out = []
    for i, x in enumerate(data):
        y = np.mean([d for j, d in enumerate(data) if j != i], 0)
        x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
        out.append((x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1)))
    return np.array(out)


def check(features=10, iterations=10):
    """Reads what is there as a user would, and prints sizes and what SRM should give."""
    masks = BIDS / "derivatives" / "masks"
    shared = nib.load(masks / "task-movie_desc-shared_mask.nii.gz").get_fdata() > 0
    own, common = [], []
    for subject in brains.SUBJECTS:
        name = f"sub-{subject}/func/sub-{subject}_task-movie"
        image = nib.load(BIDS / f"{name}_bold.nii.gz")
        mask = nib.load(masks / f"{name}_desc-brain_mask.nii.gz").get_fdata() > 0
        data = image.get_fdata()
        own.append(data[mask])
        common.append(data[shared])
        zooms, units = image.header.get_zooms(), image.header.get_xyzt_units()
        print(f"sub-{subject}: {image.shape}, TR {zooms[3]} {units[1]}, {mask.sum()} voxels, "
              f"mean {data[mask].mean():.0f}, sd over time {data[mask].std(1).mean():.1f}")
    n = own[0].shape[1]
    train = int(0.6 * n)
    print(f"{n} TRs, of which {train} train the model; {shared.sum()} voxels are in all masks")
    before = isc([x[:, train:] for x in common])
    print(f"held-out ISC of the same voxels:      {before.mean():.3f}   per subject {np.round(before.mean(1), 3)}")
    maps = srm([x[:, :train] for x in own], features, iterations)
    after = isc([w.T @ x[:, train:] for w, x in zip(maps, own)])
    print(f"held-out ISC of {features} shared features:   {after.mean():.3f}   per subject {np.round(after.mean(1), 3)}")
    print(f"clip: {clip_seconds():.2f} s, {len(subtitles())} sentences")
    for path in sorted(p for p in HERE.rglob("*") if p.is_file() and p.suffix != ".pyc"):
        print(f"{path.stat().st_size:9,}  {path.relative_to(HERE)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brains", action="store_true", help="make bids/ from the clip as it is")
    parser.add_argument("--check", action="store_true", help="only print what is there")
    arguments = parser.parse_args()
    if not (arguments.check or arguments.brains):
        make_clip()
    if not arguments.check:
        make_brains()
    check()
