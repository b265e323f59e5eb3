"""Measures how far apart segmented lungs lie, how deep they are, and how much less lung a slice shows than slices above
and below it.

Heart, spine and vessels take about a third of the width between the outer surfaces of healthy lungs.  Lung that is lost
beside them widens this gap, also where both lungs lost the same.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.sides import LEFT, RIGHT, Sides
from dss_inference.lungs.view import Flags, Triple

_LEAST_TURN_DEG = 15.0
"""From here on, rows are turned into the direction from the right lung to the left one."""
_LARGE = 0.5
"""Depth and width are measured in slices with more than this share of the largest section."""


def apart(sides: Sides, spacing_mm: Triple) -> float:
    """The width between the left and the right lung as a share 0..1 of the width of both with it, over all rows that
    show both.

    Both sides must be set; 0 if no row shows both.
    """
    edges = _edges(in_rows(sides, spacing_mm))
    gap = np.maximum(edges.inner_left - edges.inner_right - 1, 0).sum()
    return float(gap) / max(1.0, float(edges.wide.sum()))


def gap_middle(sides: Sides) -> float:
    """How far the middle of the gap between the lungs lies to the left of the middle of both lungs, as a share of the
    width of both with the gap, over all rows that show both.  0 if no row shows both.
    """
    edges = _edges(sides)
    away = edges.inner_left + edges.inner_right - edges.outer_left - edges.outer_right
    return float(away.sum()) / 2 / max(1.0, float(edges.wide.sum()))


@dataclass(frozen=True, kw_only=True)
class _Edges:
    """The indices x at which the lungs begin and end in the rows that show both, arrays (rows,)."""

    outer_right: npt.NDArray[np.int64]
    inner_right: npt.NDArray[np.int64]
    inner_left: npt.NDArray[np.int64]
    outer_left: npt.NDArray[np.int64]

    @property
    def wide(self) -> npt.NDArray[np.int64]:
        return np.asarray(np.maximum(self.outer_left - self.outer_right + 1, 1), np.int64)


def _edges(sides: Sides) -> _Edges:
    right, left = sides == RIGHT, sides == LEFT
    beside = right.any(axis=2) & left.any(axis=2)
    last = sides.shape[2] - 1
    return _Edges(
        outer_right=right.argmax(axis=2)[beside],
        inner_right=(last - right[:, :, ::-1].argmax(axis=2))[beside],
        inner_left=left.argmax(axis=2)[beside],
        outer_left=(last - left[:, :, ::-1].argmax(axis=2))[beside],
    )


def in_rows(sides: Sides, spacing_mm: Triple, least_deg: float = _LEAST_TURN_DEG) -> Sides:
    """``sides``, which must contain both, turned in its slices so that the left lung lies beside the right one; ``sides``
    itself if that is less than ``least_deg`` degrees.
    """
    left, right = (np.array(ndi.center_of_mass(sides == side)) for side in (LEFT, RIGHT))
    _, dy, dx = (left - right) * spacing_mm
    turn_deg = float(np.degrees(np.arctan2(dy, dx)))
    if abs(turn_deg) < least_deg:
        return sides
    return np.asarray(ndi.rotate(sides, turn_deg, axes=(1, 2), order=0), np.uint8)


def beyond_gap(found: Flags, spacing_mm: Triple, gap_mm: float) -> float:
    """The share 0..0.5 of lung on one side of gaps from left to right that are wider than ``gap_mm``, as heart and spine
    are: the smaller of both sides, over all rows with such a gap.  About 0 for a single lung, 0.1 and more for both.

    ``found``: flags (z, y, x) of lung, also none.
    """
    columns = np.arange(found.shape[2])
    last = np.maximum.accumulate(np.where(found, columns, -1), axis=2)
    before = np.pad(last, [(0, 0), (0, 0), (1, 0)], constant_values=-1)[:, :, :-1]
    after_gap = found & (before >= 0) & ((columns - before - 1) * spacing_mm[2] > gap_mm)
    rows = found[after_gap.any(axis=2)]
    right = columns < after_gap[after_gap.any(axis=2)].argmax(axis=1)[:, None]
    sides = (rows & right).sum(), (rows & ~right).sum()
    return float(min(sides)) / max(1.0, float(found.sum()))


def depth(found: Flags, spacing_mm: Triple) -> float:
    """The lungs' extent from front to back, divided by that from right to left: the median over the slices with much
    lung.  ``found``: flags (z, y, x) of both lungs, which must contain lung.

    0.6 to 0.75 in health; less if both lungs lost their front or their back.
    """
    areas = found.sum(axis=(1, 2))
    large = found[areas > _LARGE * areas.max()]
    deep, wide = (_extent(large.any(axis=axis)) for axis in (2, 1))
    _, dy, dx = spacing_mm
    return float(np.median(deep * dy / (wide * dx)))


def _extent(lines: Flags) -> npt.NDArray[np.int64]:
    """The number of places from the first to the last set one in each of ``lines`` (lines, places), all with one."""
    first, after_last = lines.argmax(axis=1), lines.shape[1] - lines[:, ::-1].argmax(axis=1)
    return np.asarray(after_last - first, np.int64)


def interruption(found: Flags) -> float:
    """How much less lung the slice with the deepest dip shows than slices above and below it, as a share 0..1 of the
    largest section.  Some 0.1 in health, where the heart lies; 1 if lung ends and begins again.
    """
    areas = found.sum(axis=(1, 2)).astype(np.float64)
    below, above = np.maximum.accumulate(areas), np.maximum.accumulate(areas[::-1])[::-1]
    return float((np.minimum(below, above) - areas).max() / max(1.0, areas.max()))
