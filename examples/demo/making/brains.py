"""Four simulated people who watched the clip: BOLD driven by what is in the decoded clip."""

import hashlib
import json
import math
import subprocess

import nibabel as nib
import numpy as np

TR = 1.5
SHAPE = (14, 16, 12)
VOXEL_MM = 10.0
OVERSAMPLING = 50
# Per subject: the brain's half axes and its offset from the grid's centre (voxels),
# the noise's standard deviation where the signal's is 1, and the seed.
SUBJECTS = {
    "01": ((5.4, 6.3, 4.6), (0.4, 0.0, 0.2), 2.4, 101),
    "02": ((5.9, 6.6, 4.9), (-0.3, 0.5, 0.0), 3.0, 102),
    "03": ((5.0, 6.1, 4.4), (0.0, -0.6, 0.4), 3.6, 103),
    "04": ((6.2, 6.9, 5.0), (0.0, 0.3, -0.3), 4.2, 104),
}
# The share of a voxel's response map that all subjects have in common place by place.
ANATOMY = 0.5


def decoded(path, *arguments):
    return subprocess.run(["ffmpeg", "-v", "error", "-i", path, *arguments, "-"], check=True, stdout=subprocess.PIPE).stdout


def word_vector(word):
    """Four numbers of -1 or 1 that depend on the word alone."""
    digest = hashlib.sha256(word.encode()).digest()
    return np.array([1.0 if digest[i] % 2 else -1.0 for i in range(4)])


def clip_features(clip, events, n_tr):
    """(n_tr, 12) z-scored: light, contrast, warmth, motion; three bands of sound; words; four of meaning."""
    frames = np.frombuffer(decoded(clip, "-vf", "fps=25,scale=32:24", "-f", "rawvideo", "-pix_fmt", "rgb24"), np.uint8)
    frames = frames.reshape(-1, 24 * 32, 3) / 255.0
    light = frames.mean((1, 2))
    contrast = frames.mean(2).std(1)
    warmth = (frames[:, :, 0] - frames[:, :, 2]).mean(1)
    motion = np.log(1e-3 + np.abs(np.diff(frames, axis=0, prepend=frames[:1])).mean((1, 2)))
    video = np.stack([light, contrast, warmth, motion], 1)

    sound = np.frombuffer(decoded(clip, "-ar", "22050", "-ac", "1", "-f", "s16le"), np.int16) / 32768
    windows = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::256]
    power = np.abs(np.fft.rfft(windows * np.hanning(1024))) ** 2
    hertz = np.fft.rfftfreq(1024, 1 / 22050)
    bands = [power[:, (hertz >= a) & (hertz < b)].mean(1) for a, b in ((80, 300), (300, 2000), (2000, 8000))]
    audio = 10 * np.log10(1e-6 + np.stack(bands, 1))

    fine = np.arange(0, n_tr * TR, 0.05)
    text = np.zeros((len(fine), 5))
    for onset, duration, sentence in events:
        words = [w.strip(".,") for w in sentence.lower().split()]
        while_spoken = (fine >= onset) & (fine < onset + duration)
        text[while_spoken, 0] = len(words) / duration
        text[while_spoken, 1:] = sum(map(word_vector, words)) / math.sqrt(len(words))

    per_tr = lambda x, times: np.stack([x[(times >= k * TR) & (times < (k + 1) * TR)].mean(0) for k in range(n_tr)])
    features = np.concatenate([
        per_tr(video, np.arange(len(video)) / 25),
        per_tr(audio, (np.arange(len(audio)) * 256 + 512) / 22050),
        per_tr(text, fine + 1e-9),
    ], 1)
    return zscore(features)


def zscore(x):
    return (x - x.mean(0)) / x.std(0)


def glover(tr, oversampling):
    """The Glover response, sampled every tr/oversampling seconds, of sum 1."""
    dt = tr / oversampling
    t = np.linspace(0, 32, round(32 / dt))

    def gamma(delay, dispersion):
        u = np.maximum(t - dt, 0) / dispersion
        shape = delay / dispersion
        return u ** (shape - 1) * np.exp(-u) / (math.gamma(shape) * dispersion)

    h = gamma(6, 0.9) - 0.48 * gamma(12, 0.9)
    return h / h.sum()


def responses(features):
    """Each feature held for its TR, through the HRF, sampled at the start of each TR."""
    kernel = glover(TR, OVERSAMPLING)
    held = np.repeat(features, OVERSAMPLING, axis=0)
    out = np.stack([np.convolve(column, kernel)[: len(held) : OVERSAMPLING] for column in held.T], 1)
    return zscore(out)


def smooth_field(rng, sigma=1.3):
    """White noise on the grid, smoothed by a Gaussian of `sigma` voxels, of variance 1."""
    field = rng.standard_normal(SHAPE)
    taps = np.exp(-0.5 * (np.arange(-5, 6) / sigma) ** 2)
    for axis in range(3):
        field = np.apply_along_axis(lambda v: np.convolve(v, taps, "same"), axis, field)
    return field / field.std()


def brain_mask(axes, offset):
    grid = np.indices(SHAPE)
    centre = [(n - 1) / 2 + o for n, o in zip(SHAPE, offset)]
    return sum(((g - c) / a) ** 2 for g, c, a in zip(grid, centre, axes)) <= 1


