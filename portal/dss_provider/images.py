# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Converts image files to arrays and back, with the checks of ``dss_images``."""

import threading
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_datastore.space import disk_full, has_free
from dss_images.errors import ImageRefused
from dss_images.grid import Grid, difference, nearly_same
from dss_images.header import Format, Header
from dss_images.judging import require_volume
from dss_images.reading import array_of, read_header
from dss_provider.algorithm import Array, Image
from dss_provider.errors import AlgorithmFailed

ROOM_BYTES = 1 << 20
"""A volume with less free space than this counts as full."""


def read_image(path: Path) -> Image:
    """Read an image.  Raises AlgorithmFailed with a sentence if it is refused."""
    try:
        header = read_header(path)
        require_volume(header)
        array = array_of(header)
    except ImageRefused as error:
        raise AlgorithmFailed(str(error)) from error
    if header.dimensions != 3:
        raise AlgorithmFailed(
            f"The image has {header.grid.frames} time points; this service takes one volume."
        )
    grid = header.grid.volume
    return Image(
        array=array,
        spacing_mm=grid.spacing_mm,
        origin_mm=grid.origin_mm,
        direction=np.asarray(grid.direction).reshape(3, 3),
    )


def grid_of(path: Path) -> Grid:
    """The grid of an image file.  Raises AlgorithmFailed if the file is refused."""
    return _header(path).grid.volume


def _header(path: Path) -> Header:
    try:
        return read_header(path)
    except ImageRefused as error:
        raise AlgorithmFailed(str(error)) from error


def read_in_grid(path: Path, image: Path, what: str) -> Array:
    """The voxels of the file ``path``, which a program has written.  Raises AlgorithmFailed unless it has the grid of
    ``image``.
    """
    try:
        header = read_header(path)
        array = array_of(header)
    except ImageRefused as error:
        raise AlgorithmFailed(f"The program's {what} cannot be used: {error}") from error
    if not nearly_same(header.grid, _header(image).grid):
        wrong = difference(header.grid.volume, grid_of(image)) or "it has several time points"
        raise AlgorithmFailed(f"The {what} does not lie in the image's grid: {wrong}.")
    return array


def suffix_for(image: Path) -> str:
    """The suffix of a file format that can store the image's grid exactly.  NIfTI cannot always, because it has
    single precision.
    """
    return ".nii.gz" if _header(image).format in {Format.NIFTI_1, Format.NIFTI_2} else ".nrrd"


def write_in_grid(array: Array, like: Path, path: Path) -> None:
    """Write ``array`` (z, y, x) with the grid of the image file ``like``.  Raises AlgorithmFailed."""
    grid = grid_of(like)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    try:
        sitk.WriteImage(image, str(path), True)
        written = read_header(path)
        same = np.array_equal(array_of(written), array)
    except (RuntimeError, ImageRefused) as error:
        raise _not_written(path) from error
    if wrong := difference(written.grid.volume, grid):
        raise AlgorithmFailed(f"The result could not be written in the image's grid: {wrong}.")
    if not same:
        raise _not_written(path)


def _not_written(path: Path) -> Exception:
    """The error for a file that ITK could not write.  ITK does not say why, so the free space is checked."""
    if not has_free(path.parent, ROOM_BYTES):
        return disk_full()
    return AlgorithmFailed("The result could not be written.")


def load_array(file: Path) -> Array:
    """Load an array that the algorithm's process has saved."""
    with _PARSING:
        found: Array = np.load(file)
    return found


_PARSING = threading.Lock()
"""NumPy parses a file's head as Python, which in several threads at once may fail (python/cpython#106905)."""
