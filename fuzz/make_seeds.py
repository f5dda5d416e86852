"""Writes the seed corpus: small images of every kind, from which the fuzzer starts. CIFTI and
GIFTI files are in tests/data/surfaces.

    pip install nibabel numpy && python fuzz/make_seeds.py
"""

import gzip
import pathlib
import shutil

import nibabel as nib
import numpy as np

HERE = pathlib.Path(__file__).parent


def image(kind, dtype, shape, endian="<", scaling=None):
    rng = np.random.default_rng(1)
    data = rng.integers(0, 100, shape).astype(dtype)
    header = kind.header_class(endianness=endian)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(endian))
    header.set_xyzt_units("mm", "sec")
    made = kind(data, np.diag([3, 3, 3.5, 1]), header)
    if len(shape) > 3:
        made.header["pixdim"][4] = 1.5
    if scaling:
        made.header.set_slope_inter(*scaling)
    return made.to_bytes()


def main():
    nifti = HERE / "seeds" / "nifti"
    shutil.rmtree(nifti, ignore_errors=True)
    nifti.mkdir(parents=True)

    one, two = nib.Nifti1Image, nib.Nifti2Image
    files = {
        "int16": image(one, "int16", (3, 4, 2, 5)),
        "uint8_mask": image(one, "uint8", (3, 4, 2)),
        "float32": image(one, "float32", (3, 4, 2, 3)),
        "float64_big_endian": image(one, "float64", (2, 2, 2, 2), ">"),
        "int16_scaled": image(one, "int16", (3, 2, 2, 2), scaling=(0.5, 3)),
        "int64": image(two, "int64", (2, 3, 2)),
        "nifti2": image(two, "uint16", (3, 2, 2, 3)),
        "nifti2_big_endian": image(two, "int32", (2, 2, 2, 2), ">"),
    }
    for name, content in files.items():
        (nifti / f"{name}.nii").write_bytes(content)
    for name in ("int16", "nifti2"):
        (nifti / f"{name}.nii.gz").write_bytes(gzip.compress(files[name], 9, mtime=0))


main()
