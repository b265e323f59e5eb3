"""Measures how differently the left and the right lung change along the body: a sign that a part of one lung was not
found.
"""

import numpy as np
import numpy.typing as npt

from dss_inference.lungs.sides import LEFT, RIGHT, Sides
from dss_inference.lungs.view import Flags, Triple

_TILTS = tuple(np.tan(np.radians(range(-48, 49, 8))).tolist())
_SHARE_LEFT = (0.38, 0.54)
"""Usual range of the left lung's fraction of the volume of both, in health; the heart takes space from the left lung.
``unevenness`` expects the patient's own fraction in every slice, or the nearest value in this range.
"""


def unevenness(sides: Sides, spacing_mm: Triple, *, cut_at_side: bool = False) -> float:
    """How differently left and right lung change from slice to slice, 0..1: the volume by which the left lung differs
    from its expected fraction of each slice, divided by the volume of both; the minimum over tilts of the patient to
    the left or right.

    ``sides`` (z, y, x) must contain LEFT and RIGHT.  ``cut_at_side``: the image may cut one lung more than the other,
    so both are compared only as far from the middle of the body as the image shows on both sides.
    """
    if cut_at_side:
        sides = mirrored(sides)
    z, _, x = np.nonzero(sides)
    is_left = sides[sides > 0] == LEFT
    dz, _, dx = spacing_mm
    return min(_uneven_along(z + tilt * x * dx / dz, is_left) for tilt in _TILTS)


def mirrored(sides: Sides) -> Sides:
    """``sides`` with 0 for every voxel that is farther from the middle between the lungs than the nearer one of the
    image's left and right edges; ``sides`` itself if the two lungs are nowhere beside each other.
    """
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
