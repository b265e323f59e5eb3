"""Measures signs that a lung segmentation may be wrong; ``quality`` compares them with limits.

The measurements do not use the rules in ``air`` and ``choice``, and work on a grid of about 4 mm: rays in the slices
find voxels that are open to the image's side, and evenness over 2 cm distinguishes air from lung, however dark.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import scipy.ndimage as ndi

from dss_inference.lungs.between import apart, beyond_gap, depth, interruption
from dss_inference.lungs.connection import detached
from dss_inference.lungs.cuts import (
    are_bases_alone,
    is_cut_at_head,
    is_cut_at_side,
    is_heart_most_of_view,
)
from dss_inference.lungs.darkness import EMPTY_ABOVE_AIR_HU, pocket_voxels, regions_of_air
from dss_inference.lungs.ends import bluntness, slanted_bluntness
from dss_inference.lungs.evenness import unevenness
from dss_inference.lungs.haze import hazy
from dss_inference.lungs.image_signs import ImageSigns, image_signs_of
from dss_inference.lungs.pose import PADDING_HU
from dss_inference.lungs.segmented_chest import SegmentedChest
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED
from dss_inference.lungs.view import TISSUE_HU, Flags, box_around
from dss_inference.lungs.wall import Way, outside_ml, outward

DENSE_HU = -500
"""Lung above this is denser than healthy lung is."""
_LEAST_SURFACE_CUT = 0.02
"""Share of the lungs' surface that the view cuts in the slices, from which on their depth and width are not known."""
_GAP_MM = 40.0
"""Width of a gap between lung and lung in which heart or spine may lie."""
_LEAST_ML = 50.0
"""Smallest volume of a lung whose ends and wall are measured."""


@dataclass(frozen=True, kw_only=True)
class Signs:
    """Signs that a lung segmentation may be wrong.  Unless stated otherwise they are volumes divided by that of the
    lungs, 0..1.

    Density: ``empty`` is lung as dark and even as air; ``pocket`` is the largest place in the lungs that is nearly as
    dark as air, compared with the lungs' median; ``dense`` is lung of unusually high density; ``leaked`` is as dark as
    air, and open to the image's side; ``haze`` are blocks anywhere in the body that are denser than lung and lighter
    than flesh; ``open`` is of any density, and open to the image's side; ``detached`` is not connected to the
    rest of its lung; ``gas`` is air inside the body that was not segmented as lung (may be above 1).

    Shape, along the body's axes (``SegmentedChest.upright``): ``uneven`` is how differently the sections of left and right change
    from slice to slice, by ``unevenness``; None if a side is missing.  ``left`` is the left lung's part of both; None
    if a side is missing, and where ``cut_at_side`` or ``heart_in_view`` is True.  ``apart`` is the share of the width
    that lies between left and right, by ``between.apart``; 0 if a side is missing.  ``beyond_gap`` is the share of lung
    of unknown side that lies beyond a gap as wide as the heart, by ``between.beyond_gap``.  ``interrupted`` is how deep the
    sections dip along the body, by ``interruption``.  ``depth`` is that of the lungs from front to back, divided by
    their width; None where the view cuts their surface in the slices.  ``cut_by_padding`` is the share of the lungs'
    surface that padding cuts in the slices, as it does in a round view.  ``behind``, ``before`` and ``beside`` are tissue between the
    lungs and the ribs that is neither lung nor chest wall (may be above 1).  ``blunt`` and ``slanted`` are how flat a
    lung ends, 0..1, by ``ends``.  ``fill`` is the volume divided by the cube of the width.  ``cut_at_side``,
    ``bases_alone`` and ``heart_in_view`` say where the edge of the image cuts the lungs, by functions of ``cuts``.  ``image``
    are signs that the image itself is wrong.
    """

    empty: float = 0.0
    pocket: float = 0.0
    dense: float = 0.0
    leaked: float = 0.0
    haze: float = 0.0
    open: float = 0.0
    detached: float = 0.0
    gas: float = 0.0
    uneven: float | None = None
    left: float | None = None
    apart: float = 0.0
    beyond_gap: float = 0.0
    interrupted: float = 0.0
    depth: float | None = None
    cut_by_padding: float = 0.0
    behind: float = 0.0
    before: float = 0.0
    beside: float = 0.0
    blunt: float = 0.0
    slanted: float = 0.0
    fill: float = 0.3
    cut_at_side: bool = False
    bases_alone: bool = False
    heart_in_view: bool = False
    image: ImageSigns = field(default_factory=ImageSigns)


def signs_of(chest: SegmentedChest, gas_ml: float) -> Signs:
    """Measure the signs of segmented lungs.  ``chest.sides`` must contain lung; ``gas_ml`` is the first value of
    ``unexplained.other_air_ml``.
    """
    signs = _with_density(_signs_of_view(chest), chest, gas_ml)
    body = chest.upright(shows_both_sides=not chest.is_cut)
    signs = _with_shape(signs, body, depth_is_known=sum(chest.surface_cut) < _LEAST_SURFACE_CUT)
    signs = replace(signs, image=image_signs_of(chest, body))
    if (chest.sides == LEFT).any() and (chest.sides == RIGHT).any():
        signs = _with_comparison(signs, chest, body)
    lungs = _large_lungs(body)
    return _with_ends(_with_wall(signs, body, lungs), body, lungs)


