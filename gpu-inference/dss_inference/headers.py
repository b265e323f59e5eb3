# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Which image files are read at all: what a header says is checked before memory is given for it."""

import math
import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.metaimage import HEADER_BYTES, is_sound
from dss_inference.errors import InferenceError
from dss_inference.geometry import FileGrid, Grid, file_grid_of
from dss_inference.layout import DAMAGED

_MOST_VOXELS = 1_000_000_000
_MOST_BYTES = 4 * 2**30
_EXTENT_MM = (20.0, 3000.0)
_MOST_SHRUNK = 1100
"""Deflate makes at most 1032 bytes of one; a header that promises more lies."""
_ELSEWHERE = re.compile(
    rb"^(data ?file *:|ElementDataFile *=(?! *LOCAL\b))", re.IGNORECASE | re.MULTILINE
)
"""NRRD and MetaImage may name another file, which could be another patient's."""
_COMPLEX = {sitk.sitkComplexFloat32, sitk.sitkComplexFloat64}
_RIGHT_ANGLES = 1e-3


def checked_header(path: Path) -> sitk.ImageFileReader:
    """That of a volume, or of several (x, y, z, t).  Raises InferenceError with what was found and what is needed, RuntimeError where it is unreadable."""
    _check_before_reading(path)
    header = sitk.ImageFileReader()
    header.SetFileName(str(path))
    header.ReadImageInformation()
    _check_kind(header)
    grid = file_grid_of(header)
    _check_size(grid.volume)
    _check_frames(grid)
    _check_place(grid.volume)
    _check_bytes(header, path)
    return header


def _check_before_reading(path: Path) -> None:
    if path.name.endswith((".nii", ".nii.gz")):
        return
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES).replace(b"\r", b"")
    if _ELSEWHERE.search(start.partition(b"\n\n")[0]):
        raise InferenceError(
            "The image keeps its voxels in another file; save it as one file, for instance .nii.gz."
        )
    if path.suffix.lower() in {".mha", ".mhd"} and not is_sound(start):
        raise InferenceError("The header of this MetaImage is damaged; save the image anew.")


def _check_kind(header: sitk.ImageFileReader) -> None:
    if header.GetDimension() not in (3, 4):
        raise InferenceError(
            f"The image has {header.GetDimension()} dimensions; a CT volume has 3, or 4 with time points."
        )
    if header.GetNumberOfComponents() != 1:
        count = header.GetNumberOfComponents()
        raise InferenceError(f"The image has {count} values in each voxel; a CT has 1.")
    if header.GetPixelID() in _COMPLEX:
        raise InferenceError("The image has complex numbers; a CT in Hounsfield units is needed.")


def _check_size(grid: Grid) -> None:
    shown = " x ".join(str(n) for n in grid.size)
    if min(grid.size) < 3:
        raise InferenceError(f"The image has {shown} voxels; a volume of several slices is needed.")
    if math.prod(grid.size) > _MOST_VOXELS:
        raise InferenceError(f"The image has {shown} voxels, more than can be worked on at once.")
    if not all(math.isfinite(s) and s > 0 for s in grid.spacing_mm):
        raise InferenceError("The image has a spacing that is no length; each must be above 0 mm.")
    largest_mm = max(n * s for n, s in zip(grid.size, grid.spacing_mm, strict=True))
    if not _EXTENT_MM[0] <= largest_mm <= _EXTENT_MM[1]:
        raise InferenceError(
            f"The image is {largest_mm:g} mm long, which no chest is: check its spacing."
        )


def _check_frames(grid: FileGrid) -> None:
    if math.prod(grid.size) > _MOST_VOXELS:
        shown = " x ".join(str(n) for n in grid.size)
        raise InferenceError(
            f"The image has {shown} voxels, more than can be worked on at once; send fewer time points."
        )


def _check_place(grid: Grid) -> None:
    axes = np.array(grid.direction).reshape(3, 3)
    if not np.isfinite([*grid.direction, *grid.origin_mm]).all():
        raise InferenceError("The image has a position in space that is no number; save it anew.")
    if not np.allclose(axes.T @ axes, np.eye(3), rtol=0, atol=_RIGHT_ANGLES):
        raise InferenceError(
            "The image has axes that are not at right angles; save it resampled to axes that are."
        )


def _check_bytes(header: sitk.ImageFileReader, path: Path) -> None:
    """A lie of kilobytes must not cost gigabytes."""
    one = sitk.Image([1, 1], header.GetPixelID()).GetSizeOfPixelComponent()
    needed = math.prod(header.GetSize()) * one
    if needed > path.stat().st_size * _MOST_SHRUNK:
        raise InferenceError(DAMAGED)
    if needed > _MOST_BYTES:
        raise InferenceError(
            f"The image takes {needed / 2**30:.0f} GB; at most {_MOST_BYTES / 2**30:.0f} GB can be worked "
            "on at once. Save it with 16 bits a voxel, or crop it."
        )
