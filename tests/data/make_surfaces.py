"""Makes tests/data/surfaces: small CIFTI-2 and GIFTI files, written by nibabel.

    pip install nibabel==5.4.2 && python tests/data/make_surfaces.py

Every value is by formula: row t (time point or map) of element e is 10 (t + 1) + e / 4, in whole-number types
10 (t + 1) + e, so tests know what to expect without another file.
"""

import base64
import gzip
import json
import os
import warnings

import nibabel as nib
import numpy as np
from nibabel import cifti2, gifti

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "surfaces")
warnings.simplefilter("ignore")


def values(rows, elements, whole=False):
    t, e = np.mgrid[:rows, :elements]
    return 10 * (t + 1) + (e if whole else e / 4)


# ---- CIFTI-2 ----


def brain_models():
    """19 vertices of two cortices (their surfaces have 12 each) and 4 voxels: 23 elements."""
    left = cifti2.BrainModelAxis.from_mask(np.arange(12) % 6 != 5, name="cortex_left")
    right = cifti2.BrainModelAxis.from_mask(np.arange(12) > 2, name="cortex_right")
    mask = np.zeros((4, 5, 6), bool)
    mask[1:3, 2, 3:5] = True
    affine = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
    voxels = cifti2.BrainModelAxis.from_mask(mask, affine=affine, name="thalamus_left")
    return left + right + voxels


def parcels():
    """Three: on both cortices, in the volume, and one that is empty."""
    models = brain_models()
    nowhere = np.empty((0, 3), int)
    return cifti2.ParcelsAxis(
        ["Visual & more", "Thalamus", "Nothing"],
        [nowhere, [[1, 2, 3], [2, 2, 4]], nowhere],
        [
            {"CIFTI_STRUCTURE_CORTEX_LEFT": [0, 3], "CIFTI_STRUCTURE_CORTEX_RIGHT": [11]},
            {},
            {},
        ],
        affine=models.affine,
        volume_shape=models.volume_shape,
        nvertices=models.nvertices,
    )


def write_cifti(name, data, axes, dtype=np.float32):
    image = cifti2.Cifti2Image(data, axes)
    image.set_data_dtype(dtype)
    path = os.path.join(HERE, name)
    image.to_filename(path.removesuffix(".gz"))
    if name.endswith(".gz"):  # which nibabel does not write
        with open(path.removesuffix(".gz"), "rb") as file, open(path, "wb") as to:
            to.write(gzip.compress(file.read(), mtime=0))
        os.remove(path.removesuffix(".gz"))


def make_big_endian(name):
    """nibabel writes CIFTI-2 in the machine's order only: turns header, extension and numbers round."""
    path = os.path.join(HERE, name)
    with open(path, "rb") as file:
        raw = file.read()
    header = nib.Nifti2Header(raw[:540], endianness="<", check=False)
    start = int(header["vox_offset"])
    extension = np.frombuffer(raw[544:552], "<i4").astype(">i4").tobytes() + raw[552:start]
    numbers = np.frombuffer(raw[start:], header.get_data_dtype())
    with open(path, "wb") as file:
        file.write(header.as_byteswapped(">").binaryblock + raw[540:544] + extension)
        file.write(numbers.byteswap().tobytes())


def make_cifti():
    models = brain_models()
    n = len(models)
    series = lambda points, step=0.72, start=0.0: cifti2.SeriesAxis(start, step, points)
    write_cifti("sub-01_task-rest_space-fsLR_den-91k_bold.dtseries.nii", values(7, n), (series(7), models))
    write_cifti("big_endian_int16.dtseries.nii", values(5, n, True), (series(5), models), np.int16)
    make_big_endian("big_endian_int16.dtseries.nii")
    write_cifti("compressed.dtseries.nii.gz", values(7, n), (series(7), models), np.float64)
    write_cifti("transposed.dtseries.nii", values(7, n).T, (models, series(7)))
    write_cifti("late.ptseries.nii", values(4, 3), (series(4, 2.0, 1.5), parcels()))
    write_cifti("two.dscalar.nii", values(2, n), (cifti2.ScalarAxis(["faces", "houses & more"]), models))
    write_cifti("hertz.dtseries.nii", values(2, n), (cifti2.SeriesAxis(0, 0.01, 2, "HERTZ"), models))
    write_cifti("small.pconn.nii", np.eye(3), (parcels(), parcels()))
    write_cifti("one.dlabel.nii", np.ones((1, n)), (cifti2.LabelAxis(["a"], [{0: ("?", (0, 0, 0, 0)), 1: ("b", (1, 0, 0, 1))}]), models))


# ---- GIFTI ----


