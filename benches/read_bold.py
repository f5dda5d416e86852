"""Times masking a run of 64 × 64 × 40 × 300 float32 voxels in VoxQL and in nilearn.

    pip install nilearn
    cargo build --release
    python benches/read_bold.py target/release/voxql

Prints the median of five, in seconds. VoxQL's times include the start of the program;
nilearn's are those of apply_mask alone, in a process that has imported it already.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
from nilearn.masking import apply_mask

SHAPE, VOLUMES = (64, 64, 40), 300


def write(folder):
    """A run that compresses as scanners' do, plain and compressed, and its mask: a fifth of the volume."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    inside = (x - 32) ** 2 + (y - 32) ** 2 + (z - 20) ** 2 < 400
    mean = np.where(inside, 1000 + 200 * np.sin(x / 5) * np.cos(y / 7), 50)
    run = np.empty((*SHAPE, VOLUMES), np.float32)
    for volume in range(VOLUMES):
        run[..., volume] = np.round(mean + rng.normal(0, 10, SHAPE) * (1 + inside))
    affine = np.diag([3, 3, 3, 1])
    image = nibabel.Nifti1Image(run, affine)
    image.header.set_zooms((3, 3, 3, 2))
    for name in ("run.nii", "run.nii.gz"):
        nibabel.save(image, folder / name)
    nibabel.save(nibabel.Nifti1Image(inside.astype(np.uint8), affine), folder / "mask.nii.gz")


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
        mask = folder / "mask.nii.gz"
        for name in ("run.nii", "run.nii.gz"):
            path = folder / name
            sql = f"SELECT count(bold), max(bold[1]) FROM read_bold('{path}', mask => '{mask}')"
            ours = median(lambda: subprocess.run([voxql, "-c", sql], check=True, stdout=subprocess.DEVNULL))
            theirs = median(lambda: apply_mask(path, mask))
            print(f"{name}: VoxQL {ours:.2f} s, nilearn {theirs:.2f} s, {theirs / ours:.1f} times")


if __name__ == "__main__":
    main(sys.argv[1])
