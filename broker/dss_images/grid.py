# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The grid of an image in ITK's convention, index order (x, y, z), millimetres, LPS, and comparisons of grids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

DIRECTION_TOLERANCE = 1e-4
"""Largest difference between elements of the direction matrices of two equal grids, as in ITK-SNAP
(ImageIODelegates.cxx:197-250).
"""
ORTHOGONALITY_TOLERANCE = 1e-3
"""Largest cosine of the angle between two axes that count as perpendicular."""
POSITION_TOLERANCE = 1e-6
"""Largest displacement of a grid's corners by storing it in single precision, relative to their coordinates."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The grid of a volume: size and spacing along its axes (x, y, z), and the centre of the first voxel in LPS.

    ``direction`` is a 3x3 matrix by rows; its columns are the unit vectors of the axes.
    """

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self.spacing_mm)) / 1000

    def point_mm(self, index: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """The point (3,) in LPS, in millimetres, of a voxel index (x, y, z), which may be fractional."""
        axes = np.array(self.direction).reshape(3, 3)
        return np.asarray(self.origin_mm + axes @ (index * self.spacing_mm), np.float64)

    def index_of(self, point_mm: Sequence[float]) -> npt.NDArray[np.float64]:
        """The voxel index (x, y, z) of a point in LPS.  It is fractional; integers are the centres of voxels."""
        axes = np.array(self.direction).reshape(3, 3) * self.spacing_mm
        return np.asarray(np.linalg.solve(axes, np.subtract(point_mm, self.origin_mm)), np.float64)

    def corners_mm(self) -> Matrix:
        """The centres (8, 3) of the eight voxels at the corners of the volume, in LPS."""
        ends = [(0, n - 1) for n in self.size]
        indices = [(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]]
        return np.array([self.point_mm(np.array(index, float)) for index in indices])

    def is_same_as(self, other: "Grid") -> bool:
        """True if ``other`` is the same grid: size, spacing and origin are equal to the last bit, and the elements of
        ``direction`` differ by at most DIRECTION_TOLERANCE.
        """
        return difference(self, other) == ""


@dataclass(frozen=True, kw_only=True)
class FileGrid:
    """The grid of an image file with n axes: (x, y), (x, y, z), or (x, y, z, t) with time points.

    It has size and spacing along these axes, and the centre of the first voxel, in LPS and millimetres.  ``direction``
    is an n x n matrix by rows; its columns are the unit vectors of the axes.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]

    @property
    def frames(self) -> int:
        return self.size[3] if len(self.size) > 3 else 1

    @property
    def volume(self) -> Grid:
        """The grid in space, which is the same for all time points.  The file must have three or four axes."""
        (i, j, k), (a, b, c), (x, y, z) = self.size[:3], self.spacing_mm[:3], self.origin_mm[:3]
        axes = np.array(self.direction).reshape(len(self.size), -1)[:3, :3]
        return Grid(
            size=(i, j, k),
            spacing_mm=(a, b, c),
            origin_mm=(x, y, z),
            direction=tuple(float(cosine) for cosine in axes.ravel()),
        )

    def is_same_as(self, other: "FileGrid") -> bool:
        """True if ``other``, with the same number of time points, is the same grid in space: size, spacing and origin
        are equal to the last bit, and the elements of ``direction`` differ by at most DIRECTION_TOLERANCE.

        The spacing of time points is not compared.  Both must have three or four axes.
        """
        return self.size == other.size and self.volume.is_same_as(other.volume)


def file_grid_of(image: sitk.Image | sitk.ImageFileReader) -> FileGrid:
    """The grid of a SimpleITK image, or of a SimpleITK reader that has read a header."""
    return FileGrid(
        size=tuple(image.GetSize()),
        spacing_mm=tuple(image.GetSpacing()),
        origin_mm=tuple(image.GetOrigin()),
        direction=tuple(image.GetDirection()),
    )


def grid_from(
    size: Sequence[int], steps_mm: Matrix, origin_mm: Sequence[float], frame_spacing: float = 1.0
) -> FileGrid:
    """A grid from the steps between voxels.

    The columns of ``steps_mm`` (3, n) are the steps in LPS along the first n axes; ``frame_spacing`` is the spacing of
    time points.  With fewer than three axes, only the size in the result is correct.
    """
    count = len(size)
    spacing, direction = np.ones(count), np.eye(count)
    with np.errstate(all="ignore"):  # a length that is not finite is refused later
        lengths = np.array([_length(step) for step in steps_mm.T])
        spacing[: len(lengths)] = lengths
        cosines = steps_mm / lengths
    rows = min(3, count)
    direction[:rows, : len(lengths)] = cosines[:rows]
    spacing[3:] = frame_spacing
    origin = [*origin_mm, *[0.0] * count][:count]
    return FileGrid(
        size=tuple(int(n) for n in size),
        spacing_mm=tuple(float(s) for s in spacing),
        origin_mm=tuple(float(x) for x in origin),
        direction=tuple(float(c) for c in direction.ravel()),
    )


def _length(step: npt.NDArray[Any]) -> float:
    """Euclidean length of a step (3,), summed in ITK's order, so that it is equal to ITK's result to the last bit."""
    x, y, z = (float(part) for part in step)
    return float(np.sqrt(x * x + y * y + z * z))


def apart_mm(one: Grid, other: Grid) -> float:
    """The largest distance between corresponding corners of two grids, in millimetres."""
    return float(np.linalg.norm(one.corners_mm() - other.corners_mm(), axis=1).max())


def nearly_same(one: FileGrid, other: FileGrid) -> bool:
    """True if the grids in space are equal but for rounding to single precision, and all axes have equal sizes.

    Corners may differ by POSITION_TOLERANCE times the sum of their largest coordinate and the longest side (at least 1 mm).
    """
    if one.size != other.size:
        return False
    reach = float(np.abs(one.volume.corners_mm()).max())
    reach += float(np.multiply(one.volume.size, one.volume.spacing_mm).max())
    return apart_mm(one.volume, other.volume) <= POSITION_TOLERANCE * max(reach, 1.0)


def difference(found: Grid, needed: Grid) -> str:
    """The first difference between two grids (size, spacing, origin, direction), as part of a sentence; "" if they are
    the same grid, as defined by ``Grid.is_same_as``.
    """
    for name, a, b in (
        ("size", found.size, needed.size),
        ("spacing", found.spacing_mm, needed.spacing_mm),
        ("origin", found.origin_mm, needed.origin_mm),
    ):
        if a != b:
            return f"{name} {_listed(a)} instead of {_listed(b)}"
    if not np.allclose(found.direction, needed.direction, rtol=0, atol=DIRECTION_TOLERANCE):
        return f"direction {_listed(found.direction)} instead of {_listed(needed.direction)}"
    return ""


def _listed(numbers: Sequence[float]) -> str:
    return "(" + ", ".join(repr(n) for n in numbers) + ")"
