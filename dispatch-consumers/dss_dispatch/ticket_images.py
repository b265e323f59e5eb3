# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Reads headers of a ticket's image files, and values of its segmentations.

``dss_images`` reads the files; its errors become TicketErrors that name the file.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_datastore.writing import put_in_place
from dss_dispatch.errors import ImageDamaged, TicketError
from dss_images import errors, labels, reading, requirements
from dss_images.grid import Grid, difference, nearly_same
from dss_images.header import SUFFIXES, Header
from dss_images.mesh.reading import read_mesh
from dss_images.mesh.surface import require_in_image

UNSIGNED_PIXELS = frozenset({"u1", "u2"})
"""Pixel types of a segmentation: ITK-SNAP's labels are unsigned integers up to 65535."""
INTEGER_PIXELS = UNSIGNED_PIXELS | {"i1", "i2", "i4", "u4", "i8", "u8"}
"""Pixel types of segmentations from other programs, whose values are checked."""

IN_GRID = "in-grid.mha"
"""Name of the file that ``in_grid_of`` writes."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """An image's header.  Index order (x, y, z, ...), millimetres, LPS, as in ITK.

    A fourth axis, time, is in ``size`` only.  ``pixel_type`` is numpy's, without byte order.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]
    components: int
    pixel_type: str

    @property
    def dimensions(self) -> int:
        return len(self.size)

    @property
    def grid(self) -> Grid:
        """The grid in space; the image has three dimensions or more."""
        (i, j, k), (a, b, c), (x, y, z) = self.size[:3], self.spacing_mm, self.origin_mm
        return Grid(
            size=(i, j, k), spacing_mm=(a, b, c), origin_mm=(x, y, z), direction=self.direction
        )

    def index_of(self, point_mm: Sequence[float]) -> npt.NDArray[np.float64]:
        """The index (x, y, z) of a point in LPS; integers are the centres of voxels."""
        return self.grid.index_of(point_mm)


def read_volume(path: Path) -> ImageHeader:
    """The header of the image that is to be segmented.

    Raises TicketError if the image is refused; the sentence is the same as that of the client and of the worker.
    """
    with _ticket_errors(lambda sentence: sentence):
        header = reading.read_header(path)
        requirements.require_volume(header)
    return _image(header)


def read_header(path: Path) -> ImageHeader:
    """The header of any image.  Raises TicketError if the file is no image in a format that this program reads."""
    return _image(_read_file(path, reading.read_header))


def first_not_finite(path: Path) -> tuple[int, int, int] | None:
    """The index (x, y, z), from 0, of the first voxel that is NaN or infinite; None if there is none.

    Raises TicketError if the file is no image, or if voxels are missing or damaged in it.
    """
    return _read_file(path, lambda p: reading.first_not_finite(reading.read_header(p)))


def check_mesh(path: Path, main: ImageHeader) -> None:
    """Raises TicketError unless the file is a mesh that ITK-SNAP loads, and lies in the main image."""
    _read_file(path, lambda p: require_in_image(read_mesh(p), main.grid))


def has_image_suffix(name: str) -> bool:
    """True if ``name`` has a suffix of an image format that this program reads."""
    return name.lower().endswith(tuple(s for ends in SUFFIXES.values() for s in ends))


def label_values(path: Path) -> frozenset[int]:
    """The values of a segmentation, read as unsigned 16-bit, without 0.  Raises TicketError if the file cannot be read."""
    return _read_file(path, labels.label_values)


def label_volumes(path: Path) -> dict[int, float]:
    """Volumes of a segmentation's labels in millilitres, by value, without 0.  Raises TicketError if the file cannot be
    read.
    """
    return _read_file(path, labels.label_volumes)


def label_range(path: Path) -> tuple[int, int]:
    """The lowest and the highest value of a segmentation of integers.  Raises TicketError if the file cannot be read."""
    return _read_file(path, labels.label_range)


def same_voxels(path: Path, other: Path) -> bool:
    """True if two images with equal headers have equal voxels.  Raises TicketError if a file cannot be read."""
    return _read_file(path, lambda p: labels.same_voxels(p, other))


def grid_difference(found: ImageHeader, needed: ImageHeader) -> str:
    """The difference of the two grids, as part of a sentence; "" if there is none."""
    if found.size != needed.size:
        return f"size {found.size} instead of {needed.size}"
    return difference(found.grid, needed.grid)


def in_grid_of(segmentation: Path, image: Path) -> Path:
    """``segmentation`` itself if it has exactly the grid of ``image``, or an entirely different one.  If they differ by
    rounding, a new file beside it with the same voxels and the image's own grid: NRRD does not store the spacing itself,
    and ITK-SNAP compares grids exactly.

    Raises TicketError if a file cannot be read, RuntimeError if ITK cannot write the new one.
    """
    found = _read_file(segmentation, reading.read_header).grid
    needed = _read_file(image, reading.read_header).grid
    if found == needed or len(found.size) < 3 or not nearly_same(found, needed):
        return segmentation
    target = segmentation.with_name(IN_GRID)
    partial = segmentation.with_name(f"partial-{IN_GRID}")
    moved = sitk.ReadImage(str(segmentation))
    moved.SetSpacing(needed.spacing_mm)
    moved.SetOrigin(needed.origin_mm)
    moved.SetDirection(needed.direction)
    sitk.WriteImage(moved, str(partial), True)
    put_in_place(partial, target)
    return target


def renumber(source: Path, target: Path, places: dict[int, int]) -> None:
    """Write the segmentation ``source`` to ``target`` in the same grid.  A value that is a key of ``places`` is
    replaced by the value there; other values stay.  Voxels get 8 bits, or 16 if a value of the result is above 255.
    """
    image = sitk.ReadImage(str(source), sitk.sitkUInt16)
    changed = sitk.ChangeLabel(image, {a: b for a, b in places.items() if a != b})
    is_small = sitk.GetArrayViewFromImage(changed).max(initial=0) <= 255
    sitk.WriteImage(sitk.Cast(changed, sitk.sitkUInt8) if is_small else changed, str(target), True)


def _image(header: Header) -> ImageHeader:
    grid, n = header.grid, header.dimensions
    axes = np.array(grid.direction).reshape(n, n)[:3, :3]
    return ImageHeader(
        size=grid.size,
        spacing_mm=grid.spacing_mm[:3],
        origin_mm=grid.origin_mm[:3],
        direction=tuple(float(cosine) for cosine in axes.ravel()),
        components=header.components,
        pixel_type=_pixel_type(header),
    )


def _pixel_type(header: Header) -> str:
    """The type that ITK reads: voxels with a slope or an intercept become floating-point numbers."""
    is_plain = (header.slope, header.intercept) == (1.0, 0.0)
    return header.kind.str[1:] if is_plain else "f8"


def _read_file(path: Path, read: Callable[[Path], T]) -> T:
    """The result of ``read`` for ``path``.  Errors are turned into a TicketError that names the file."""
    with _ticket_errors(lambda sentence: f"The file '{path.name}' cannot be used. {sentence}"):
        return read(path)


@contextmanager
def _ticket_errors(sentence: Callable[[str], str]) -> Iterator[None]:
    try:
        yield
    except errors.ImageDamaged as error:
        raise ImageDamaged(sentence(str(error))) from error
    except errors.ImageRefused as error:
        raise TicketError(sentence(str(error))) from error
