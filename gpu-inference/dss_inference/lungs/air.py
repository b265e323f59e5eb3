"""Air in the body, told from the air around it."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.view import Flags, View

Labels: TypeAlias = npt.NDArray[np.integer]

AIR_HU = -400
"""Half-way between lung and soft tissue: below is air or lung."""

_DARKEST_LUNG_HU = -935
"""Where more than a quarter is darker, what touches the border of a slice is air around the body."""

_IN_SLICE = np.array([np.zeros((3, 3)), [[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.zeros((3, 3))], bool)


def enclosed_air(view: View) -> Flags:
    """Air and lung inside the body.

    Outside air is looked for in each axial slice by itself: in three dimensions it floods the lungs
    through an open windpipe or a blank slice at the end, and nothing is left.  Lung that the view
    cuts touches the border as well; it is not as dark.
    """
    air = view.hu < AIR_HU
    label, count = ndi.label(air, _IN_SLICE)
    sides = (label[:, 0], label[:, -1], label[:, :, 0], label[:, :, -1])
    rim = np.unique(np.concatenate([side.ravel() for side in sides])).tolist()
    boxes = ndi.find_objects(label)
    outside = np.zeros(count + 1, bool)
    outside[[i for i in rim if i and _is_air(view, label, i, boxes[i - 1])]] = True
    return air & ~outside[label]


def _is_air(view: View, label: Labels, value: int, box: tuple[slice, ...]) -> bool:
    hu = view.hu[box][label[box] == value]
    return bool(np.percentile(hu, 25) < _DARKEST_LUNG_HU)