def simulate(latent, axes, offset, noise, seed):
    """One subject: (mask, BOLD of shape SHAPE + (n_tr,), mean 1000 inside the mask)."""
    n_tr, k = latent.shape
    shared = np.random.default_rng(1)
    rng = np.random.default_rng(seed)
    maps = np.stack([
        math.sqrt(ANATOMY) * smooth_field(shared) + math.sqrt(1 - ANATOMY) * smooth_field(rng) for _ in range(k)
    ], -1)
    signal = maps @ latent.T / math.sqrt(k)
    innovations = rng.standard_normal((n_tr + 20,) + SHAPE)
    series = np.zeros_like(innovations)
    for t in range(1, len(series)):
        series[t] = 0.4 * series[t - 1] + innovations[t]
    series = np.moveaxis(series[20:], 0, -1) * math.sqrt(1 - 0.4**2)
    cycles = np.stack([np.cos(np.pi * c * (np.arange(n_tr) + 0.5) / n_tr) for c in (1, 2)])
    drift = np.stack([smooth_field(rng), smooth_field(rng)], -1) @ cycles
    mask = brain_mask(axes, offset)
    level = 1000 + 60 * smooth_field(rng)
    bold = level[..., None] + 8 * (signal + noise * series + 0.7 * drift)
    return mask, np.where(mask[..., None], bold, 0)


def write_bids(root, latent, events_tsv):
    """The whole BIDS data set under `root`, masks as a derivative."""
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * VOXEL_MM for n in SHAPE]
    masks = root / "derivatives" / "masks"
    common = np.ones(SHAPE, bool)
    for subject, (axes, offset, noise, seed) in SUBJECTS.items():
        mask, bold = simulate(latent, axes, offset, noise, seed)
        common &= mask
        func = root / f"sub-{subject}" / "func"
        func.mkdir(parents=True)
        slope, inter = float(np.float32(0.05)), 1000.0
        stored = np.where(mask[..., None], np.rint((bold - inter) / slope), np.rint(-inter / slope))
        assert np.abs(stored).max() < 32768
        write_nifti(func / f"sub-{subject}_task-movie_bold.nii.gz", stored.astype(np.int16), affine, TR, slope, inter)
        (func / f"sub-{subject}_task-movie_events.tsv").write_text(events_tsv)
        folder = masks / f"sub-{subject}" / "func"
        folder.mkdir(parents=True)
        write_nifti(folder / f"sub-{subject}_task-movie_desc-brain_mask.nii.gz", mask.astype(np.uint8), affine)
    write_nifti(masks / "task-movie_desc-shared_mask.nii.gz", common.astype(np.uint8), affine)
    write_texts(root, masks)


def write_nifti(path, stored, affine, tr=None, slope=None, inter=None):
    """Stored numbers as they are, with scaling, sform and qform in the header."""
    image = nib.Nifti1Image(stored, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    if tr is not None:
        image.header.set_zooms(tuple(image.header.get_zooms()[:3]) + (tr,))
        image.header["scl_slope"], image.header["scl_inter"] = slope, inter
    image.header["descrip"] = b"VoxQL demonstration, simulated"
    image.header["vox_offset"] = 352
    # nibabel would choose a scaling of its own, so the bytes are written here.
    with nib.openers.Opener(str(path), "wb") as file:
        file.write(image.header.binaryblock + b"\0" * 4)
        file.write(stored.tobytes(order="F"))


def write_texts(root, masks):
    def put(path, value):
        path.write_text(json.dumps(value, indent=2) + "\n")

    put(root / "dataset_description.json", {
        "Name": "One day at sea: four simulated viewers of a narrated clip",
        "BIDSVersion": "1.10.0",
        "DatasetType": "raw",
        "License": "Apache-2.0",
        "Authors": ["The VoxQL authors"],
        "HowToAcknowledge": "Simulated data: nobody was scanned. Made by examples/demo/make.py of VoxQL.",
    })
    (root / "README").write_text(
        "One day at sea\n\nSimulated fMRI of four viewers of ../clip.mp4, one run each, TR 1.5 s. Nobody was scanned.\n"
        "Each voxel is a random, spatially smooth mixture of twelve features of the clip (light, contrast, warmth,\n"
        "motion, three bands of sound, words per second, four projections of the words), through the Glover\n"
        "haemodynamic response, with drift and autocorrelated noise. About half of a voxel's mixture is common to\n"
        "all subjects at the same place; the rest is the subject's own, which is what the shared response model undoes.\n"
        "derivatives/masks has a brain mask per subject and the voxels that all four have (desc-shared).\n"
    )
    (root / "participants.tsv").write_text(
        "participant_id\tsimulated_noise\n"
        + "".join(f"sub-{s}\t{noise}\n" for s, (_, _, noise, _) in SUBJECTS.items())
    )
    put(root / "participants.json", {
        "simulated_noise": {"Description": "Standard deviation of a voxel's noise, where that of the clip's signal is 1"},
    })
    put(root / "task-movie_bold.json", {
        "TaskName": "movie",
        "TaskDescription": "Watching and hearing clip.mp4 once, from its first frame at time 0",
        "RepetitionTime": TR,
        "Manufacturer": "none (simulated)",
        "Instructions": "Watch the film.",
    })
    put(root / "task-movie_events.json", {
        "trial_type": {
            "Description": "The scene that is on the screen",
            "Levels": {
                "beach": "Beach in the morning", "sea": "Open sea", "village": "Hills, village or pier",
                "underwater": "Below the surface", "storm": "Storm at sea", "lighthouse": "Lighthouse at night",
                "night": "Village and beach at night",
            },
        },
        "sentence": {"Description": "The sentence that is spoken from onset for duration"},
    })
    put(masks / "dataset_description.json", {
        "Name": "Brain masks of the simulated viewers",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "License": "Apache-2.0",
        "GeneratedBy": [{"Name": "examples/demo/make.py", "Description": "The ellipsoid in which voxels were simulated"}],
    })
