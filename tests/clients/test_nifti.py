"""Images that VoxQL wrote, read by nibabel; and images that nibabel wrote, read by VoxQL."""

import csv
import gzip
import io

import nibabel as nib
import numpy as np
import pytest
from conftest import voxql
from nibabel.affines import apply_affine

SHAPE = (7, 6, 5)
# A rotation about x and y, other sizes along each axis, and a flip.
AFFINE = np.eye(4)
AFFINE[:3, :3] = nib.eulerangles.euler2mat(x=0.3, y=-0.2) @ np.diag([-2.0, 2.5, 3.0])
AFFINE[:3, 3] = [31.5, -40.25, 12.0]
SHEARED = np.array([[2, 0.5, 0, 1], [0, 2, 0, 2], [0, 0.25, 2, 3], [0, 0, 0, 1]])

# SQL's name of a type, and NumPy's.
TYPES = {
    "TINYINT": "int8", "SMALLINT": "int16", "INT": "int32", "BIGINT": "int64",
    "TINYINT UNSIGNED": "uint8", "SMALLINT UNSIGNED": "uint16", "INT UNSIGNED": "uint32",
    "BIGINT UNSIGNED": "uint64", "REAL": "float32", "DOUBLE": "float64",
}


def copy(query, target, **options):
    """Runs COPY; the image as nibabel sees it."""
    given = ", ".join(f"{name} '{value}'" for name, value in options.items())
    voxql("-c", f"COPY ({query}) TO '{target}' STORED AS NIFTI" + (f" OPTIONS ({given})" if given else ""))
    return nib.load(target)


