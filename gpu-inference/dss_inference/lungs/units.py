"""Are the values of a chest CT in Hounsfield units?"""

import numpy as np
import numpy.typing as npt

from dss_inference.errors import InferenceError

_DENSEST_QUARTER_HU = 600


def require_hounsfield_units(hu: npt.NDArray[np.int16]) -> None:
    """Noise takes single voxels of HU + 1024 below zero; a quarter of a chest is never as dense as bone.

    Raises InferenceError.
    """
    few = hu[:: max(1, hu.shape[0] // 32), ::4, ::4]
    dense = float(np.percentile(few, 75))
    if dense > _DENSEST_QUARTER_HU:
        raise InferenceError(
            f"A quarter of the image's values lie above {dense:.0f}; a CT in Hounsfield units is needed, where "
            "air is about -1000 and water 0: is 1024 to be subtracted?"
        )