def array(data, intent="NIFTI_INTENT_TIME_SERIES", datatype="NIFTI_TYPE_FLOAT32", encoding="GIFTI_ENCODING_B64GZ", order="C", **meta):
    return gifti.GiftiDataArray(
        np.asarray(data),
        intent=intent,
        datatype=datatype,
        encoding=encoding,
        ordering={"C": "RowMajorOrder", "F": "ColumnMajorOrder"}[order],
        meta=gifti.GiftiMetaData(**meta),
    )


def write_gifti(name, arrays, **meta):
    image = gifti.GiftiImage(darrays=arrays, meta=gifti.GiftiMetaData(**meta))
    image.to_filename(os.path.join(HERE, name))


BY_HAND = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE GIFTI SYSTEM "http://www.nitrc.org/frs/download.php/115/gifti.dtd">
<GIFTI Version="1.0" NumberOfDataArrays="{count}">
<MetaData/><LabelTable/>
{arrays}</GIFTI>
"""

ARRAY_BY_HAND = """<DataArray Intent="NIFTI_INTENT_TIME_SERIES" DataType="NIFTI_TYPE_FLOAT32" ArrayIndexingOrder="RowMajorOrder"
  Dimensionality="1" Dim0="12" Encoding="{encoding}" Endian="{endian}"
  ExternalFileName="{name}" ExternalFileOffset="{offset}"><Data>{text}</Data></DataArray>
"""


def write_by_hand(name, arrays):
    """What nibabel does not write: other byte orders, external files."""
    known = {"endian": "LittleEndian", "name": "", "offset": "", "text": ""}
    texts = [ARRAY_BY_HAND.format(**{**known, **array}) for array in arrays]
    with open(os.path.join(HERE, name), "w") as file:
        file.write(BY_HAND.format(count=len(texts), arrays="".join(texts)))


def make_gifti():
    data = values(5, 12).astype(np.float32)
    for hemisphere, structure in [("L", "CortexLeft"), ("R", "CortexRight")]:
        name = f"sub-01_task-rest_hemi-{hemisphere}_space-fsaverage5_bold"
        sign = 1 if hemisphere == "L" else -1
        write_gifti(name + ".func.gii", [array(sign * row) for row in data], AnatomicalStructurePrimary=structure)
        with open(os.path.join(HERE, name + ".json"), "w") as file:
            json.dump({"RepetitionTime": 1.5, "TaskName": "rest"}, file)
    write_gifti("ascii.func.gii", [array(row, encoding="GIFTI_ENCODING_ASCII") for row in data])
    write_gifti("base64.func.gii", [array(row, encoding="GIFTI_ENCODING_B64BIN") for row in data])
    text = lambda row: base64.b64encode(row.astype(">f4").tobytes()).decode()
    write_by_hand("big_endian.func.gii", [{"encoding": "Base64Binary", "endian": "BigEndian", "text": text(row)} for row in data])
    write_gifti("freesurfer.func.gii", [array(row[:, None], TimeStep="2000.000000") for row in data])
    whole = values(5, 12, True)
    write_gifti("int32.func.gii", [array(row.astype(np.int32), datatype="NIFTI_TYPE_INT32") for row in whole])
    write_gifti("uint8.func.gii", [array(row.astype(np.uint8), datatype="NIFTI_TYPE_UINT8") for row in whole])
    write_gifti("table.func.gii", [array(data.T)], TimeStep="0.8")
    write_gifti("table_column_major.func.gii", [array(data.T, order="F")], TimeStep="0.8")
    maps = [array(row, intent="NIFTI_INTENT_SHAPE", Name=name) for row, name in zip(data, ["a", "b"])]
    write_gifti("two.shape.gii", maps, AnatomicalStructurePrimary="CortexLeft")
    numbers = "external.func.gii.dat"
    write_by_hand("external.func.gii", [{"encoding": "ExternalFileBinary", "name": numbers, "offset": 4 + 48 * row} for row in range(3)])
    with open(os.path.join(HERE, numbers), "wb") as file:
        file.write(b"skip" + data[:3].astype("<f4").tobytes())


def check():
    """nibabel reads what it wrote."""
    for name in sorted(os.listdir(HERE)):
        path = os.path.join(HERE, name)
        if name.endswith(".nii"):
            got = nib.load(path)
            print(name, got.shape, got.nifti_header["dim"], got.nifti_header["intent_code"], got.get_fdata()[0, :3])
        elif name.endswith(".gii"):
            print(name, len(nib.load(path).darrays), nib.load(path).darrays[0].data.shape)


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    make_cifti()
    make_gifti()
    check()
