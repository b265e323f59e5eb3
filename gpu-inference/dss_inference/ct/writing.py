# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Writes segmentations on the grid of their image, for the bundles of the inference worker."""

import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_datastore.space import disk_full, has_free
from dss_datastore.writing import put_in_place
from dss_images.grid import FileGrid, file_grid_of
from dss_images.unpacking import inflated
from dss_inference.ct.reading import Ct
from dss_inference.errors import InferenceError


def write_segmentation(labels: npt.NDArray[np.uint8], ct: Ct, folder: Path) -> Path:
    """Write ``labels``, which are in the order of ``ct.hu``, to a file in ``folder`` with exactly the grid of the
    image's file, and 0 outside the box and in other frames.  Returns the path.

    NIfTI keeps spacing and origin in single precision.  If that would change the grid, the file is NRRD.  NRRD does not
    store the spacing itself; if that changes the grid, too, the file is MetaImage.  Raises InferenceError if no format
    keeps the grid, OSError (ENOSPC) if the disk is full, and RuntimeError for other errors of SimpleITK.
    """
    grid = ct.place.grid
    image = sitk.GetImageFromArray(ct.place.put_back(ct.order.undo(labels)), isVector=False)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        path = _write(image, folder, f"segmentation{suffix}", grid)
        if path is not None:
            return path
    raise InferenceError("The image's position in space cannot be kept in a file.")


def _write(image: sitk.Image, folder: Path, name: str, grid: FileGrid) -> Path | None:
    """Write ``image`` to a file ``name`` that survives a crash, and return its path.  If the format does not keep
    ``grid``, no file remains, and the answer is None.  Raises OSError (ENOSPC) if the disk is full, RuntimeError for
    other errors of SimpleITK.
    """
    partial = folder / f"partial-{name}"
    try:
        sitk.WriteImage(image, partial, useCompression=True, compressionLevel=1)
    except RuntimeError:
        _raise_if_full(folder, image.GetNumberOfPixels())
        raise
    if name.endswith(".gz"):
        _check_complete(partial, image.GetNumberOfPixels())
    if not _grid_in(partial).is_same_as(grid):
        partial.unlink()
        return None
    put_in_place(partial, folder / name)
    return folder / name


def save_as_nrrd(segmentation: Path, target: Path) -> None:
    """Write the voxels and the grid of the file ``segmentation`` to ``target`` as NRRD, fsynced.  Raises RuntimeError
    if SimpleITK cannot read or write a file.
    """
    partial = target.with_name(f"partial-{target.name}")
    sitk.WriteImage(sitk.ReadImage(segmentation), partial, useCompression=True, compressionLevel=1)
    put_in_place(partial, target)


def _check_complete(path: Path, size_bytes: int) -> None:
    """Raises OSError (ENOSPC) if ``path`` is truncated.

    On a full disk ITK writes NIfTI without an error, and reads the truncated file with zeros at its end.
    """
    try:
        with path.open("rb") as file:
            stream = inflated(file)
            found = sum(len(part) for part in iter(lambda: stream.read(1 << 20), b""))
    except (EOFError, zlib.error):
        found = 0
    if found < size_bytes:
        raise disk_full()


def _raise_if_full(folder: Path, size_bytes: int) -> None:
    """Raises OSError (ENOSPC) if the file system of ``folder`` has less than ``size_bytes`` free.  SimpleITK's errors
    do not name their cause.
    """
    if not has_free(folder, size_bytes):
        raise disk_full()


def _grid_in(path: Path) -> FileGrid:
    header = sitk.ImageFileReader()
    header.SetFileName(str(path))
    header.ReadImageInformation()
    return file_grid_of(header)
