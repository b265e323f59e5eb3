"""Measures air and tissue in the body that may be lung and was not segmented as lung."""

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.air import THICK_MM
from dss_inference.lungs.outside_air import ABOVE_AIR_HU
from dss_inference.lungs.segmented_chest import SegmentedChest
from dss_inference.lungs.signs import DENSE_HU
from dss_inference.lungs.view import TISSUE_HU, Flags, walled_parts

_MUCH_GAS_ML = 1000.0
_MOSTLY = 0.6
_GAS_SPREAD_HU = 25.0
"""Largest difference between the lower quartile and the median of gas, in HU; walls around it hardly change these."""


def other_air_ml(chest: SegmentedChest) -> tuple[float, float]:
    """Two volumes in millilitres: of air in the body that was not segmented as lung, and of the part of it that may be
    lung.  Air around the body does not count.

    If there is more air than bowels contain, all of it may be lung.  Otherwise only the connected parts may be lung
    that are less even than gas and reach the last slice with tissue, at the head, where the edge of the image may cut
    lung.
    """
    other = ndi.binary_opening(chest.air & ~chest.lungs)
    other &= ~chest.to_side & ~_around_body(chest, other)
    other_ml = float(other.sum()) * chest.view.voxel_ml
    if other_ml > _MUCH_GAS_ML:
        return other_ml, other_ml
    label, _ = ndi.label(other)
    flesh = np.flatnonzero((chest.view.hu > TISSUE_HU).any(axis=(1, 2)))
    at_head = np.unique(label[flesh[-1] - 1 : flesh[-1] + 1]) if flesh.size else np.zeros(0, int)
    parts = [label == i for i in at_head if i]
    uneven = [float(part.sum()) for part in parts if _is_uneven(chest.view.hu[part])]
    return other_ml, sum(uneven) * chest.view.voxel_ml


def _around_body(chest: SegmentedChest, other: Flags) -> Flags:
    """The voxels of ``other`` that continue air around the body, as between the breasts: those of connected parts that
    are mostly open to the image's side, if their HU are nearer to those of air than to the lungs' median.  All False
    without lungs, because then the part may be all of them.
    """
    found = chest.view.hu[chest.lungs]
    if not found.size:
        return np.zeros_like(other)
    label, count = ndi.label(other)
    sizes, opened = (
        np.bincount(label.ravel(), flags.ravel(), count + 1) for flags in (other, chest.to_side)
    )
    dark = chest.view.hu < (chest.clear_hu + float(np.median(found))) / 2
    return np.asarray((opened > _MOSTLY * sizes)[label] & dark & other, bool)


def left_out_ml(chest: SegmentedChest) -> float:
    """Volume of tissue that may be lung but was not found: thick parts next to flesh that have lung's density and are
    neither in the segmentation nor air in the body.
    """
    between = (chest.smooth > chest.clear_hu + ABOVE_AIR_HU) & (chest.smooth < DENSE_HU)
    rest = between & ~chest.lungs & ~chest.air & ~chest.to_side
    return float(walled_parts(chest.view, rest, THICK_MM).sum()) * chest.view.voxel_ml


def _is_uneven(hu: npt.NDArray[np.int16]) -> bool:
    low, high = np.percentile(hu, [25, 50])
    return bool(high - low > _GAS_SPREAD_HU)
