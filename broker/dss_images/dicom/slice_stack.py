"""Sorts slices to a stack, checks whether it is evenly spaced and perpendicular, and measures the deviations.

All positions are in millimetres, LPS.  Tags are taken literally: a direction that is rounded in its tag, so that its
length is not quite 1, is not normalised.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dss_images.dicom.errors import DicomRefused
from dss_images.dicom.slices import Slice, Vector, counted, named

Array = npt.NDArray[np.float64]

TOLERANCE_MM = 0.009
"""Largest distance, in millimetres, between a corner of the image and its position by the tags.

It is a little less than 0.01 mm, because a NIfTI header stores positions in single precision.
"""

_ISOLATED = 1.5
"""A step between slices is a gap if it is more than this many times as long as the steps beside it."""

_MOST_UNEVEN = 3.0
"""Largest ratio of the longest step to the shortest.  If it is larger, too much would have to be interpolated."""

_MOST_SKEWED = 1e-3
"""Largest cosine of the angle between the directions of rows and columns."""

_STEEPEST = 1.0
"""Tangent of the largest tilt of a stack of slices."""


@dataclass(frozen=True, kw_only=True)
class SliceStack:
    """Slices sorted by their position along the normal.

    The columns of ``axes`` (3, 3) are the directions of row, column and normal; ``first_mm`` is the position of the
    first slice.  From there, ``places_mm`` (n) are the positions along the normal, ``shifts_mm`` (n, 2) the offsets
    along row and column.  ``pixel_mm`` are the distances between columns and between rows.
    """

    slices: tuple[Slice, ...]
    axes: Array
    first_mm: Array
    places_mm: Array
    shifts_mm: Array
    pixel_mm: tuple[float, float]

    @property
    def shown_mm(self) -> list[float]:
        """Position of each slice for sentences: its coordinate on the patient axis that is closest to the normal."""
        axis = int(np.abs(self.axes[:, 2]).argmax())
        return [float((one.position_mm or (0.0,) * 3)[axis]) for one in self.slices]

    def name(self, indices: Sequence[int]) -> str:
        """The names and positions of the slices with the given indices, as part of a sentence."""
        shown = self.shown_mm
        return named([self.slices[i] for i in indices], [shown[i] for i in indices])


def stack_of(slices: Sequence[Slice]) -> SliceStack:
    """Sort ``slices`` along their normal.

    They must have position, orientation and spacing, and equal orientations and matrices.  Raises DicomRefused if the
    directions in the tags are not perpendicular or not of length 1.
    """
    first = slices[0]
    row, column = _directions(first.orientation or ())
    axes = np.stack([*_upright(slices, row, column)], axis=1)
    positions = np.array([one.position_mm for one in slices])
    order = np.argsort(positions @ axes[:, 2], kind="stable")
    along = (positions - positions[order[0]])[order] @ axes
    spacing = first.spacing_mm or ()
    return SliceStack(
        slices=tuple(slices[i] for i in order),
        axes=axes,
        first_mm=positions[order[0]],
        places_mm=along[:, 2],
        shifts_mm=along[:, :2],
        pixel_mm=(
            _as_written(spacing[1], row, first.columns),
            _as_written(spacing[0], column, first.rows),
        ),
    )


def _directions(orientation: Vector) -> tuple[Array, Array]:
    return np.array(orientation[:3]), np.array(orientation[3:])


def _upright(slices: Sequence[Slice], row: Array, column: Array) -> tuple[Array, Array, Array]:
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    skewed = abs(float(row @ column)) > _MOST_SKEWED
    if skewed or any(abs(length - 1) > 10 * _MOST_SKEWED for length in lengths):
        raise DicomRefused(
            f"The ImageOrientationPatient of {named(slices)} has no two directions of length 1 at right "
            "angles; export the series anew."
        )
    x = row / lengths[0]
    y = column / lengths[1]
    middle, half = x + y, x - y  # at right angles to each other, whatever x and y are
    middle, half = middle / np.linalg.norm(middle), half / np.linalg.norm(half)
    x, y = (middle + half) / math.sqrt(2), (middle - half) / math.sqrt(2)
    return x, y, np.cross(x, y)


def _as_written(spacing_mm: float, direction: Array, count: int) -> float:
    """The distance between ``count`` pixels along a direction from the tags, whose length may be rounded.

    It is ``spacing_mm`` times the length of the vector ``direction``; but ``spacing_mm`` itself if that makes a
    difference of at most 0.001 mm over all pixels.
    """
    length = float(np.linalg.norm(direction))
    return spacing_mm * length if abs(length - 1) * spacing_mm * count > 1e-3 else spacing_mm


@dataclass(frozen=True, kw_only=True)
class EvenSteps:
    """The positions of an evenly spaced stack along the normal: its start, from the first slice, and its step."""

    start_mm: float
    step_mm: float


def even_steps(stack: SliceStack, spent_mm: float = 0.0) -> EvenSteps | None:
    """The even steps that fit a stack best; None if the stack is not even and perpendicular within TOLERANCE_MM.

    That is so if a slice would be moved from the position in its tags, or is shifted along row or column.  ``spent_mm``
    is the part of the tolerance that the slices' directions already use.
    """
    count = len(stack.slices)
    step = float(stack.places_mm[-1]) / (count - 1)
    off = stack.places_mm - step * np.arange(count)
    start = float(off.max() + off.min()) / 2 if np.abs(off).max() > TOLERANCE_MM / 2 else 0.0
    aside = np.linalg.norm(stack.shifts_mm, axis=1).max()
    worst = math.hypot(float(np.abs(off - start).max()), float(aside))
    return EvenSteps(start_mm=start, step_mm=step) if worst + spent_mm <= TOLERANCE_MM else None


def corner_error_mm(stack: SliceStack) -> Array:
    """For each slice, the error in millimetres of using the stack's directions and spacing instead of its own tags.

    It is the largest distance between a corner by the stack and by the tags, without the error of the slice's position.
    """
    first = stack.slices[0]
    pixels = np.array([first.columns, first.rows], dtype=float) - 0.5
    own = stack.axes[:, :2] * stack.pixel_mm
    errors = []
    for one in stack.slices:
        row, column = _directions(one.orientation or ())
        between = one.spacing_mm or (0.0, 0.0)
        tags = np.stack([row * between[1], column * between[0]], axis=1)
        difference = tags - own
        corners = [difference @ (pixels * mask) for mask in ((1, 0), (0, 1), (1, 1))]
        errors.append(max(float(np.linalg.norm(corner)) for corner in corners))
    return np.array(errors)


def require_no_gap(stack: SliceStack) -> None:
    """Raises DicomRefused, naming the slices, if slices seem to be missing or steps differ too much."""
    steps = np.diff(stack.places_mm)
    gaps = [i for i in range(len(steps)) if _is_gap(stack, steps, i)]
    if gaps:
        usual = float(np.median(np.delete(steps, gaps))) if len(gaps) < len(steps) else steps.min()
        listed = "; ".join(_gap(stack, i, steps[i], usual) for i in gaps[:3])
        more = f"; and at {len(gaps) - 3} more places" if len(gaps) > 3 else ""
        raise DicomRefused(
            f"Slices are missing: {listed}{more}. Send the complete series; nothing is made up in between."
        )
    if steps.max() > _MOST_UNEVEN * steps.min():
        short, long = int(steps.argmin()), int(steps.argmax())
        raise DicomRefused(
            f"The steps between the slices differ too much: {steps[short]:.2f} mm between "
            f"{stack.name([short, short + 1])}, {steps[long]:.2f} mm between "
            f"{stack.name([long, long + 1])}. Send a series with one step."
        )


def _is_gap(stack: SliceStack, steps: Array, i: int) -> bool:
    beside = [steps[j] for j in (i - 1, i + 1) if 0 <= j < len(steps)]
    if not beside:
        return False
    return bool(steps[i] > _ISOLATED * max(beside)) or _numbers_jump(stack, steps, i)


def _numbers_jump(stack: SliceStack, steps: Array, i: int) -> bool:
    """True if step ``i`` is long, and the InstanceNumbers jump there and not at the short steps."""
    if steps[i] <= _ISOLATED * steps.min():
        return False
    numbers = [one.number for one in stack.slices]
    if None in numbers:
        return False
    jumps = np.abs(np.diff(np.array(numbers, dtype=float)))
    usual = jumps[steps <= _ISOLATED * steps.min()]
    return bool((usual == usual[0]).all() and usual[0] > 0 and jumps[i] > usual[0])


def _gap(stack: SliceStack, i: int, step_mm: float, usual_mm: float) -> str:
    lost = max(round(step_mm / usual_mm) - 1, 1)
    return f"{counted(lost, 'slice')} between {stack.name([i, i + 1])}"


def tilt_degrees(stack: SliceStack) -> float:
    """The gantry tilt, in degrees, that an evenly shifted stack has; 0.0 if the slices are not shifted."""
    return math.degrees(math.atan(_tangent(stack)))


def _tangent(stack: SliceStack) -> float:
    return float(np.linalg.norm(stack.shifts_mm[-1]) / max(float(stack.places_mm[-1]), 1e-9))


def is_evenly_tilted(stack: SliceStack) -> bool:
    """True if the shift of every slice is nearly proportional to its position along the normal, as with a tilted
    gantry; also if no slice is shifted.
    """
    expected = np.outer(stack.places_mm / stack.places_mm[-1], stack.shifts_mm[-1])
    return bool(np.abs(stack.shifts_mm - expected).max() <= 10 * TOLERANCE_MM)


def require_stacked(stack: SliceStack) -> None:
    """Raises DicomRefused if the slices lie side by side rather than in a stack: one is shifted against the next by
    more than half its size, or all are tilted by more than 45 degrees (_STEEPEST).
    """
    size = (stack.slices[0].columns * stack.pixel_mm[0], stack.slices[0].rows * stack.pixel_mm[1])
    jumps = np.abs(np.diff(stack.shifts_mm, axis=0))
    far = [i for i in range(len(jumps)) if (jumps[i] > np.divide(size, 2)).any()]
    if far or _tangent(stack) > _STEEPEST:
        pair = [far[0], far[0] + 1] if far else [0, len(stack.slices) - 1]
        raise DicomRefused(
            f"{stack.name(pair)} lie beside each other, not above each other; send a series that was "
            "taken in one piece."
        )
