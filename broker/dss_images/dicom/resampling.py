"""Resamples tilted, shifted or unevenly spaced slices to an evenly spaced perpendicular stack, by linear interpolation.

The new grid keeps the directions of the slices and the size of their pixels.  It begins at the first slice and ends at
the last, and is wide enough to contain every slice.  Values are interpolated linearly within a slice and between two
slices, and are extrapolated up to half a pixel beyond the centre of the outermost pixel.  Voxels outside all slices get
the smallest value of the series.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.slice_stack import TOLERANCE_MM, Array, SliceStack, is_evenly_tilted
from dss_images.dicom.slices import Slice

_MOST_WIDENED = 4.0
_EVEN_SHARE = 0.25
"""The number of slices is kept if no slice is farther than this fraction of a step from an even position."""


@dataclass(frozen=True, kw_only=True)
class NewGrid:
    """The grid of the resampled image.

    ``corner_mm`` is the offset (along row, along column) of its first voxel from the first voxel of the first slice;
    ``places_mm`` are the positions of the new planes along the normal, from the first slice; ``columns`` and ``rows``
    are the size of a plane.
    """

    corner_mm: Array
    places_mm: Array
    columns: int
    rows: int


def grid_for(stack: SliceStack) -> NewGrid:
    """The smallest new grid whose planes contain every slice of ``stack``.

    Raises DicomRefused if a plane would have more than _MOST_WIDENED times the pixels of a slice.
    """
    low, high = stack.shifts_mm.min(axis=0), stack.shifts_mm.max(axis=0)
    more = [math.ceil((high[k] - low[k] - TOLERANCE_MM) / stack.pixel_mm[k]) for k in range(2)]
    first = stack.slices[0]
    columns, rows = first.columns + max(more[0], 0), first.rows + max(more[1], 0)
    if columns * rows > _MOST_WIDENED * first.columns * first.rows:
        far = np.linalg.norm(stack.shifts_mm, axis=1)
        raise DicomRefused(
            f"{stack.name([0, int(far.argmax())])} are shifted against each other by {far.max():.0f} mm, "
            "more than their own size; send a series that was taken in one piece."
        )
    return NewGrid(corner_mm=low, places_mm=_planes(stack), columns=columns, rows=rows)


def _planes(stack: SliceStack) -> Array:
    """Evenly spaced positions of the new planes along the normal, in millimetres.

    There are as many as slices if the slices are nearly evenly spaced; otherwise their step is about the smallest step
    of the slices.
    """
    places = stack.places_mm
    count, length = len(places), float(places[-1])
    even = np.linspace(0.0, length, count)
    if np.abs(places - even).max() > _EVEN_SHARE * length / (count - 1):
        count = round(length / float(np.diff(places).min())) + 1
    return np.linspace(0.0, length, count)


def planes(
    stack: SliceStack,
    grid: NewGrid,
    values: Callable[[Slice], npt.NDArray[np.generic]],
    outside: float,
) -> Iterator[Array]:
    """The new planes (rows, columns), in order.  ``values`` reads a slice; ``outside`` is the value outside all slices.

    A tilted stack is interpolated along its own axis, which keeps its sides straight; slices that are shifted otherwise
    are interpolated along the normal.
    """
    tilted = is_evenly_tilted(stack)
    read_planes: dict[int, Array] = {}
    for place in grid.places_mm:
        below = int(np.clip(np.searchsorted(stack.places_mm, place), 1, len(stack.slices) - 1)) - 1
        for index in (below, below + 1):
            if index not in read_planes:
                plane = values(stack.slices[index]).astype(np.float64)
                shift = stack.shifts_mm[index]
                read_planes[index] = plane if tilted else _moved(stack, shift, grid, plane)
        read_planes = {index: read_planes[index] for index in (below, below + 1)}
        weight = _weight(stack, below, float(place))
        plane = _between(read_planes[below], read_planes[below + 1], weight)
        if tilted:
            shift = stack.shifts_mm[below] * (1 - weight) + stack.shifts_mm[below + 1] * weight
            plane = _moved(stack, shift, grid, plane)
        yield np.where(np.isnan(plane), outside, plane)


def _between(below: Array, above: Array, weight: float) -> Array:
    if weight in {0.0, 1.0}:
        return above if weight else below
    return (1 - weight) * below + weight * above


def _weight(stack: SliceStack, below: int, place: float) -> float:
    """Weight (0 to 1) of the slice ``below + 1`` in the interpolation between the slices ``below`` and ``below + 1``.

    ``place`` is the position along the normal in millimetres.  If a slice is there, the weight is exactly 0 or 1, so
    that the other slice has no influence.
    """
    start, end = stack.places_mm[below], stack.places_mm[below + 1]
    if abs(place - start) <= 1e-6:
        return 0.0
    return 1.0 if abs(place - end) <= 1e-6 else float((place - start) / (end - start))


def _moved(stack: SliceStack, shift_mm: Array, grid: NewGrid, plane: Array) -> Array:
    shift = (shift_mm - grid.corner_mm) / stack.pixel_mm
    wide = _along(plane, float(shift[0]), grid.columns)
    return _along(wide.T, float(shift[1]), grid.rows).T


def _along(plane: Array, shift: float, count: int) -> Array:
    """Move ``plane`` by ``shift`` columns, which may be a fraction, into a plane with ``count`` columns.

    Values are interpolated linearly; they are NaN in columns that ``plane`` does not cover.
    """
    place = np.arange(count) - (round(shift) if abs(shift - round(shift)) < 1e-6 else shift)
    own = plane.shape[1]
    left = np.clip(np.floor(place).astype(int), 0, max(own - 2, 0))
    weight = place - left
    right = np.minimum(left + 1, own - 1)
    moved: Array = plane[:, left] * (1 - weight) + plane[:, right] * weight
    moved[:, (place < -0.5) | (place > own - 0.5)] = np.nan
    return moved
