"""Chooses the parts of the air inside the body that are lung, by size, HU and texture; the others are gas in the
stomach or bowel, or foam of the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.view import Flags, View, distance_mm, eroded

Labels: TypeAlias = npt.NDArray[np.integer]

_CORE_DEPTH_MM = 3.0
_ABOVE_AIR_HU = (50, 550)
"""Range, in HU above air, of the median of a healthy lung's core.  Deep inspiration and emphysema give a lower median;
``_dark_lungs`` finds such lungs.
"""
_P95_ABOVE_AIR_HU = 100
"""The 95th percentile of a lung's core is at least this far above air, because of the lung's vessels; gas in the bowel
has none.
"""
_FLAT_HU = 16
"""Largest difference between the median and the 95th percentile of parts without vessels or grain, such as gas or the
foam of a table.
"""
_SMALL_ML = 60.0
_DARKEST_ABOVE_AIR_HU = 45
"""A part of less than _LARGE_ML that has places less than this above air is gas with other tissue beside it, not a
corner of a lung.
"""
_USUAL_NOISE_HU = 30.0
_NOISE_P5 = 1.65
_CLAMPED_NOISE = 1.5
_LIGHTEST_HU = -450
_LARGE_ML = 300.0
_LARGE_SHARE = 0.05
"""Fraction of the image's volume: a larger part with vessels is lung even if it is unusually dark, unless its median is
far from that of an ordinary lung in the same image.
"""
_ALIKE_HU = 40
_PAIR = 1 / 3
_FIRST_ML = 8.0
_OTHER_ML = 3.0
_PIECE_ML = 0.5
_PIECE_GAP_MM = 6.0


@dataclass(frozen=True, kw_only=True)
class _Core:
    """The inner voxels of one connected part of the air, both arrays (voxels,): their HU, and in ``smooth`` the mean HU
    of each voxel's neighbours within the part, which has little noise.
    """

    hu: npt.NDArray[np.int16]
    smooth: npt.NDArray[np.float32]


def lung_air(view: View, air: Flags, air_hu: float, noise_hu: float) -> Flags:
    """The voxels of ``air`` that are lung by size, HU and texture, with thin pieces of lung in the end slices.  All
    False if there is no lung, or if no part of it has at least 8 ml.

    ``air`` are the voxels (z, y, x) of air inside the body, without the airways; ``air_hu`` is the HU of air in this
    image, ``noise_hu`` the standard deviation of its noise.
    """
    label, count = ndi.label(ndi.binary_opening(air))
    volumes_ml = np.bincount(label.ravel(), minlength=count + 1) * view.voxel_ml
    boxes = ndi.find_objects(label)
    large = [i for i in range(1, count + 1) if volumes_ml[i] > _OTHER_ML]
    least_hu = air_hu + _DARKEST_ABOVE_AIR_HU - _NOISE_P5 * max(0.0, noise_hu - _USUAL_NOISE_HU)
    cores = {i: _core(view, label, i, boxes[i - 1]) for i in large}
    lungs = [i for i in large if _is_lung(cores[i], air_hu, noise_hu, volumes_ml[i])]
    lightest = [float(np.median(cores[i].smooth)) for i in lungs if volumes_ml[i] > _LARGE_ML]
    others_ml = {i: float(volumes_ml[i]) for i in large if i not in lungs}
    least_ml = _LARGE_SHARE * air.size * view.voxel_ml
    lungs += _dark_lungs(others_ml, cores, air_hu, least_ml, lightest)
    if max(volumes_ml[lungs], default=0) < _FIRST_ML:
        return np.zeros_like(air)
    gas = _flagged(label, [i for i in large if i not in lungs])
    chosen = _with_rims(view, air, _flagged(label, lungs), gas)
    return chosen | _cut_off_pieces(view, air & ~gas & ~chosen, chosen, least_hu)


def _dark_lungs(
    sizes_ml: Mapping[int, float],
    cores: Mapping[int, _Core],
    air_hu: float,
    least_ml: float,
    lightest: Sequence[float],
) -> list[int]:
    """The numbers of the parts that are unusually dark lungs; [] if there are none.  ``sizes_ml`` and ``cores`` are by
    a part's number.

    Parts larger than ``least_ml`` count if their HU are near ``lightest``, the median HU of ordinary lungs in this
    image, if there are any.  Then a smaller part with similar HU may be a pair to them, if it has more than 300 ml and
    a third of the largest.
    """
    dark = [i for i in sizes_ml if _is_dark_lung(cores[i].smooth, air_hu, lightest)]
    first = [i for i in dark if sizes_ml[i] > least_ml]
    if not first:
        return []
    pair_ml = max(_LARGE_ML, _PAIR * max(sizes_ml[i] for i in first))
    medians = [float(np.median(cores[i].smooth)) for i in first]
    others = [i for i in dark if pair_ml < sizes_ml[i] <= least_ml]
    return first + [i for i in others if _is_dark_lung(cores[i].smooth, air_hu, medians)]


def _flagged(label: Labels, values: list[int]) -> Flags:
    table = np.zeros(int(label.max()) + 1, bool)
    table[values] = True
    return table[label]


def _core(view: View, label: Labels, value: int, box: tuple[slice, ...]) -> _Core:
    wide = tuple(slice(max(0, s.start - 2), s.stop + 2) for s in box)
    inside = label[wide] == value
    core = eroded(inside, view.spacing_mm, max(_CORE_DEPTH_MM, *view.spacing_mm))
    share = ndi.uniform_filter(inside.astype(np.float32), 3)
    mean = ndi.uniform_filter(np.where(inside, view.hu[wide], 0).astype(np.float32), 3)
    return _Core(hu=view.hu[wide][core], smooth=np.asarray(mean[core] / share[core], np.float32))


def _is_lung(core: _Core, air_hu: float, noise_hu: float, volume_ml: float) -> bool:
    if not core.hu.size:
        return False
    p10, p25, median, p95 = np.percentile(core.smooth, [10, 25, 50, 95]) - air_hu
    grained = min(p95 - median, 2 * (median - p25)) > _FLAT_HU
    if volume_ml < _LARGE_ML and not grained:
        return False
    if volume_ml < _LARGE_ML and p10 < _DARKEST_ABOVE_AIR_HU:
        return False
    if volume_ml < _SMALL_ML and _darkest(core, noise_hu) - air_hu < _DARKEST_ABOVE_AIR_HU:
        return False
    textured = p95 > _P95_ABOVE_AIR_HU and p95 - median > _FLAT_HU
    return bool(textured and _ABOVE_AIR_HU[0] < median < _ABOVE_AIR_HU[1])


def _darkest(core: _Core, around_hu: float) -> float:
    """The 5th percentile of the core's HU, corrected for noise.

    The HU are not smoothed, because a mean would hide a small dark place.  The noise is measured in the part itself,
    where coarse voxels increase it, but is at most 1.5 times ``around_hu``, the standard deviation of the noise outside
    the body, which is measured too low where HU are clamped at -1024.
    """
    low, high = np.percentile(core.hu - core.smooth, [25, 75])
    noise_hu = min(float(high - low) / 1.35, _CLAMPED_NOISE * around_hu)
    return float(np.percentile(core.hu, 5)) + _NOISE_P5 * max(0.0, noise_hu - _USUAL_NOISE_HU)


def _is_dark_lung(core: npt.NDArray[np.float32], air_hu: float, others: Sequence[float]) -> bool:
    """True if a part with the HU ``core`` is lung although it may be dark: it contains vessels, and its median is near
    each of ``others``, the median HU of other lungs in this image, because a patient's lungs are alike.  False without
    voxels.
    """
    if not core.size:
        return False
    median, p95 = np.percentile(core, [50, 95])
    alike = all(abs(median - other) < _ALIKE_HU for other in others)
    return bool(alike and p95 - median > 1.5 * _FLAT_HU and median - air_hu < _ABOVE_AIR_HU[1])


def _with_rims(view: View, air: Flags, chosen: Flags, gas: Flags) -> Flags:
    """``chosen`` and the voxels of ``air`` around it, up to 6 mm away, that are nearer to it than to ``gas``: the
    opening in ``lung_air`` removed them from the lungs' surface.
    """
    away_mm = distance_mm(chosen, view.spacing_mm)
    near = (away_mm <= _PIECE_GAP_MM) & (away_mm <= distance_mm(gas, view.spacing_mm))
    return chosen | (air & ~gas & near)


def _cut_off_pieces(view: View, rest: Flags, chosen: Flags, least_hu: float) -> Flags:
    """The pieces of ``rest``, air that is neither lung nor gas so far, that are tips of lung beyond the edge of the
    image.

    They are larger than 0.5 ml and lie in the first or last slice with tissue, in which ``chosen`` also shows lung;
    most of their voxels have the HU of lung, and hardly any is darker than ``least_hu``.
    """
    label, count = ndi.label(rest)
    flesh = np.flatnonzero((view.hu > _LIGHTEST_HU).any(axis=(1, 2)))
    ends = [z for z in flesh[[0, -1]] if chosen[z].any()] if flesh.size else []
    at_end = {int(i) for z in ends for i in np.unique(label[z]) if i}
    volumes_ml = np.bincount(label.ravel(), minlength=count + 1) * view.voxel_ml
    pieces = [i for i in at_end if volumes_ml[i] > _PIECE_ML]
    return _flagged(label, [i for i in pieces if _has_no_gas(view.hu[label == i], least_hu)])


def _has_no_gas(hu: npt.NDArray[np.int16], least_hu: float) -> bool:
    darkest, median = np.percentile(hu, [2, 50])
    return bool(darkest > least_hu and median < _LIGHTEST_HU)