def rows(query):
    return list(csv.DictReader(io.StringIO(voxql("--format", "csv", "-c", query))))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 9 volumes, both of whose forms count, and a mask of some of its voxels."""
    folder = tmp_path_factory.mktemp("run")
    noise = np.random.default_rng(0)
    image = nib.Nifti1Image(noise.normal(size=(*SHAPE, 9)).astype("float32"), AFFINE)
    image.set_sform(AFFINE, code=4)
    image.set_qform(AFFINE, code=1)
    image.header.set_zooms((2.0, 2.5, 3.0, 0.72))
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, folder / "run.nii.gz")
    inside = noise.random(SHAPE) < 0.4
    nib.save(nib.Nifti1Image(inside.astype("uint8"), AFFINE), folder / "mask.nii.gz")
    return folder


def same_place(got, want):
    """Affine, both forms with their codes, and sizes of voxels."""
    assert np.array_equal(got.affine, want.affine)
    for form in ("get_sform", "get_qform"):
        (a, code_a), (b, code_b) = (getattr(image, form)(coded=True) for image in (got, want))
        assert code_a == code_b
        assert (a is None and b is None) or np.array_equal(a, b)
    assert got.header.get_zooms()[:3] == want.header.get_zooms()[:3]


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_a_run_comes_back(run, tmp_path, name):
    want = nib.load(run / "run.nii.gz")
    query = f"SELECT tr, bold FROM read_bold('{run}/run.nii.gz') ORDER BY tr DESC"
    got = copy(query, tmp_path / name, like=run / "run.nii.gz")
    assert got.shape == (*SHAPE, 9) and got.get_data_dtype() == np.float32
    assert np.array_equal(got.dataobj, want.dataobj)
    same_place(got, want)
    assert got.header.get_zooms()[3] == np.float32(0.72)
    assert got.header.get_xyzt_units() == ("mm", "sec")
    bold = f"SELECT tr, time, bold FROM read_bold('{run}/run.nii.gz') ORDER BY tr"
    assert voxql("-c", bold) == voxql("-c", bold.replace(f"{run}/run.nii.gz", str(tmp_path / name)))


def test_a_masked_run_is_zero_outside(run, tmp_path):
    query = f"SELECT * FROM read_bold('{run}/run.nii.gz', mask => '{run}/mask.nii.gz')"
    got = copy(query, tmp_path / "out.nii.gz")
    inside = np.asarray(nib.load(run / "mask.nii.gz").dataobj, bool)
    want = np.asarray(nib.load(run / "run.nii.gz").dataobj) * inside[..., None]
    assert np.array_equal(got.dataobj, want)
    same_place(got, nib.load(run / "mask.nii.gz"))
    # The query has the repetition time.
    assert got.header.get_zooms()[3] == np.float32(0.72)


def test_a_gzip_member_of_its_own(run, tmp_path):
    """Its checksum and its length are right, although the header was written last."""
    query = f"SELECT tr, bold FROM read_bold('{run}/run.nii.gz')"
    copy(query, tmp_path / "a.nii", like=run / "run.nii.gz")
    copy(query, tmp_path / "a.nii.gz", like=run / "run.nii.gz")
    assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes()) == (tmp_path / "a.nii").read_bytes()


@pytest.mark.parametrize("kind", TYPES)
def test_maps_of_all_types(tmp_path, kind):
    values = np.arange(np.prod(SHAPE), dtype=TYPES[kind]).reshape(SHAPE) % 101
    nib.save(nib.Nifti1Image(values, AFFINE, dtype=values.dtype), tmp_path / "in.nii")
    query = f"SELECT i, j, k, CAST(value AS {kind}) AS v FROM read_voxels('{tmp_path}/in.nii') ORDER BY random()"
    got = copy(query, tmp_path / "out.nii.gz")
    assert got.get_data_dtype() == np.dtype(TYPES[kind])
    assert np.array_equal(got.dataobj, values)
    # As nibabel places a new image: the sform counts, the qform does not.
    same_place(got, nib.load(tmp_path / "in.nii"))
    assert got.header["sform_code"] == 2 and got.header["qform_code"] == 0
    assert np.allclose(got.get_qform(), got.affine, atol=1e-5)
    assert np.allclose(got.get_qform(), nib.load(tmp_path / "in.nii").get_qform(), atol=1e-5)


@pytest.mark.parametrize("affine", [AFFINE, SHEARED], ids=["rotated", "sheared"])
def test_masks(tmp_path, affine):
    statistic = np.random.default_rng(1).normal(size=SHAPE)
    nib.save(nib.Nifti1Image(statistic, affine), tmp_path / "z.nii.gz")
    got = copy(f"SELECT i, j, k FROM read_voxels('{tmp_path}/z.nii.gz') WHERE value > 1", tmp_path / "mask.nii.gz")
    assert got.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(got.dataobj), statistic > 1)
    assert np.array_equal(got.affine, nib.load(tmp_path / "z.nii.gz").affine)
    if affine is AFFINE:
        assert np.allclose(got.get_qform(), affine, atol=1e-5)


def test_voxels_by_time(run, tmp_path):
    want = nib.load(run / "run.nii.gz")
    got = copy(f"SELECT i, j, k, bold FROM read_voxels('{run}/run.nii.gz')", tmp_path / "out.nii")
    assert np.array_equal(got.dataobj, want.dataobj)
    assert got.header.get_zooms()[3] == np.float32(0.72)


def test_nifti_2_for_a_long_run(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((1, 1, 2), "uint8"), AFFINE), tmp_path / "like.nii")
    query = "SELECT value AS tr, [value, -value] AS v FROM generate_series(0, 32767)"
    got = copy(query, tmp_path / "out.nii.gz", like=tmp_path / "like.nii", tr=0.5)
    assert isinstance(got, nib.Nifti2Image) and got.shape == (1, 1, 2, 32768)
    assert np.array_equal(got.dataobj[0, 0], [np.arange(32768), -np.arange(32768)])
    same_place(got, nib.load(tmp_path / "like.nii"))


def test_places_are_those_of_nibabel(run):
    image = nib.load(run / "mask.nii.gz")
    read = rows(
        f"SELECT voxel, i, j, k, x, y, z, value FROM read_voxels('{run}/mask.nii.gz', "
        f"mask => '{run}/mask.nii.gz') ORDER BY voxel"
    )
    # NumPy lists voxels in C order, and so does nilearn's apply_mask.
    index = np.argwhere(np.asarray(image.dataobj))
    assert [[int(row[c]) for c in "ijk"] for row in read] == index.tolist()
    assert [int(row["voxel"]) for row in read] == list(range(len(index)))
    places = [[float(row[c]) for c in "xyz"] for row in read]
    assert np.allclose(places, apply_affine(image.affine, index), rtol=0, atol=1e-9)
    assert {row["value"] for row in read} == {"1.0"}
