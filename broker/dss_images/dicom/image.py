# mypy: allow-untyped-calls
# (SimpleITK ships no types; it is imported where it is used, because it takes a second to load)
"""Builds the image of a series from its Plan: computes the grid, and fills the image plane by plane to save memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.notes import Note
from dss_images.dicom.pixels import value_type, values_of
from dss_images.dicom.plan import Plan
from dss_images.dicom.resampling import NewGrid, grid_for, planes
from dss_images.dicom.series import Progress
from dss_images.dicom.slice_stack import TOLERANCE_MM, Array, SliceStack
from dss_images.errors import ImageRefused
from dss_images.requirements import require_extent

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

_PASTED_BYTES = 16 * 2**20
_STEP_DIGITS = 9
"""Decimals to which the slice step is rounded, so that 3 mm do not become 2.9999999999999996."""

_COARSE = 200.0
"""If the values of a resampled series have a smaller range than this, they are stored as floating-point numbers,
because rounding to integers would be visible.
"""


@dataclass(frozen=True, kw_only=True)
class SeriesGrid:
    """The grid of the image: ``size`` in voxels, spacing and origin in millimetres, all (x, y, z), in LPS.

    The columns of ``axes`` (3, 3) are the directions of x, y and z.
    """

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, ...]
    axes: Array


def grid_of(plan: Plan) -> SeriesGrid:
    """The grid of the image that ``plan`` describes.

    Raises DicomRefused if the slices are shifted too far against each other, or the image is too small or too large.
    """
    grid = _grid_of(plan)
    try:
        require_extent(grid.size, grid.spacing_mm, value_type(plan.stack.slices).itemsize)
    except ImageRefused as refusal:
        raise DicomRefused(str(refusal)) from refusal
    return grid


def _grid_of(plan: Plan) -> SeriesGrid:
    stack = plan.stack
    if plan.steps is not None:
        first = stack.slices[0]
        size = (first.columns, first.rows, len(stack.slices))
        start = np.array([0.0, 0.0, plan.steps.start_mm])
        return _grid(stack, size, plan.steps.step_mm, start)
    new = grid_for(stack)
    size = (new.columns, new.rows, len(new.places_mm))
    step = float(new.places_mm[-1]) / (len(new.places_mm) - 1)
    return _grid(stack, size, step, np.array([*new.corner_mm, 0.0]))


def _grid(
    stack: SliceStack, size: tuple[int, int, int], step_mm: float, corner: Array
) -> SeriesGrid:
    return SeriesGrid(
        size=size,
        spacing_mm=(*stack.pixel_mm, round(step_mm, _STEP_DIGITS)),
        origin_mm=tuple((stack.first_mm + stack.axes @ corner).tolist()),
        axes=stack.axes,
    )


def build(plan: Plan, progress: Progress) -> "tuple[sitk.Image, tuple[Note, ...]]":
    """The image that ``plan`` describes, and notes for the user in addition to the plan's.  Raises DicomRefused.

    ``progress`` is called with the fraction of the planes that are done.
    """
    grid = grid_of(plan)
    if plan.steps is not None:
        kind = value_type(plan.stack.slices)
        exact = (values_of(one, kind) for one in plan.stack.slices)
        return _filled(grid, kind, exact, progress), ()
    new = grid_for(plan.stack)
    low, high = _range(plan.stack)
    kind = value_type(plan.stack.slices)
    if kind.kind != "f" and high - low < _COARSE:
        kind = np.dtype(np.float32)
    made = planes(plan.stack, new, values_of, low)
    filled = _filled(grid, kind, (_as(kind, plane) for plane in made), progress)
    return filled, _widened(plan.stack, new, low)


def _widened(stack: SliceStack, new: NewGrid, outside: float) -> tuple[Note, ...]:
    if np.ptp(stack.shifts_mm, axis=0).max() <= TOLERANCE_MM:
        return ()
    size = f"{new.columns} x {new.rows}"
    text = (
        f"Each plane has {size} voxels now; those that no slice covers have the value {outside:g}."
    )
    return (Note(text=text),)


def _range(stack: SliceStack) -> tuple[float, float]:
    ends = [(values.min(), values.max()) for values in map(values_of, stack.slices)]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def _as(kind: np.dtype[np.generic], plane: Array) -> npt.NDArray[np.generic]:
    if kind.kind == "f":
        return plane.astype(kind)
    ends = np.iinfo(kind.name)
    return np.clip(np.rint(plane), ends.min, ends.max).astype(kind)


def _filled(
    grid: SeriesGrid,
    kind: np.dtype[np.generic],
    made: Iterator[npt.NDArray[np.generic]],
    progress: Progress,
) -> "sitk.Image":
    import SimpleITK as sitk  # noqa: PLC0415, N813  (slow to import)

    columns, rows, count = grid.size
    at_once = max(1, min(count, _PASTED_BYTES // max(rows * columns * kind.itemsize, 1)))
    part = np.empty((at_once, rows, columns), kind)
    image = sitk.Image(list(grid.size), sitk.GetImageFromArray(part[:1, :1, :1]).GetPixelID())
    for begin in range(0, count, at_once):
        end = min(begin + at_once, count)
        for k in range(begin, end):
            part[k - begin] = next(made)
            progress((k + 1) / count)
        image[:, :, begin:end] = sitk.GetImageFromArray(part[: end - begin])
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.axes.ravel().tolist())
    return image
