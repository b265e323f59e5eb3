"""Measures signs that not the segmentation but the image is wrong: its spacing, its orientation, or the order of its
slices.  Such a segmentation may follow the image exactly, and its volumes or its sides are wrong all the same.
"""

from dataclasses import dataclass, replace

import numpy as np

from dss_inference.lungs.orientation import heart_to_left, is_spine_in_front
from dss_inference.lungs.segmented_chest import SegmentedChest
from dss_inference.lungs.sides import LEFT, RIGHT
from dss_inference.lungs.slice_order import largest_jump
from dss_inference.lungs.view import Flags, Triple

_MOST_CUT = 0.02
_LEAST_SHARE = 0.2
"""Smallest share of both lungs that each lung has if their width is that of a chest."""


@dataclass(frozen=True, kw_only=True)
class ImageSigns:
    """Signs that the image is wrong.  ``jump`` is how suddenly it changes between two slices, by ``largest_jump``.
    ``spine_in_front`` is the answer of ``is_spine_in_front``.

    ``tall`` is the lungs' height divided by the width of both, None if the view cuts their width or shows one lung.
    ``heart`` is ``heart_to_left``, None as ``tall`` and where the view cuts the lungs at the feet or the head.  ``is_whole``
    is True where it cuts them nowhere.
    """

    jump: float = 0.0
    spine_in_front: bool = False
    tall: float | None = None
    heart: float | None = None
    is_whole: bool = False


def image_signs_of(chest: SegmentedChest, body: SegmentedChest) -> ImageSigns:
    """Measure the signs.  ``body`` is the upright ``chest``, which must contain lung."""
    signs = ImageSigns(
        jump=largest_jump(chest.view.hu, chest.lungs),
        spine_in_front=is_spine_in_front(body.view.hu, body.lungs, body.view.spacing_mm),
    )
    if _is_cut_in_slices(chest) or not _are_two(body):
        return signs
    shown = chest.lungs[chest.slices_with_tissue]
    is_whole = not shown[[0, -1]].any()
    height_mm, _, width_mm = _extent_mm(body.lungs, body.view.spacing_mm)
    return replace(
        signs,
        tall=height_mm / width_mm,
        heart=heart_to_left(body.sides, body.view.spacing_mm) if is_whole else None,
        is_whole=is_whole,
    )


def _is_cut_in_slices(chest: SegmentedChest) -> bool:
    """True if the left or right edge of the image cuts the lungs, or if the edge or padding cuts more of their surface than
    noise takes for padding.
    """
    return bool(chest.lungs[:, :, [0, -1]].any()) or sum(chest.surface_cut) > _MOST_CUT


def _are_two(body: SegmentedChest) -> bool:
    """True if each side has a fair part of the lungs."""
    shares = [float((body.sides == side).sum()) / float(body.lungs.sum()) for side in (LEFT, RIGHT)]
    return min(shares) > _LEAST_SHARE


def _extent_mm(found: Flags, spacing_mm: Triple) -> Triple:
    places = np.argwhere(found)
    z, y, x = (np.ptp(places, axis=0) + 1) * spacing_mm
    return float(z), float(y), float(x)
