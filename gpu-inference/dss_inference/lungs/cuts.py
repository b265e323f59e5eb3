"""Measures where the border of the view, or of its padding, cuts segmented lungs."""

import numpy as np

from dss_inference.lungs.view import Flags

_CUT_SHARE = 0.15
_WIDE = 0.5
_WIDEST = 0.8
"""Smallest fraction of a lung's largest section at which a cut leaves less than about half of that lung in view."""


def is_cut_at_side(found: Flags) -> bool:
    """True if the view cuts lung at its left or right in many slices."""
    cut = found[:, :, [0, -1]].any(axis=(1, 2))
    return bool(cut.sum() > _CUT_SHARE * found.any(axis=(1, 2)).sum())


def are_bases_alone(found: Flags) -> bool:
    """True if the view cuts the lungs at the head where they are wide, so that it shows only their bases.  ``found``
    must not contain blank slices.
    """
    areas = found.sum(axis=(1, 2))
    return bool(areas.size and areas[-1] > _WIDE * areas.max())


def is_heart_most_of_view(found: Flags, hidden: Flags) -> bool:
    """True if the view, or its padding ``hidden``, cuts the lungs at the left, the right or the back where they are
    widest.  What it shows of them lies around the heart, which takes space from one side more than from the other.
    """
    right, left = _cut_share(found, hidden, 2)
    _, back = _cut_share(found, hidden, 1)
    return max(right, left, back) > _WIDEST


def _cut_share(found: Flags, hidden: Flags, axis: int) -> tuple[float, float]:
    """Areas of lung cut at the low and at the high end of ``axis``, divided by the largest section across it."""
    lung, none = (np.moveaxis(flags, axis, 0) for flags in (found, hidden))
    largest = max(1, int(lung.sum(axis=(1, 2)).max()))
    low = lung[0].sum() + (lung[1:] & none[:-1]).sum()
    high = lung[-1].sum() + (lung[:-1] & none[1:]).sum()
    return float(low) / largest, float(high) / largest
