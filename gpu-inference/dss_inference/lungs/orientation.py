"""Measures whether the anatomy contradicts the orientation that the image states: the spine lies behind the lungs, and
the heart more to the left.  In an image with a wrong orientation, left and right lung may be exchanged.
"""

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.between import gap_middle, in_rows
from dss_inference.lungs.sides import Sides
from dss_inference.lungs.view import Flags, Triple

_VERTEBRA_MM = 32.0
"""Height of a vertebra with its disc; over this length a spine is denser than flesh everywhere."""
_SPINE_HU, _LONG = 100, 0.85
"""The spine is a column of more than the first value through more than the second fraction of the lungs' height.  Heart
chambers with contrast agent, the breastbone and ribs are shorter.
"""
_LEAST_FRONT_CM2, _MOSTLY = 3.0, 0.8
_LOWER = 0.6
"""Fraction of the lungs' height, from the feet, in which the heart lies."""
_LEAST_TURN_DEG = 3.0


def is_spine_in_front(hu: npt.NDArray[np.int16], lungs: Flags, spacing_mm: Triple) -> bool:
    """True if the spine lies in front of the lungs' centre.

    The spine is sought in the middle third of the lungs' width.  ``hu`` (z, y, x) is in the orientation that the image
    states; ``lungs``, flags of the same shape, must contain lung.  False if the image cuts the lungs at the front or the
    back, because the spine may lie outside.
    """
    if lungs[:, [0, -1]].any():
        return False
    high, _, wide = (np.flatnonzero(lungs.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    third = (wide[-1] + 1 - wide[0]) // 3
    part = hu[high[0] : high[-1] + 1, :, wide[0] + third : wide[-1] + 1 - third]
    length = max(1, round(_VERTEBRA_MM / spacing_mm[0]))
    dense = ndi.uniform_filter1d(part.astype(np.float32), length, axis=0) > _SPINE_HU
    columns = (dense.mean(axis=0) > _LONG).sum(axis=1)
    centre = round(float(np.nonzero(lungs)[1].mean()))
    front = float(columns[:centre].sum())
    cm2 = spacing_mm[1] * spacing_mm[2] / 100
    return bool(front * cm2 > _LEAST_FRONT_CM2 and front > _MOSTLY * columns.sum())


def heart_to_left(sides: Sides, spacing_mm: Triple) -> float:
    """How far the middle of the gap between the lungs lies to the left of the middle of both lungs, as a share of their
    width: the mean over all rows in front of the lungs' centre in the lower part of the lungs.

    0.02 to 0.05 in health; negative if the heart lies to the right, as in a mirrored image.  ``sides`` (z, y, x) must
    contain both sides.
    """
    level = in_rows(sides, spacing_mm, _LEAST_TURN_DEG)
    places = np.nonzero(level)
    low, high = places[0].min(), places[0].max() + 1
    end = low + round(_LOWER * (high - low))
    return gap_middle(level[low:end, : round(float(places[1].mean()))])