def _signs_of_view(chest: SegmentedChest) -> Signs:
    """Where the edge of the image and padding cut the lungs, and whether lung of unknown side is both; all other signs have their defaults."""
    _, by_padding = chest.surface_cut
    return Signs(
        fill=_fill(chest),
        cut_by_padding=by_padding,
        beyond_gap=beyond_gap(
            chest.sides == UNSIDED, chest.view.spacing_mm, _GAP_MM * chest.view.scale
        ),
        cut_at_side=is_cut_at_side(chest.lungs),
        bases_alone=are_bases_alone(chest.lungs[chest.slices_with_tissue]),
        heart_in_view=is_heart_most_of_view(chest.lungs, chest.padding),
    )


def _with_density(signs: Signs, chest: SegmentedChest, gas_ml: float) -> Signs:
    lungs, smooth = chest.lungs, chest.smooth
    count = float(lungs.sum())
    core = ndi.binary_erosion(lungs, border_value=1)
    dark = smooth < chest.clear_hu + 2 * EMPTY_ABOVE_AIR_HU
    return replace(
        signs,
        empty=float((regions_of_air(chest) & lungs).sum()) / count,
        pocket=pocket_voxels(chest, core) / count,
        dense=float((smooth[core] > DENSE_HU).sum()) / count,
        leaked=float((lungs & dark & chest.to_side).sum()) / count,
        haze=float(hazy(smooth, chest.to_side).sum()) / count,
        open=float((lungs & chest.to_side).sum()) / count,
        detached=detached(chest.sides),
        gas=gas_ml / (count * chest.view.voxel_ml),
    )


def _with_shape(signs: Signs, body: SegmentedChest, *, depth_is_known: bool) -> Signs:
    """Add the signs that do not distinguish left and right.  ``body`` is the upright chest."""
    depth_known = depth(body.lungs, body.view.spacing_mm) if depth_is_known else None
    return replace(signs, interrupted=interruption(body.lungs), depth=depth_known)


def _with_comparison(signs: Signs, chest: SegmentedChest, body: SegmentedChest) -> Signs:
    """Add the signs that compare left and right, for a ``chest`` that has both.  ``body`` is the upright chest."""
    spacing_mm, cut = body.view.spacing_mm, signs.cut_at_side
    left = float((chest.sides == LEFT).sum()) / float(chest.lungs.sum())
    return replace(
        signs,
        uneven=unevenness(body.sides, spacing_mm, cut_at_side=cut),
        left=None if cut or signs.heart_in_view else left,
        apart=apart(body.sides, spacing_mm),
    )


def _large_lungs(body: SegmentedChest) -> dict[int, Flags]:
    """The voxels of each lung of more than 50 ml, by its side; lung without a side counts as one."""
    lungs = {side: body.sides == side for side in (LEFT, RIGHT, UNSIDED)}
    voxel_ml = body.view.voxel_ml
    return {side: lung for side, lung in lungs.items() if lung.sum() * voxel_ml > _LEAST_ML}


def _with_wall(signs: Signs, body: SegmentedChest, lungs: Mapping[int, Flags]) -> Signs:
    """Add how much tissue lies between ``lungs``, by side, and their ribs.  ``body`` is the upright chest."""
    return replace(
        signs,
        behind=_outside(body, [(lung, Way.BACK) for lung in lungs.values()]),
        before=_outside(body, [(lung, Way.FRONT) for lung in lungs.values()]),
        beside=_outside(body, [(lung, _side_way(body, side)) for side, lung in lungs.items()]),
    )


def _with_ends(signs: Signs, body: SegmentedChest, lungs: Mapping[int, Flags]) -> Signs:
    """Add how flat ``lungs``, by side, end.  ``body`` is the upright chest."""
    spacing_mm, shown = body.view.spacing_mm, body.slices_with_tissue
    hidden = body.view.hu <= PADDING_HU
    flat = [bluntness(lung, shown, spacing_mm) for lung in lungs.values()]
    slanted = [slanted_bluntness(lung, hidden, spacing_mm) for lung in lungs.values()]
    return replace(signs, blunt=max(flat, default=0.0), slanted=max(slanted, default=0.0))


def _outside(body: SegmentedChest, lungs: list[tuple[Flags, Way]]) -> float:
    """Volume of tissue between lungs and ribs that is neither lung nor chest wall, divided by the volume of all lungs.
    ``lungs`` are pairs of the voxels of a lung and the direction in which to look for its ribs.
    """
    air = body.to_side & (body.view.hu < TISSUE_HU)
    cut_at_head = is_cut_at_head(body.lungs[body.slices_with_tissue])
    volumes_ml = [
        outside_ml(
            lung,
            body.thin_bone if way == Way.FRONT else body.bone,
            air,
            body.view.spacing_mm,
            way,
            cut_at_head=cut_at_head,
            noisy=body.noisy,
        )
        for lung, way in lungs
    ]
    return sum(volumes_ml) / (float(body.lungs.sum()) * body.view.voxel_ml)


def _side_way(body: SegmentedChest, side: int) -> Way:
    known = {LEFT: Way.LEFT, RIGHT: Way.RIGHT}
    return known[side] if side in known else outward(body.view.hu, body.lungs)


def _fill(chest: SegmentedChest) -> float:
    box = box_around(chest.lungs, (0, 0, 0))
    width_cm = (box[2].stop - box[2].start) * chest.view.spacing_mm[2] / 10
    return float(chest.lungs.sum()) * chest.view.voxel_ml / float(width_cm**3)
