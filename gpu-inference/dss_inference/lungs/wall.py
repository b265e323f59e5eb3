"""Measures what lies between found lungs and the ribs, and how the lungs end.

Lung reaches the ribs behind it and beside it at any height.  Consolidation, fluid and collapse leave tissue there that
is as dense as flesh, and that nothing else tells from flesh where there is no other lung to compare with.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.view import TISSUE_HU, Flags, Triple, box_around

_BONE_HU = 130
_NOISY_HU, _NOISY_BONE_HU = 60.0, 110
"""In noise above the first, bone is sought by the second in means of 27 voxels."""
_GAP_MM = (20.0, 80.0)
"""A smaller gap is the chest wall's own; behind a larger one, there is liver, spleen or bowel."""
_RIBS_APART_MM, _RIB_WIDTH_MM = 14.0, 8.0
"""Along the body and across it: bone so near counts as bone, since a ray may pass between two ribs."""
_MIDDLE = 1 / 3
"""Fraction of each slice of a lung that lies beside heart and spine."""
_UPPER = 0.4
"""Fraction of a lung's height, from the top, below which heart and liver lie in front of it."""
_FEW = 0.2
"""A lung that reaches the ribs in a smaller fraction of its columns may lie behind any amount of lost lung."""
_LONG_MM = 200.0
"""Length of a lung for which the other lengths hold; they shrink with a shorter one, such as an infant's."""
_END_MM = 12.0
_SAMPLES = 50_000
"""Voxels from which the noise is estimated."""


class Way(StrEnum):
    """The direction from a lung to the ribs."""

    BACK = "back"
    FRONT = "front"
    LEFT = "left"
    RIGHT = "right"


def bone_in(hu: npt.NDArray[np.int16], smooth: npt.NDArray[np.float32]) -> Flags:
    """Bone, and what is as dense; ``smooth``: each voxel's HU as the mean of the 27 around it."""
    flesh = np.flatnonzero(smooth > TISSUE_HU)
    few = flesh[:: flesh.size // _SAMPLES + 1]
    noise_hu = 1.48 * np.median(np.abs(hu.ravel()[few] - smooth.ravel()[few])) if few.size else 0.0
    return np.asarray(smooth > _NOISY_BONE_HU if noise_hu > _NOISY_HU else hu > _BONE_HU, bool)


def outside_ml(lung: Flags, bone: Flags, air: Flags, spacing_mm: Triple, way: Way) -> float:
    """Volume of what is neither lung nor wall between ``lung``, of one side, and the next ``bone`` on ``way``.

    ``air`` is that around the body.  Nothing is counted where no bone is in view; on the way to the back and front, in
    the third of each slice of the lung that lies towards the middle, beside heart and spine; and on the way to the
    front, in the lower part of the lung, behind heart and liver.
    """
    scale = _scale(lung, spacing_mm)
    dz, dy, dx = spacing_mm
    along_mm, across_mm = (dy, dx) if way in (Way.BACK, Way.FRONT) else (dx, dy)
    lung, bone, air = (_turned(flags, way) for flags in (lung, bone, air))
    there = np.asarray(lung.any(axis=1), bool)
    last = lung.shape[1] - 1 - lung[:, ::-1].argmax(axis=1)
    beyond = np.arange(lung.shape[1])[:, None] > last[:, None]
    none = lung.shape[1]
    hit = _first(beyond & bone)
    hit = np.where(there & (hit < _first(beyond & air)), hit, none)
    window = [
        2 * round(mm * scale / s) + 1
        for mm, s in ((_RIBS_APART_MM, dz), (_RIB_WIDTH_MM, across_mm))
    ]
    ribs = ndi.minimum_filter(hit, window)
    known = np.asarray(there & (ribs < none), bool)
    gap_mm = np.where(known, (ribs - last - 1) * along_mm, 0.0)
    if way == Way.FRONT:
        heights = np.flatnonzero(there.any(axis=1))
        gap_mm[: round(heights[-1] - _UPPER * (heights[-1] - heights[0]))] = 0
    return _counted(gap_mm, known, there, scale, way) * dz * across_mm / 1000


def _counted(
    gap_mm: npt.NDArray[np.float64], known: Flags, there: Flags, scale: float, way: Way
) -> float:
    """Sum of the gaps that count.  Larger ones do, too, if the lung reaches the ribs hardly anywhere."""
    least_mm, most_mm = (mm * scale for mm in _GAP_MM)
    reaches = (known & (gap_mm < least_mm)).any(axis=0)
    if reaches.sum() > _FEW * known.any(axis=0).sum():
        gap_mm = np.where(gap_mm > most_mm, 0, gap_mm)
    gap_mm = np.where(gap_mm < least_mm, 0, gap_mm)
    if way in (Way.LEFT, Way.RIGHT):
        return float(gap_mm.sum())
    before = np.cumsum(there, axis=1) / np.maximum(1, there.sum(axis=1, keepdims=True))
    return float(min(gap_mm[before > _MIDDLE].sum(), gap_mm[before <= 1 - _MIDDLE].sum()))


def bluntness(lung: Flags, shown: Flags, spacing_mm: Triple) -> float:
    """The greatest rise or fall of the area of the sections of ``lung``, of one side, over some 12 mm, through its largest section.

    1 for a lung with flat ends.  ``shown``: the slices that show anything; a lung that the view or blank slices cut has no end there.
    """
    areas = lung[shown].sum(axis=(1, 2)).astype(np.float64)
    if not areas.any():  # no slice of it shows tissue
        return 0.0
    step = max(1, round(_END_MM * _scale(lung, spacing_mm) / spacing_mm[0]))
    change = np.abs(areas[step:] - areas[:-step]) / areas.max()
    return float(change.max(initial=0.0))


def outward(hu: npt.NDArray[np.int16]) -> Way:
    """LEFT or RIGHT: the side on which the image shows more air or padding."""
    right, left = (float((hu[:, :, x] < TISSUE_HU).mean()) for x in (0, -1))
    return Way.LEFT if left > right else Way.RIGHT


def _turned(flags: Flags, way: Way) -> Flags:
    """``flags`` with ``way`` along the second axis."""
    match way:
        case Way.BACK:
            return flags
        case Way.FRONT:
            return flags[:, ::-1]
        case Way.LEFT:
            return flags.transpose(0, 2, 1)
        case Way.RIGHT:
            return flags[:, :, ::-1].transpose(0, 2, 1)


def _scale(lung: Flags, spacing_mm: Triple) -> float:
    """1 for a lung of an adult, less for one that is shorter."""
    box = box_around(lung, (0, 0, 0))
    longest_mm = max((part.stop - part.start) * s for part, s in zip(box, spacing_mm, strict=True))
    return min(1.0, float(longest_mm) / _LONG_MM)


def _first(flags: Flags) -> npt.NDArray[np.int64]:
    """The first set row of each column of each slice, or the number of rows."""
    there = flags.any(axis=1)
    return np.asarray(np.where(there, flags.argmax(axis=1), flags.shape[1]), np.int64)
