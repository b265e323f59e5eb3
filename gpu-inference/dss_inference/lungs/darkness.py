"""Finds places in segmented lungs that are as dark as air: bullae, air in the pleura, or air outside the lungs."""

import numpy as np
import scipy.ndimage as ndi

from dss_inference.lungs.segmented_chest import SegmentedChest
from dss_inference.lungs.view import Flags

EMPTY_ABOVE_AIR_HU = 20.0
_EVEN_HU = 22.0
_EMPTY_ML = 15.0
_LUNG_ABOVE_AIR_HU, _NEARER_AIR = 80.0, 0.2
"""A place is a pocket of air if its HU lie less than _NEARER_AIR of the way from air to the lungs' median; pockets are
sought only if that median is at least _LUNG_ABOVE_AIR_HU above air.  Dark lung becomes darker little by little; air in
the pleura or in a bulla is dark up to its edge.
"""
_BLOCK = ndi.generate_binary_structure(3, 3)


def regions_of_air(chest: SegmentedChest) -> Flags:
    """The inner voxels of regions of air in the body that are as dark and as even as outside air over 2 cm.  Small
    regions (below 15 ml in an adult) are left out.
    """
    smooth = chest.smooth
    spread = ndi.maximum_filter(smooth, 3) - ndi.minimum_filter(smooth, 3)
    even = (spread < _EVEN_HU) & (smooth < chest.clear_hu + EMPTY_ABOVE_AIR_HU) & chest.air
    label, count = ndi.label(ndi.binary_opening(even, _BLOCK))
    least_ml = _EMPTY_ML * chest.view.scale**3
    is_large = np.bincount(label.ravel(), minlength=count + 1) * chest.view.voxel_ml > least_ml
    is_large[0] = False
    return is_large[label]


def pocket_voxels(chest: SegmentedChest, core: Flags) -> float:
    """Number of voxels of the largest connected place in ``core``, the inner voxels of the lungs, whose mean HU lies at
    most a fifth of the way from air to the median of the lungs.  It is 0 if the lungs themselves are nearly as dark as
    air.

    Means over about 2 cm are compared, because noise changes them less than it changes evenness.
    """
    above_air = ndi.uniform_filter(chest.smooth, 3) - chest.clear_hu
    median = float(np.median(above_air[core])) if core.any() else 0.0
    if median < _LUNG_ABOVE_AIR_HU:
        return 0.0
    label, _ = ndi.label(core & (above_air < _NEARER_AIR * median))
    return float(np.bincount(label.ravel())[1:].max(initial=0))
