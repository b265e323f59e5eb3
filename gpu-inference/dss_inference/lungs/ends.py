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
"""Of a flat end against the slices, to the back and to the side."""
_CUT_END = 0.02
"""An end has this fraction of the largest section at most beside voxels that show nothing, unless the view cuts it."""


def bluntness(lung: Flags, shown: Flags, spacing_mm: Triple) -> float:
    """How abruptly ``lung``, of one side, ends: the greatest change of its cross-section over some 12 mm, divided by
    its largest cross-section.  It is 1 for a lung with flat ends.

    ``shown`` are the slices that are not blank.  An end that the view or blank slices cut does not count.
    """
    areas = lung[shown].sum(axis=(1, 2)).astype(np.float64)
    if not areas.any():  # no slice of it shows tissue
        return 0.0
    step = max(1, round(_END_MM * scale_of_lung(lung, spacing_mm) / spacing_mm[0]))
    change = np.abs(areas[step:] - areas[:-step]) / areas.max()
    return float(change.max(initial=0.0))


def slanted_bluntness(lung: Flags, hidden: Flags, spacing_mm: Triple) -> float:
    """Like ``bluntness``, but the maximum over cutting planes that are tilted by up to 16 degrees.  Ends that the
    view cuts do not count.

    ``hidden`` are the voxels without image.  The result is 0 for a lung that the view cuts at its side, because its
    cross-sections may have any shape.
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
    """The greatest change of the cross-section's area over ``step`` voxels.  ``height`` is the position of each
    voxel, in voxels, across the cutting plane.

    ``stretch`` is the factor by which these positions are too long; ``cut`` says which of the two ends the view cuts.
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
