"""Measures how differently the left and the right lung change along the body."""

import numpy as np
import numpy.typing as npt

from dss_inference.lungs.sides import LEFT, RIGHT, Sides
from dss_inference.lungs.view import Flags, Triple

_TILTS = tuple(np.tan(np.radians(range(-48, 49, 8))).tolist())
_SHARE_LEFT = (0.38, 0.54)
"""Fractions of the left lung in both, in health; the heart takes space from the left lung.  Unevenness is measured
about this patient's own, or the nearest of these.
"""


def unevenness(sides: Sides, spacing_mm: Triple, *, cut_at_side: bool = False) -> float:
    """How differently left and right change from slice to slice, as a share 0..1 of both: the minimum over tilts of
    the patient to the left or right.  Both sides must be set.

    ``cut_at_side``: the view may cut one lung more than the other, so that lung is compared only as far from the
    middle of the body as the view shows both sides.
    """
    if cut_at_side:
        sides = mirrored(sides)
    z, _, x = np.nonzero(sides)
    is_left = sides[sides > 0] == LEFT
    dz, _, dx = spacing_mm
    return min(_uneven_along(z + tilt * x * dx / dz, is_left) for tilt in _TILTS)


def mirrored(sides: Sides) -> Sides:
    """``sides`` with nothing that is farther from the middle between the lungs than the nearer border of the view."""
    left, right = sides == LEFT, sides == RIGHT
    last = sides.shape[2] - 1
    between = (left.argmax(axis=2) + last - right[:, :, ::-1].argmax(axis=2)) / 2
    beside = left.any(axis=2) & right.any(axis=2)
    if not beside.any():
        return sides
    middle_x = float(np.median(between[beside]))
    far = abs(np.arange(last + 1) - middle_x) > min(middle_x, last - middle_x) + 0.5
    return np.where(far, 0, sides).astype(np.uint8)


def _uneven_along(height: npt.NDArray[np.float64], is_left: Flags) -> float:
    rows = np.rint(height - height.min()).astype(np.int64)
    both = np.bincount(rows)
    left = np.bincount(rows[is_left], minlength=both.size)
    share = np.clip(is_left.mean(), *_SHARE_LEFT)
    away = np.abs(left - share * both)
    return float(away.sum()) / float(both.sum())
