"""Measures where the edge of the image, or of its padding, cuts segmented lungs.  The verdict on the segmentation uses
other limits there.
"""

import math

import numpy as np

from dss_inference.lungs.view import Flags, Triple

_CUT_SHARE = 0.15
_WIDE = 0.5
_WIDEST = 0.8
"""Area of a cut through a lung, divided by the lung's largest section, above which less than about half of the lung is
in view.
"""


def is_cut_at_side(found: Flags) -> bool:
    """True if the image's left or right edge cuts lung in many slices: more than 15 % of those with lung.

    ``found``: flags (z, y, x) of both lungs in LPS order; so also in the other functions of this module.
    """
    cut = found[:, :, [0, -1]].any(axis=(1, 2))
    return bool(cut.sum() > _CUT_SHARE * found.any(axis=(1, 2)).sum())


def is_cut_at_head(found: Flags) -> bool:
    """True if the image's end at the head cuts the lungs widely: their section in the last slice is more than half as
    large as their largest one.  ``found``, flags (z, y, x) of both lungs, must not contain blank slices.  False without
    lung.
    """
    areas = found.sum(axis=(1, 2))
    return bool(areas.size and areas[-1] > _WIDE * areas.max())


def are_bases_alone(found: Flags) -> bool:
    """True if the image shows only the bases of the lungs: it cuts them widely at the head, by ``is_cut_at_head``, and
    not as widely at the feet.  ``found`` is as there.
    """
    areas = found.sum(axis=(1, 2))
    return is_cut_at_head(found) and bool(areas[0] <= _WIDE * areas.max())


def is_heart_most_of_view(found: Flags, hidden: Flags) -> bool:
    """True if the edge of the image, or its padding ``hidden``, cuts the lungs at the left, the right or the back over
    more than 80 % of their largest section parallel to that edge.  The part in view then lies around the heart, which
    takes more space from one lung than from the other.  ``found``: flags (z, y, x) of both lungs in LPS order.
    """
    right, left = _cut_share(found, hidden, 2)
    _, back = _cut_share(found, hidden, 1)
    return max(right, left, back) > _WIDEST


def surface_cut_in_slices(found: Flags, hidden: Flags, spacing_mm: Triple) -> tuple[float, float]:
    """The shares 0..1 of the lungs' surface at which the edge of the image, and padding, cut them at the front, the
    back, the left and the right.  ``found``: flags (z, y, x) of both lungs, which must contain lung; ``hidden``: the
    voxels without image, none of them lung.
    """
    sizes_mm2 = [math.prod(spacing_mm) / side_mm for side_mm in spacing_mm]
    whole = by_border = by_padding = 0.0
    for axis, mm2 in enumerate(sizes_mm2):
        lung, none = (np.moveaxis(flags, axis, 0) for flags in (found, hidden))
        at_border = float(lung[0].sum() + lung[-1].sum()) * mm2
        whole += at_border + float((lung[1:] != lung[:-1]).sum()) * mm2
        if axis:
            by_border += at_border
            by_padding += float((lung[1:] & none[:-1]).sum() + (lung[:-1] & none[1:]).sum()) * mm2
    return by_border / whole, by_padding / whole


def _cut_share(found: Flags, hidden: Flags, axis: int) -> tuple[float, float]:
    """Areas of lung cut at the low and at the high end of ``axis``, each divided by the largest section of lung across
    that axis.  ``hidden`` are the voxels without image.
    """
    lung, none = (np.moveaxis(flags, axis, 0) for flags in (found, hidden))
    largest = max(1, int(lung.sum(axis=(1, 2)).max()))
    low = lung[0].sum() + (lung[1:] & none[:-1]).sum()
    high = lung[-1].sum() + (lung[:-1] & none[1:]).sum()
    return float(low) / largest, float(high) / largest
