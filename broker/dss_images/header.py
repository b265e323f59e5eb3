"""The header of an image file, in the same form for every file format."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from dss_images import refusals
from dss_images.errors import ImageRefused
from dss_images.grid import FileGrid
from dss_images.unpacking import Packing


class Format(StrEnum):
    """A format of image files, with its name for sentences."""

    NIFTI_1 = "NIfTI-1"
    NIFTI_2 = "NIfTI-2"
    NRRD = "NRRD"
    META = "MetaImage"


SUFFIXES = {
    Format.NIFTI_1: (".nii.gz", ".nii"),
    Format.NIFTI_2: (".nii.gz", ".nii"),
    Format.NRRD: (".nrrd",),
    Format.META: (".mha",),
}
"""Suffixes of files that contain header and voxels, by format."""
HEADER_SUFFIXES = {
    Format.NIFTI_1: (".hdr",),
    Format.NIFTI_2: (".hdr",),
    Format.NRRD: (".nhdr",),
    Format.META: (".mhd",),
}
"""Suffixes of header files whose voxels may be in another file, by format."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Where and how an image's voxels are stored.

    Reading starts at ``offset_bytes`` of ``path``, skips ``skip_lines`` lines, decompresses, and skips ``skip_bytes``
    of the decompressed data.  With ``from_end``, the voxels are the last bytes of the file instead.
    """

    path: Path
    packing: Packing = Packing.RAW
    offset_bytes: int = 0
    skip_lines: int = 0
    skip_bytes: int = 0
    from_end: bool = False


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of an image file.

    ``kind`` is the numpy type of the stored numbers, in the file's byte order; ``components`` is the number of values
    in each voxel.  A voxel's value is the stored number times ``slope``, plus ``intercept``.  ``notes`` are sentences
    about harmless oddities of the file.
    """

    format: Format
    grid: FileGrid
    kind: np.dtype[Any]
    storage: Storage
    components: int = 1
    slope: float = 1.0
    intercept: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def dimensions(self) -> int:
        return len(self.grid.size)

    @property
    def voxels_bytes(self) -> int:
        count = self.components
        for n in self.grid.size:
            count *= n
        return count * self.kind.itemsize


def require_own_file(path: Path, storage: Storage, *, pairs: bool) -> None:
    """Raises ImageRefused unless the voxels of the image ``path`` are in that file or, if ``pairs``, in one existing
    file of the same folder, which is not a link.

    Otherwise a header could name any file as its voxels, even a file of another patient.
    """
    other = storage.path
    if other == path:
        return
    several = other.name.upper().startswith("LIST") or "%" in other.name
    if not pairs or several or other.parent != path.parent or other.is_symlink():
        raise ImageRefused(refusals.VOXELS_IN_OTHER_FILE)
    if not other.is_file():
        raise ImageRefused(
            f"The image keeps its voxels in the file '{other.name}', which is not beside it; put it there."
        )
