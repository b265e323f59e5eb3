"""Measures the tissue between the lungs and the ribs, a sign that a part of a lung was not found.

Lung reaches the ribs behind it and beside it at every height.  Consolidation, fluid and collapse leave tissue there
that is as dense as flesh.  If no other lung can be compared, only its position shows that it is not flesh.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.view import TISSUE_HU, Flags, Triple, box_around

_BONE_HU = 130
_NOISY_HU, _BLUR = 60.0, 0.6
"""If the noise, as a standard deviation in HU, exceeds the first value, bone is sought in the image blurred by a Gaussian
of the second value, in voxels: this takes two thirds of the noise, and less of a thin rib than a mean of 27 voxels does.
"""
_LEAST_GAP_MM, _LEAST_FRONT_MM, _MOST_GAP_MM = 20.0, 26.0, 80.0
"""Widths of a gap between lung and ribs.  A gap below the first value (the second in front, at the breastbone) is the
chest wall's own; in a gap above the third there is liver, spleen or bowel.
"""
_RIBS_APART_MM, _RIB_WIDTH_MM = 14.0, 8.0
"""Bone within these distances, along the body and across it, counts as bone in a column, because a ray may pass between
two ribs.
"""
_MIDDLE = 1 / 3
"""Fraction of each slice of a lung, on the side of the body's middle, that lies in front of or behind heart and spine.
"""
_UPPER, _UPPER_CUT = 0.6, 0.4
"""Fraction of a lung's height, from the top, in which tissue in front of it is counted; below, heart and liver lie
there.  The second value applies where the image cuts the lung's top.
"""
_APEX_MM = 20.0
"""Distance from a lung's top within which it tapers away from the ribs in front, so that tissue there is not counted.
"""
_FEW = 0.2
"""A lung that reaches the ribs in a smaller fraction of its columns may have lost any amount of lung there, so that
very wide gaps count, too.
"""
_LONG_MM = 200.0
"""Length of an adult's lung, for which the other lengths hold; they are reduced in proportion for a shorter lung."""
_THICK_MM = 16.0
"""Ribs and the breastbone are thinner than this; a heart whose blood contains contrast agent is thicker."""
_SAMPLES = 50_000
"""Largest number of voxels from which the noise is estimated."""


class Way(StrEnum):
    """The direction from a lung to the ribs in which tissue is measured."""

    BACK = "back"
    FRONT = "front"
    LEFT = "left"
    RIGHT = "right"


