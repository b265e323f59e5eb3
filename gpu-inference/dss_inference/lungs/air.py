"""Air in the body, told from the air around it."""

import numpy as np
import scipy.ndimage as ndi

from dss_inference.lungs.view import Flags, View

AIR_HU = -400
"""Half-way between lung and soft tissue: below is air or lung."""

_IN_SLICE = np.array([np.zeros((3, 3)), [[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.zeros((3, 3))], bool)


def enclosed_air(view: View) -> Flags:
    """Air and lung inside the body.

    Outside air is looked for in each axial slice by itself: in three dimensions it floods the lungs
    through an open windpipe or a blank slice at the end, and nothing is left.
    """
    air = view.hu < AIR_HU
    label, _ = ndi.label(air, _IN_SLICE)
    rim = np.unique(
        [*label[:, 0].flat, *label[:, -1].flat, *label[:, :, 0].flat, *label[:, :, -1].flat]
    )
    outside = np.zeros(label.max() + 1, bool)
    outside[rim[rim > 0]] = True
    return air & ~outside[label]
