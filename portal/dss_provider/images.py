# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Converts image files to arrays and back, with the checks of ``dss_images``."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_datastore.space import disk_full, has_free
from dss_images.errors import ImageRefused
from dss_images.grid import FileGrid, Grid, difference, nearly_same
from dss_images.header import Format, Header
from dss_images.reading import array_of, frame_of, read_header
from dss_images.requirements import require_volume
from dss_provider.algorithm import Array, Image
from dss_provider.errors import AlgorithmFailed

ALMOST_FULL_BYTES = 1 << 20
"""A disk with fewer free bytes than this counts as full."""
ONE_VOLUME = "The image has {} time points; this service takes one volume. Send one time point as an image of its own."
"""Template of a sentence for the user, with the number of time points."""


def read_image(path: Path) -> Image:
    """Read an image file.  Raises AlgorithmFailed with a sentence if the image is refused or has several time points."""
    try:
        header = read_header(path)
        require_volume(header)
        array = array_of(header)
    except ImageRefused as error:
        raise AlgorithmFailed(str(error)) from error
    if header.dimensions != 3:
        raise AlgorithmFailed(ONE_VOLUME.format(header.grid.frames))
    grid = header.grid.volume
    return Image(
        array=array,
        spacing_mm=grid.spacing_mm,
        origin_mm=grid.origin_mm,
        direction=np.asarray(grid.direction).reshape(3, 3),
    )


def grid_of(path: Path) -> Grid:
    """The grid in space of an image file.  Raises AlgorithmFailed if the file is refused."""
    return _header(path).grid.volume


def frames_of(path: Path) -> int:
    """The number of time points of an image file.  Raises AlgorithmFailed if the file is refused."""
    return _header(path).grid.frames


def _header(path: Path) -> Header:
    try:
        return read_header(path)
    except ImageRefused as error:
        raise AlgorithmFailed(str(error)) from error


def read_in_grid(path: Path, image: Path, what: str) -> Array:
    """The voxels of the file ``path``, which a program has written.  Raises AlgorithmFailed if it cannot be read, or
    unless it has the grid of the file ``image``, in space and time.  ``what`` names the file in the error.
    """
    try:
        header = read_header(path)
        array = array_of(header)
    except ImageRefused as error:
        raise AlgorithmFailed(f"The program's {what} cannot be used: {error}") from error
    if not nearly_same(header.grid, _header(image).grid):
        found, needed = header.grid.frames, frames_of(image)
        times = f"time points {found} instead of {needed}"
        wrong = times if found != needed else difference(header.grid.volume, grid_of(image))
        raise AlgorithmFailed(f"The {what} does not lie in the image's grid: {wrong}.")
    return array


def suffix_for(image: Path) -> str:
    """The suffix of a file format that can store the image's grid exactly: .nii.gz for a NIfTI-1 image, otherwise .mha,
    because ITK writes NIfTI in single precision, and NRRD without the spacing itself.  Raises AlgorithmFailed if the
    file is refused.
    """
    return ".nii.gz" if _header(image).format is Format.NIFTI_1 else ".mha"


def write_in_grid(array: Array, like: Path, path: Path, *, what: str = "result") -> None:
    """Write ``array`` (z, y, x), or (z, y, x, components), to ``path`` with the grid in space of the image file
    ``like``, and read it back as a check.  Raises AlgorithmFailed with a sentence about ``what``, or OSError if the
    disk is full.
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=array.ndim > 3)
    _write(image, grid_of(like), path, what)
    _require_same(array, array_of, path, what)


def write_in_series(array: Array, like: Path, time_point: int, path: Path) -> None:
    """Write ``array`` (z, y, x) as the time point ``time_point``, from 1, of a file with the grid of the 4-D image file
    ``like``.  All other time points are 0.  Raises AlgorithmFailed, or OSError if the disk is full.

    A file with one time point would not do: ITK-SNAP would put it at the time point that happens to be shown.
    """
    grid = _header(like).grid
    series = np.zeros((grid.frames, *array.shape), array.dtype)
    series[time_point - 1] = array
    _write(sitk.GetImageFromArray(series, isVector=False), grid, path, "result")
    _require_same(array, lambda written: frame_of(written, time_point), path, "result")


def _write(image: sitk.Image, grid: Grid | FileGrid, path: Path, what: str) -> None:
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    try:
        sitk.WriteImage(image, str(path), True)
        written = read_header(path).grid
    except (RuntimeError, ImageRefused) as error:
        raise _not_written(path, what) from error
    volume = grid.volume if isinstance(grid, FileGrid) else grid
    if wrong := difference(written.volume, volume):
        raise AlgorithmFailed(f"The {what} could not be written in the image's grid: {wrong}.")


def _require_same(array: Array, read: Callable[[Header], Array], path: Path, what: str) -> None:
    """Raises AlgorithmFailed unless the file ``path``, read by ``read``, contains ``array``."""
    try:
        same = np.array_equal(read(read_header(path)), array)
    except ImageRefused as error:
        raise _not_written(path, what) from error
    if not same:
        raise _not_written(path, what)


def _not_written(path: Path, what: str) -> Exception:
    """The error to raise for a file that ITK could not write; ``what`` names the file.  ITK does not say why, so the
    free space is checked.
    """
    if not has_free(path.parent, ALMOST_FULL_BYTES):
        return disk_full()
    return AlgorithmFailed(f"The {what} could not be written.")


def load_array(file: Path) -> Array:
    """Load an array that the algorithm's process has saved."""
    with _PARSING:
        found: Array = np.load(file)
    return found


_PARSING = threading.Lock()
"""Held while NumPy parses a file's head as Python, which may fail in several threads at once (python/cpython#106905)."""
