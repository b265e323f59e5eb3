"""Checks whether the values of a chest CT are Hounsfield units."""

import numpy as np
import numpy.typing as npt

from dss_inference.errors import InferenceError

_DENSEST_QUARTER_HU = 600
_DENSE_HU, _MOST_DENSE = 600, 0.04
_DARK_HU, _LEAST_DARK = -400, 0.005
_SOFT_HU, _LEAST_SOFT = (-200, 300), 0.005
_PADDING_HU = -1020


def require_hounsfield_units(hu: npt.NDArray[np.int16]) -> None:
    """Raises InferenceError if the values (z, y, x) are too dense, or contain too little fat and soft tissue, for a
    chest CT in Hounsfield units.  An image of padding alone passes.

    A minimum below zero proves nothing, because noise makes single voxels negative in an image stored as HU + 1024.
    Padding is left out, because a wide field of view may contain little of the body.
    """
    few = hu[:: max(1, hu.shape[0] // 32), ::4, ::4]
    shown = few[few > _PADDING_HU]
    if not shown.size:
        return
    dense = float((shown > _DENSE_HU).mean())
    dark = float((few < _DARK_HU).mean()) - float((few <= _PADDING_HU).mean())
    quarter = float(np.percentile(few, 75))
    if quarter > _DENSEST_QUARTER_HU or (dense > _MOST_DENSE and dark < _LEAST_DARK):
        raise InferenceError(
            f"{dense:.0%} of the image's values lie above {_DENSE_HU}; a CT in Hounsfield units is needed, where "
            "air is about -1000 and water 0: is 1024 to be subtracted?"
        )
    soft = float(((shown > _SOFT_HU[0]) & (shown < _SOFT_HU[1])).mean())
    if soft < _LEAST_SOFT:
        raise InferenceError(
            f"Only {soft:.1%} of the image's values are those of fat or flesh (-200 to 300); a chest CT in Hounsfield "
            "units is needed, where air is about -1000 and water 0."
        )
