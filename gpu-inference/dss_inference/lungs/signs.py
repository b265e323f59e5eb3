"""What in an image and in its lungs tells that a segmentation may be wrong."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.segment import Lungs
from dss_inference.lungs.sides import LEFT, RIGHT
from dss_inference.lungs.view import Triple

_GRID_MM = 4.0
_DENSE_HU = -500
_EMPTY_ABOVE_AIR_HU = 20
_SHARE_LEFT = 0.46
"""Of both lungs, in health; the heart takes its place from the left one."""


@dataclass(frozen=True, kw_only=True)
class Signs:
    """Shares 0..1 of the lungs.

    ``empty``: as dark as air around, without vessels; ``dense``: more so than lung; ``uneven``: how much
    the sections of left and right differ beyond health, 0 where there are not both; ``gas``: other air in
    the body through the lungs' volume.
    """

    empty: float
    dense: float
    uneven: float
    gas: float


def signs_of(hu: npt.NDArray[np.int16], lungs: Lungs, spacing_mm: Triple) -> Signs:
    """Of lungs, not none; on a grid of some 4 mm."""
    every = tuple(slice(None, None, max(1, round(_GRID_MM / s))) for s in spacing_mm)
    found = np.ascontiguousarray(lungs.sides[every])
    smooth = ndi.uniform_filter(hu[every], 3)
    inside = found > 0
    core = ndi.binary_erosion(inside, border_value=1)
    values = smooth[core] if core.any() else smooth[inside]
    lung_ml = float(np.count_nonzero(lungs.sides)) * float(np.prod(spacing_mm)) / 1000
    return Signs(
        empty=float((values < lungs.air_hu + _EMPTY_ABOVE_AIR_HU).mean()) if values.size else 0.0,
        dense=float((values > _DENSE_HU).mean()) if values.size else 0.0,
        uneven=_uneven(found),
        gas=lungs.gas_ml / max(lung_ml, 1.0),
    )


def _uneven(found: npt.NDArray[np.uint8]) -> float:
    left, right = ((found == side).sum(axis=(1, 2)) for side in (LEFT, RIGHT))
    total = int(left.sum() + right.sum())
    if not left.any() or not right.any():
        return 0.0
    away = np.abs(left - _SHARE_LEFT * (left + right))
    return float(away.sum()) / total
