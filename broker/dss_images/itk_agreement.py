# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Compares the header of an image file with what ITK reads from the same file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_images.grid import FileGrid, file_grid_of, nearly_same
from dss_images.header import SUFFIXES, Format, Header


def checked_by_itk(path: Path, header: Header) -> FileGrid:
    """The grid of the file as ITK computes it, exact to the last bit, because ITK-SNAP compares grids exactly.

    Only for NIfTI-1 in one file this differs from ``header.grid``, because ITK rounds its single-precision numbers in
    its own ways.  ``header.grid`` is returned for other files, and if ITK cannot read the file or its grid differs by
    more than rounding.  The spacing of time points is always that of ``header.grid``.
    """
    if header.format != Format.NIFTI_1 or header.storage.path != path:
        return header.grid
    try:
        with _name_for_itk(path) as name:
            found = _itk_header(name)
    except RuntimeError:
        return header.grid
    if not nearly_same(found, header.grid):
        return header.grid
    return replace(found, spacing_mm=(*found.spacing_mm[:3], *header.grid.spacing_mm[3:]))


@contextmanager
def _name_for_itk(path: Path) -> Iterator[str]:
    """A context with a name under which ITK can read the file: its path or, if that is not UTF-8, a temporary link.

    ITK ends the process if a name is not UTF-8.
    """
    name = str(path)
    if _is_utf_8(name):
        yield name
        return
    with TemporaryDirectory(prefix="dss_name_") as folder:
        ending = next(e for e in (*SUFFIXES[Format.NIFTI_1], "") if name.lower().endswith(e))
        link = Path(folder) / f"image{ending}"
        link.symlink_to(path.absolute())
        yield str(link)


def _is_utf_8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _itk_header(name: str) -> FileGrid:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")
    reader.SetFileName(name)
    warns = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader.ReadImageInformation()
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(warns)
    return file_grid_of(reader)
