"""Measures how flat the ends of segmented lungs are.  Healthy lungs taper towards their tops, and the diaphragm's
domes bulge into their bases.

Where a part of a lung is lost to consolidation, fluid, collapse or removal, its end is a flat face.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dss_inference.lungs.view import Flags, Triple
from dss_inference.lungs.wall import scale_of_lung

_END_MM = 12.0
_TILTS = tuple(np.tan(np.radians(range(-16, 17, 8))).tolist())
"""Tangents of the angles, from -16 to 16 degrees, by which the planes of ``slanted_bluntness`` are tilted against the
slices, towards the back and towards the side.
"""
_CUT_END = 0.02
"""The edge of the image or padding cuts an end of a lung if it cuts an area of more than this fraction of the lung's
largest section.
"""


def bluntness(lung: Flags, shown: Flags, spacing_mm: Triple) -> float:
    """How abruptly ``lung`` ends or changes: the greatest change of its cross-section over about 12 mm (less for a lung
    shorter than 200 mm), divided by its largest cross-section.  1 for a lung with flat ends; 0 if no shown slice has
    lung.

    ``lung``: flags (z, y, x) of one lung.  ``shown``: flags (z,) of the slices that are not blank; others are left out,
    so that an end that the edge of the image or blank slices cut does not count.
    """
    areas = lung[shown].sum(axis=(1, 2)).astype(np.float64)
    if not areas.any():  # no slice of it shows tissue
        return 0.0
    step = max(1, round(_END_MM * scale_of_lung(lung, spacing_mm) / spacing_mm[0]))
    change = np.abs(areas[step:] - areas[:-step]) / areas.max()
    return float(change.max(initial=0.0))


def slanted_bluntness(lung: Flags, hidden: Flags, spacing_mm: Triple) -> float:
    """How flat the ends of ``lung``, flags (z, y, x) of one lung, are, 0..1: the greatest decrease of its cross-section
    towards an end over about 12 mm, divided by its largest cross-section.  It is the maximum over cutting planes that
    are tilted by up to 16 degrees towards the back and up to 16 degrees towards the side, in all combinations.

    Ends that the edge of the image or ``hidden``, the voxels (z, y, x) without image, cuts do not count.  0 for a lung
    that touches a side of the image, because its cross-sections may have any shape.
    """
    sides = (lung[:, 0], lung[:, -1], lung[:, :, 0], lung[:, :, -1])
    if any(side.any() for side in sides):
        return 0.0
    largest = lung.sum(axis=(1, 2)).max()
    cut = [
        (lung[inner] & hidden[outer]).sum() + lung[end].sum() > _CUT_END * largest
        for inner, outer, end in (
            (np.s_[1:], np.s_[:-1], 0),
            (np.s_[:-1], np.s_[1:], -1),
        )
    ]
    dz, dy, dx = spacing_mm
    z, y, x = np.nonzero(lung)
    step = max(1, round(_END_MM * scale_of_lung(lung, spacing_mm) / dz))
    return max(
        _steepest(z + (a * y * dy + b * x * dx) / dz, np.hypot(np.hypot(a, b), 1.0), step, cut)
        for a in _TILTS
        for b in _TILTS
    )


def _steepest(
    height: npt.NDArray[np.float64], stretch: float, step: int, cut: Sequence[bool]
) -> float:
    """The greatest decrease of the cross-section towards an end over ``step`` voxels, divided by the largest
    cross-section.

    ``height``, (voxels,), is the position of each voxel of the lung across the cutting plane, in voxels times
    ``stretch``.  ``cut`` says for the low and the high end whether the image cuts it; such an end does not count.
    """
    rows = np.rint((height - height.min()) / stretch).astype(np.int64)
    areas = np.pad(np.bincount(rows).astype(np.float64), step)
    change = areas[step:] - areas[:-step]
    middle = int(areas.argmax())
    ends = (
        0.0 if cut[0] else change[:middle].max(),
        0.0 if cut[1] else -change[middle - step :].min(),
    )
    return float(max(ends) / areas.max())
