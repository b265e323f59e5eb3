"""The part of an image to segment, as a request names it, and its position in the file."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dss_images.grid import FileGrid, Grid
from dss_images.patient_axes import Voxels
from dss_inference.errors import InferenceError

TIME_POINT, CROP_BOX = "time_point", "crop_box"


@dataclass(frozen=True, kw_only=True)
class Box:
    """Voxels from the index ``first`` up to, but not including, ``end``; indices (x, y, z) from 0, in the image's own
    order.
    """

    first: tuple[int, int, int]
    end: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The index expression that selects the box in an array (z, y, x)."""
        z, y, x = (slice(a, b) for a, b in zip(self.first[::-1], self.end[::-1], strict=True))
        return z, y, x

    def of(self, grid: Grid) -> Grid:
        """The part of ``grid`` that is in the box, as a grid."""
        x, y, z = (float(c) for c in grid.point_mm(np.array(self.first, np.float64)))
        i, j, k = (b - a for a, b in zip(self.first, self.end, strict=True))
        return Grid(
            size=(i, j, k),
            spacing_mm=grid.spacing_mm,
            origin_mm=(x, y, z),
            direction=grid.direction,
        )


@dataclass(frozen=True, kw_only=True)
class Region:
    """The voxels that a request asks to segment: ``box`` (None: all voxels) in the frame ``time_point``, from 1 (None:
    the only frame).
    """

    time_point: int | None = None
    box: Box | None = None


UNRESTRICTED = Region()


@dataclass(frozen=True, kw_only=True)
class FileRegion:
    """A position in a file with ``grid``: the ``box`` of the frame ``time_point`` (from 1; also 1 if the file is 3D)."""

    grid: FileGrid
    time_point: int
    box: Box

    def put_back(self, voxels: Voxels) -> Voxels:
        """An array of the file's size, (z, y, x) or (t, z, y, x), with ``voxels`` (z, y, x) in the box of the frame
        ``time_point``, and 0 in the rest of that frame and in all other frames.
        """
        complete = np.zeros(self.grid.size[::-1], voxels.dtype)
        frame = complete[self.time_point - 1] if complete.ndim > 3 else complete
        frame[self.box.slices] = voxels
        return complete


def region_of(parameters: Mapping[str, str]) -> Region:
    """Read the request's parameters ``time_point``, the frame's number from 1, and ``crop_box``, six numbers from 0: x
    y z of the first voxel, then x y z after the last one.  Either may be missing.

    Raises InferenceError if a value has another form.
    """
    time_point = _numbers(parameters, TIME_POINT, 1)
    ends = _numbers(parameters, CROP_BOX, 6)
    return Region(
        time_point=time_point[0] if time_point else None,
        box=Box(first=(ends[0], ends[1], ends[2]), end=(ends[3], ends[4], ends[5]))
        if ends
        else None,
    )


def place_in(grid: FileGrid, region: Region) -> FileRegion:
    """The position of ``region`` in a file with ``grid``.  Raises InferenceError if the box is empty or not in the
    image, if there is no such frame, or if there are several frames and the region names none.
    """
    size = grid.volume.size
    box = region.box or Box(first=(0, 0, 0), end=size)
    sides = zip(box.first, box.end, size, strict=True)
    if not all(0 <= first < end <= n for first, end, n in sides):
        requested, there = _shown(box.first) + " to " + _shown(box.end), _shown(size)
        raise InferenceError(
            f"The crop box {requested} does not lie in the image of {there} voxels."
        )
    return FileRegion(grid=grid, time_point=_frame(grid, region.time_point), box=box)


def _frame(grid: FileGrid, requested: int | None) -> int:
    frames = grid.frames
    if requested is None and frames > 1:
        raise InferenceError(
            f"The image has {frames} time points; say which one is to be looked at (time_point, 1 to {frames})."
        )
    if requested is not None and not 1 <= requested <= frames:
        raise InferenceError(
            f"Time point {requested} is to be looked at, but the image has {frames} of them."
        )
    return requested or 1


def _numbers(parameters: Mapping[str, str], name: str, count: int) -> list[int]:
    """The ``count`` whole numbers of the parameter ``name``, separated by spaces or commas; [] if it is missing or
    blank. Raises InferenceError if it has another form.
    """
    words = parameters.get(name, "").replace(",", " ").split()
    if words and (len(words) != count or not all(_is_number(word) for word in words)):
        needed = "a whole number" if count == 1 else f"{count} whole numbers"
        raise InferenceError(f"The parameter {name} is '{parameters[name]}'; it must be {needed}.")
    return [int(word) for word in words]


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 10


def _shown(numbers: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in numbers)
