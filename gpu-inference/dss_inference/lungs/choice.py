"""Which of the enclosed air is lung."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.view import Flags, View, distance_mm, eroded

Labels: TypeAlias = npt.NDArray[np.integer]

_CORE_DEPTH_MM = 3.0
_LUNG_MEDIAN_HU = (-950, -450)
_LUNG_P95_HU = -900
"""Vessels keep the 95th percentile of a lung's core above this; gas in the bowel has none."""
_SMALL_ML = 60.0
_SMALL_P5_HU = -950
"""A small part this dark in places is gas with something beside it, not a corner of a lung."""
_FIRST_ML = 8.0
_OTHER_ML = 3.0
_PIECE_ML = 0.5
_PIECE_GAP_MM = 6.0


def lung_air(view: View, air: Flags) -> Flags:
    """The part of ``air`` that is lung by size and texture, with pieces that were cut off.  May be empty."""
    label, count = ndi.label(ndi.binary_opening(air))
    volumes_ml = np.bincount(label.ravel(), minlength=count + 1) * view.voxel_ml
    boxes = ndi.find_objects(label)
    large = [i for i in range(1, count + 1) if volumes_ml[i] > _OTHER_ML]
    lungs = [i for i in large if _is_lung(view, label, i, boxes[i - 1])]
    if max(volumes_ml[lungs], default=0) < _FIRST_ML:
        return np.zeros_like(air)
    gas = _flagged(label, [i for i in large if i not in lungs])
    chosen = _with_rims(view, air, _flagged(label, lungs), gas)
    return chosen | _cut_off_pieces(view, air & ~gas & ~chosen, chosen)


def _flagged(label: Labels, values: list[int]) -> Flags:
    table = np.zeros(int(label.max()) + 1, bool)
    table[values] = True
    return table[label]


def _is_lung(view: View, label: Labels, value: int, box: tuple[slice, ...]) -> bool:
    wide = tuple(slice(max(0, s.start - 2), s.stop + 2) for s in box)
    inside = label[wide] == value
    core = eroded(inside, view.spacing_mm, max(_CORE_DEPTH_MM, *view.spacing_mm))
    if not core.any():
        return False
    p5, median, p95 = np.percentile(view.hu[wide][core], [5, 50, 95])
    small = inside.sum() * view.voxel_ml < _SMALL_ML
    textured = p95 > _LUNG_P95_HU and not (small and p5 < _SMALL_P5_HU)
    return bool(textured and _LUNG_MEDIAN_HU[0] < median < _LUNG_MEDIAN_HU[1])


def _with_rims(view: View, air: Flags, chosen: Flags, gas: Flags) -> Flags:
    """What the opening took away comes back where it is nearer to lung than to gas."""
    away_mm = distance_mm(chosen, view.spacing_mm)
    near = (away_mm <= _PIECE_GAP_MM) & (away_mm <= distance_mm(gas, view.spacing_mm))
    return chosen | (air & ~gas & near)


def _cut_off_pieces(view: View, rest: Flags, chosen: Flags) -> Flags:
    """Thin pieces at an end slice that shows lung: they belong to lung beyond the view."""
    label, count = ndi.label(rest)
    ends = [z for z in (0, -1) if chosen[z].any()]
    at_end = {int(i) for z in ends for i in np.unique(label[z]) if i}
    volumes_ml = np.bincount(label.ravel(), minlength=count + 1) * view.voxel_ml
    pieces = [i for i in at_end if volumes_ml[i] > _PIECE_ML]
    return _flagged(label, [i for i in pieces if _has_no_gas(view.hu[label == i])])


def _has_no_gas(hu: npt.NDArray[np.int16]) -> bool:
    darkest, median = np.percentile(hu, [2, 50])
    return bool(darkest > _SMALL_P5_HU and median < _LUNG_MEDIAN_HU[1])
