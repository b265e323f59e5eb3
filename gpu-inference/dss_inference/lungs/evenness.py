"""Measures how differently the left and the right lung change along the body."""

import numpy as np
import numpy.typing as npt

from dss_inference.lungs.sides import LEFT, Sides
from dss_inference.lungs.view import Flags, Triple

_TILTS = tuple(np.tan(np.radians(range(-48, 49, 8))).tolist())
_SHARE_LEFT = (0.38, 0.54)
"""Fractions of the left lung in both, in health; the heart takes space from the left lung.  Unevenness is measured
about this patient's own, or the nearest of these.
"""


def unevenness(sides: Sides, spacing_mm: Triple) -> float:
    """How differently left and right change from slice to slice, as a share 0..1 of both: the minimum over tilts of
    the patient to the left or right.
    """
    z, _, x = np.nonzero(sides)
    is_left = sides[sides > 0] == LEFT
    dz, _, dx = spacing_mm
    return min(_uneven_along(z + tilt * x * dx / dz, is_left) for tilt in _TILTS)


def _uneven_along(height: npt.NDArray[np.float64], is_left: Flags) -> float:
    rows = np.rint(height - height.min()).astype(np.int64)
    both = np.bincount(rows)
    left = np.bincount(rows[is_left], minlength=both.size)
    share = np.clip(is_left.mean(), *_SHARE_LEFT)
    away = np.abs(left - share * both)
    return float(away.sum()) / float(both.sum())
