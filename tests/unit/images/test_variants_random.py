# mypy: allow-untyped-calls
# (SimpleITK and nibabel ship no types)
"""Images of any grid, type, format and byte order, by a seed: each is sent exactly as it is."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_images.grid import FileGrid, file_grid_of
from dss_images.reading import array_of, read_header
from dss_submission.images import write_layer
from support.image_variants import affine, meta, nifti, nrrd

COUNT = 60
KINDS = {"i2": ("short", "MET_SHORT"), "i4": ("int", "MET_INT"), "f4": ("float", "MET_FLOAT")}


def any_direction(chosen: np.random.Generator) -> np.ndarray:
    """Turned anyhow, or nearly upright as scanners are; left-handed in half of the cases."""
    turned, _ = np.linalg.qr(chosen.normal(size=(3, 3)))
    if chosen.random() < 0.4:
        turned = np.eye(3)[chosen.permutation(3)] * chosen.choice([-1.0, 1.0], 3)
    return np.asarray(turned)


def any_case(seed: int, folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """A file, its voxels (z, y, x), and its affine to LPS."""
    chosen = np.random.default_rng(seed)
    kind = str(chosen.choice(list(KINDS)))
    size = tuple(int(n) for n in chosen.integers(3, 12, 3))
    voxels = chosen.integers(-1024, 3000, size[::-1]).astype(kind)
    spacing = tuple(float(s) for s in chosen.uniform(0.3, 6.0, 3).round(int(chosen.integers(1, 9))))
    origin = tuple(float(x) for x in chosen.uniform(-900, 900, 3).round(4))
    lps = affine(any_direction(chosen), spacing, origin)
    make = [_nifti, _nrrd, _meta][int(chosen.integers(3))]
    return make(folder, voxels, lps, spacing, chosen), voxels, lps


def _nifti(folder: Path, voxels: Any, lps: Any, _: Any, chosen: np.random.Generator) -> Path:
    kind = [nib.Nifti1Image, nib.Nifti2Image][int(chosen.integers(2))]
    name = ["ct.nii", "ct.nii.gz"][int(chosen.integers(2))]
    order = str(chosen.choice(["<", ">"]))
    return nifti(lps=lps, voxels=voxels, kind=kind, name=name, order=order)(folder)


def _nrrd(folder: Path, voxels: Any, lps: Any, _: Any, chosen: np.random.Generator) -> Path:
    order, packed = str(chosen.choice(["<", ">"])), bool(chosen.integers(2))
    space = str(chosen.choice(["left-posterior-superior", "RAS"]))
    own = lps if space.startswith("left") else np.diag([-1.0, -1, 1, 1]) @ lps
    columns = ["(" + ",".join(repr(float(n)) for n in own[:3, i]) + ")" for i in range(4)]
    data = voxels.astype(voxels.dtype.newbyteorder(order)).tobytes()
    return nrrd(
        data=gzip.compress(data) if packed else data,
        type=KINDS[voxels.dtype.str[1:]][0],
        sizes=" ".join(str(n) for n in voxels.shape[::-1]),
        space=space,
        space_directions=" ".join(columns[:3]),
        space_origin=columns[3],
        endian="little" if order == "<" else "big",
        encoding="gzip" if packed else "raw",
    )(folder)


def _meta(folder: Path, voxels: Any, lps: Any, spacing: Any, chosen: np.random.Generator) -> Path:
    order, packed = str(chosen.choice(["<", ">"])), bool(chosen.integers(2))
    data = voxels.astype(voxels.dtype.newbyteorder(order)).tobytes()
    return meta(
        data=zlib.compress(data) if packed else data,
        CompressedData=str(packed),
        BinaryDataByteOrderMSB=str(order == ">"),
        TransformMatrix=" ".join(repr(float(n)) for n in (lps[:3, :3] / spacing).T.ravel()),
        ElementSpacing=" ".join(repr(s) for s in spacing),
        Offset=" ".join(repr(float(x)) for x in lps[:3, 3]),
        DimSize=" ".join(str(n) for n in voxels.shape[::-1]),
        ElementType=KINDS[voxels.dtype.str[1:]][1],
    )(folder)


def corners(lps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    ends = np.array(np.meshgrid(*[[0, n - 1] for n in shape[::-1]])).reshape(3, -1)
    return np.asarray((lps[:3, :3] @ ends).T + lps[:3, 3])


def affine_of(grid: FileGrid) -> np.ndarray:
    return affine(np.reshape(grid.direction, (3, 3)), grid.spacing_mm, grid.origin_mm)


@pytest.mark.parametrize("seed", range(COUNT))
def test_any_image_is_read_and_sent_exactly(tmp_path: Path, seed: int) -> None:
    path, voxels, lps = any_case(20261128 + seed, tmp_path)
    (tmp_path / "out").mkdir()

    header = read_header(path)
    sent = sitk.ReadImage(str(write_layer(path, tmp_path / "out").path))

    truth = corners(lps, voxels.shape)
    reach = np.abs(truth).max()
    assert np.array_equal(array_of(header), voxels)
    assert np.array_equal(sitk.GetArrayFromImage(sent), voxels)
    assert np.abs(corners(affine_of(header.grid), voxels.shape) - truth).max() < 1e-6 * reach
    found = corners(affine_of(file_grid_of(sent)), voxels.shape)
    assert np.abs(found - truth).max() < 1e-6 * reach


@pytest.mark.parametrize("seed", range(COUNT))
def test_the_grid_is_that_of_itk_to_the_last_bit(tmp_path: Path, seed: int) -> None:
    """ITK-SNAP compares the grids of a workspace's layers so, except for the direction."""
    path, _, _ = any_case(20261128 + seed, tmp_path)
    header = read_header(path)
    if header.format == "NIfTI-2":
        return  # which ITK does not read

    by_itk = file_grid_of(sitk.ReadImage(str(path)))

    assert header.grid.spacing_mm == by_itk.spacing_mm
    assert header.grid.origin_mm == by_itk.origin_mm
    assert np.allclose(header.grid.direction, by_itk.direction, rtol=0, atol=1e-12)
