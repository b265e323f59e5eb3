"""Measures how much of a segmentation is not connected to the rest of its lung."""

import numpy as np
import scipy.ndimage as ndi

from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED, Sides

_TOUCHING = ndi.generate_binary_structure(3, 3)


def detached(sides: Sides) -> float:
    """The share 0..1 of both lungs that is not connected to the largest part of the lung on its side.

    Each lung is one connected organ, in a part of the chest, too: up to 0.001 in health.  Air outside the body and gas
    in the bowel lie behind a wall.  ``sides`` (z, y, x), on a grid of about 4 mm, must contain lung.
    """
    largest = 0
    for side in (LEFT, RIGHT, UNSIDED):
        label, _ = ndi.label(sides == side, _TOUCHING)
        largest += int(np.bincount(label.ravel())[1:].max(initial=0))
    return 1 - largest / int((sides > 0).sum())