def is_noisy(hu: npt.NDArray[np.int16], smooth: npt.NDArray[np.float32]) -> bool:
    """True if the noise in flesh is so strong that single voxels do not distinguish bone; False without flesh.
    ``smooth`` is the mean HU of the 27 voxels around each voxel.
    """
    flesh = np.flatnonzero(smooth > TISSUE_HU)
    few = flesh[:: flesh.size // _SAMPLES + 1]
    noise_hu = 1.48 * np.median(np.abs(hu.ravel()[few] - smooth.ravel()[few])) if few.size else 0.0
    return bool(noise_hu > _NOISY_HU)


def bone_in(hu: npt.NDArray[np.int16], *, noisy: bool) -> Flags:
    """Voxels of bone, and of other tissue as dense: by single voxels, or in a blurred image if the image is ``noisy``."""
    values = ndi.gaussian_filter(hu.astype(np.float32), _BLUR, truncate=2) if noisy else hu
    return np.asarray(values > _BONE_HU, bool)


def without_thick_parts(bone: Flags, spacing_mm: Triple, scale: float) -> Flags:
    """``bone`` without parts that are thicker than ribs.  These are blood with contrast agent, for example, whose
    density is that of bone and which would hide what lies behind it.

    ``scale`` is the patient's size relative to an adult, as in ``View``.
    """
    z, y, x = (max(1, round(_THICK_MM * scale / s)) for s in spacing_mm)
    thick = ndi.grey_opening(bone.view(np.uint8), (z, y, x))
    return np.asarray(bone & (ndi.maximum_filter(thick, 3) == 0), bool) if thick.any() else bone


def outside_ml(
    lung: Flags,
    bone: Flags,
    air: Flags,
    spacing_mm: Triple,
    way: Way,
    *,
    cut_at_head: bool = False,
    noisy: bool = False,
) -> float:
    """Volume in millilitres of tissue that is neither lung nor chest wall, between ``lung`` and the nearest ``bone`` in
    the direction ``way``.  ``lung`` has the voxels (z, y, x) of one lung, ``air`` those of the air around the body.

    Where the image ends before bone, its border counts as bone, except beside the upper half of a lung, where the
    shoulders are, and behind its lower half, where the liver is.  Columns in which air comes before bone are not
    counted.  Towards back and front, the third of each slice of the lung that is nearest to the body's middle is left
    out, because of heart and spine; towards the front also the lung's top, which tapers, and its lower part, because of
    heart and liver.

    ``cut_at_head``: the image cuts the lung's top.  ``noisy``: thin ribs may not show, so the border does not count as
    bone.
    """
    scale = scale_of_lung(lung, spacing_mm)
    dz, dy, dx = spacing_mm
    along_mm, across_mm = (dy, dx) if way in (Way.BACK, Way.FRONT) else (dx, dy)
    ends = bone if noisy else bone | _border(lung, way)
    lung, ends, air = (_turned(flags, way) for flags in (lung, ends, air))
    there = np.asarray(lung.any(axis=1), bool)
    last = lung.shape[1] - 1 - lung[:, ::-1].argmax(axis=1)
    rib_voxels = (
        2 * round(_RIBS_APART_MM * scale / dz) + 1,
        2 * round(_RIB_WIDTH_MM * scale / across_mm) + 1,
    )
    ribs = ndi.minimum_filter(_ends_behind(last, there, ends, air), rib_voxels)
    known = np.asarray(there & (ribs < lung.shape[1]), bool)
    if way == Way.FRONT:
        known &= _heights_of_front(there, _APEX_MM * scale / dz, cut_at_head=cut_at_head)[:, None]
    gap_mm = np.where(known, (ribs - last - 1) * along_mm, 0.0)
    return _counted(gap_mm, known, there, scale, way) * dz * across_mm / 1000


def _ends_behind(
    last: npt.NDArray[np.int64], there: Flags, ends: Flags, air: Flags
) -> npt.NDArray[np.int64]:
    """Index along the second axis of the first voxel of ``ends`` behind the ``last`` voxel of lung, for each slice and
    column; that axis' length without lung (``there`` is False), without such a voxel, or if ``air`` comes before it.
    """
    length = ends.shape[1]
    behind = np.arange(length)[:, None] > last[:, None]
    hit = _first(behind & ends)
    return np.where(there & (hit < _first(behind & air)), hit, length)


def _heights_of_front(there: Flags, apex: float, *, cut_at_head: bool) -> Flags:
    """The slices in which tissue in front of a lung is counted: the upper part of those with lung, without the topmost
    ``apex`` slices unless the image cuts the lung's top.  ``there``: the slices and columns with lung.
    """
    heights = np.flatnonzero(there.any(axis=1))
    upper = _UPPER_CUT if cut_at_head else _UPPER
    counted = np.ones(len(there), bool)
    counted[: round(heights[-1] - upper * (heights[-1] - heights[0]))] = False
    if not cut_at_head:
        counted[max(0, heights[-1] + 1 - round(apex)) :] = False
    return counted


def _border(lung: Flags, way: Way) -> Flags:
    """Voxels at the border of the image in the direction ``way``, at the heights at which that border may cut ``lung``."""
    border = np.zeros_like(lung)
    heights = np.flatnonzero(lung.any(axis=(1, 2)))
    middle = (heights[0] + heights[-1]) // 2
    match way:
        case Way.BACK:
            border[middle:, -1] = True
        case Way.FRONT:
            border[:, 0] = True
        case Way.LEFT | Way.RIGHT:
            border[:middle, :, -1 if way == Way.LEFT else 0] = True
    return border


def _counted(
    gap_mm: npt.NDArray[np.float64], known: Flags, there: Flags, scale: float, way: Way
) -> float:
    """Sum of the widths in ``gap_mm`` (z, columns) that are not chest wall, in millimetres.  Very wide gaps are left
    out, unless the lung hardly reaches the ribs anywhere.

    Towards back and front, a third of each slice of the lung is left out, on that side on which the sum is then
    smaller: heart or spine are there.  ``known`` are the columns in which ribs were found, ``there`` those that contain
    lung.
    """
    least_mm = scale * (_LEAST_FRONT_MM if way == Way.FRONT else _LEAST_GAP_MM)
    most_mm = scale * _MOST_GAP_MM
    reaches = (known & (gap_mm < least_mm)).any(axis=0)
    if reaches.sum() > _FEW * known.any(axis=0).sum():
        gap_mm = np.where(gap_mm > most_mm, 0, gap_mm)
    gap_mm = np.where(gap_mm < least_mm, 0, gap_mm)
    if way in (Way.LEFT, Way.RIGHT):
        return float(gap_mm.sum())
    before = np.cumsum(there, axis=1) / np.maximum(1, there.sum(axis=1, keepdims=True))
    return float(min(gap_mm[before > _MIDDLE].sum(), gap_mm[before <= 1 - _MIDDLE].sum()))


def outward(hu: npt.NDArray[np.int16], lungs: Flags) -> Way:
    """The direction, LEFT or RIGHT, from lungs of unknown side to their ribs: to the side of the image with more air or
    padding, apart from the ``lungs`` that the image cuts.
    """
    around = (hu < TISSUE_HU) & ~lungs
    right, left = (float(around[:, :, x].mean()) for x in (0, -1))
    return Way.LEFT if left > right else Way.RIGHT


def _turned(flags: Flags, way: Way) -> Flags:
    """``flags`` (z, y, x) with its axes flipped or exchanged, so that the second axis points in the direction ``way``."""
    match way:
        case Way.BACK:
            return flags
        case Way.FRONT:
            return flags[:, ::-1]
        case Way.LEFT:
            return flags.transpose(0, 2, 1)
        case Way.RIGHT:
            return flags[:, :, ::-1].transpose(0, 2, 1)


def scale_of_lung(lung: Flags, spacing_mm: Triple) -> float:
    """Size of the lung relative to an adult's: 1 if the box around it is at least 200 mm long along an axis, less in
    proportion for a smaller lung.  Raises ValueError if no voxel of ``lung`` is set.
    """
    box = box_around(lung, (0, 0, 0))
    longest_mm = max((part.stop - part.start) * s for part, s in zip(box, spacing_mm, strict=True))
    return min(1.0, float(longest_mm) / _LONG_MM)


def _first(flags: Flags) -> npt.NDArray[np.int64]:
    """Index along the second axis of the first set voxel, for each slice and column; that axis' length if none is set."""
    there = flags.any(axis=1)
    return np.asarray(np.where(there, flags.argmax(axis=1), flags.shape[1]), np.int64)
