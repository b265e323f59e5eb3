"""Checks whether the values of a chest CT are Hounsfield units."""

import numpy as np
import numpy.typing as npt

from dss_inference.errors import InferenceError

_DENSEST_QUARTER_HU = 600
_DENSE_HU, _MOST_DENSE = 600, 0.04
_DARK_HU, _LEAST_DARK = -400, 0.005
_SOFT_HU, _LEAST_SOFT = (-200, 300), 0.005
_PADDING_HU = -1020
_LEAST_CONTRAST_HU = 200
"""Smallest difference between the 99.5th and the 0.5th percentile of a body with air around it or in it; some 1100 in
a CT.
"""
_CUT_OFF_ABOVE_HU, _CUT_OFF_SHARE = -900, 0.02
"""Darker values were cut off if the lowest value is above the first value, and more than the second fraction of the
voxels have exactly this lowest value.
"""
_BELOW_FAT_HU, _LEAST_BELOW_FAT = -250, 0.02
_AIR_HU, _LEAST_AIR = -800, 0.05
"""What is darker than fat in a CT is air, lung, or the edge of one of both.  If more than the first fraction of the image
is, and a smaller part of that than the second fraction is as dark as air, the image has no air.
"""


def require_contrast(hu: npt.NDArray[np.int16]) -> None:
    """Raises InferenceError if the values (z, y, x) differ so little that they must have been scaled, or if darker values
    were cut off, so that lung could not be told from flesh, or if what is darker than fat is not as dark as air.  An image
    of a single value passes.

    For an image in which no lung was found: a part of a body may have little contrast, too.
    """
    few = _few(hu)
    low, high = np.percentile(few, [0.5, 99.5])
    if 0 < high - low < _LEAST_CONTRAST_HU:
        raise InferenceError(
            f"No lung was found, and nearly all values lie between {low:.0f} and {high:.0f}; a chest CT in Hounsfield units "
            "is needed, where air is about -1000 and water 0: were the values scaled?"
        )
    lowest = int(few.min())
    cut_off = float((few == lowest).mean())
    if lowest > _CUT_OFF_ABOVE_HU and cut_off > _CUT_OFF_SHARE and high > low:
        raise InferenceError(
            f"No lung was found, and {cut_off:.0%} of the image's values are {lowest}, its lowest value; a chest CT in "
            "Hounsfield units is needed, where air is about -1000: were darker values cut off?"
        )
    below_fat, air = (float((few < limit).mean()) for limit in (_BELOW_FAT_HU, _AIR_HU))
    if below_fat > _LEAST_BELOW_FAT and air < _LEAST_AIR * below_fat:
        raise InferenceError(
            f"No lung was found, and {below_fat:.0%} of the image's values lie below {_BELOW_FAT_HU}, but hardly any "
            f"below {_AIR_HU}; a chest CT in Hounsfield units is needed, where air is about -1000: is it another kind of "
            "image, or were the values moved?"
        )


def require_hounsfield_units(hu: npt.NDArray[np.int16]) -> None:
    """Raises InferenceError if the values (z, y, x) are too dense, or contain too little fat and soft tissue, for a
    chest CT in Hounsfield units.  An image of padding alone passes.

    A minimum below zero proves nothing, because noise makes single voxels negative in an image stored as HU + 1024.
    Padding is left out, because a wide field of view may contain little of the body.
    """
    few = _few(hu)
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


def _few(hu: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Every fourth voxel of each row and column in about 32 evenly spread slices."""
    return hu[:: max(1, hu.shape[0] // 32), ::4, ::4]
