"""Measures signs that a lung segmentation may be wrong; ``quality`` compares them with limits.

The measurements do not use the rules in ``air`` and ``choice``, and work on a grid of about 4 mm: rays in the slices
find voxels that are open to the image's side, and evenness over 2 cm distinguishes air from lung, however dark.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.ct.reading import LOWEST_HU
from dss_inference.lungs.between import apart, depth, interruption
from dss_inference.lungs.cuts import (
    are_bases_alone,
    is_cut_at_head,
    is_cut_at_side,
    is_heart_most_of_view,
    surface_cut_in_slices,
)
from dss_inference.lungs.ends import bluntness, slanted_bluntness
from dss_inference.lungs.evenness import unevenness
from dss_inference.lungs.haze import hazy
from dss_inference.lungs.pose import PADDING_HU, cube_mm, pose_of, upright
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED, Sides
from dss_inference.lungs.view import TISSUE_HU, Flags, View, box_around, open_to_side
from dss_inference.lungs.wall import (
    Way,
    bone_in,
    is_noisy,
    outside_ml,
    outward,
    without_thick_parts,
)

DENSE_HU = -500
"""Lung above this is denser than healthy lung is."""
_EMPTY_ABOVE_AIR_HU = 20.0
_EVEN_HU = 22.0
_EMPTY_ML = 15.0
_LUNG_ABOVE_AIR_HU, _NEARER_AIR = 80.0, 0.2
"""A place is a pocket of air if its HU lie less than _NEARER_AIR of the way from air to the lungs' median; pockets are
sought only if that median is at least _LUNG_ABOVE_AIR_HU above air.  Dark lung becomes darker little by little; air in
the pleura or in a bulla is dark up to its edge.
"""
_BLOCK = ndi.generate_binary_structure(3, 3)
_CUT_BODY = 0.02
_LEAST_SURFACE_CUT = 0.02
"""Share of the lungs' surface that the view cuts in the slices, from which on their depth and width are not known."""
_LEAST_ML = 50.0
"""Smallest volume of a lung whose ends and wall are measured."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The input of the measurements: arrays (z, y, x) on one grid of about 4 mm.  ``sides`` is the segmentation,
    ``air`` the air in the body outside the airways.  ``clear_hu`` is the HU of air in this image far from all tissue.
    """

    view: View
    sides: Sides
    air: Flags
    clear_hu: float

    @cached_property
    def smooth(self) -> npt.NDArray[np.float32]:
        """Mean HU of the 27 voxels around each voxel, as in ``View``."""
        return self.view.smooth

    @cached_property
    def bone(self) -> Flags:
        """Voxels of bone and of tissue as dense, as ``bone_in`` finds them."""
        return bone_in(self.view.hu, noisy=self.noisy)

    @cached_property
    def thin_bone(self) -> Flags:
        """``bone`` without its thick parts, in the box around the lungs (complete along y); False outside that box."""
        box = box_around(self.sides > 0, (1, self.sides.shape[1], 1))
        thin = np.zeros_like(self.bone)
        thin[box] = without_thick_parts(self.bone[box], self.view.spacing_mm, self.view.scale)
        return thin

    @cached_property
    def noisy(self) -> bool:
        """True if the image is so noisy that thin ribs may not show, by ``is_noisy``."""
        return is_noisy(self.view.hu, self.smooth)

    @property
    def is_cut(self) -> bool:
        """True if the image cuts the body at its left or right."""
        inside = (self.view.hu > TISSUE_HU) | self.air
        return bool(max(inside[:, :, 0].mean(), inside[:, :, -1].mean()) > _CUT_BODY)

    @cached_property
    def to_side(self) -> Flags:
        """Voxels that are open to the image's side, by ``open_to_side``."""
        return open_to_side(self.view)

    def upright(self, *, whole: bool) -> "Seen":
        """The input, rotated so that its axes are the body's; the object itself if they nearly are, if the rotation is
        too large to be corrected, or if the body's axes are not known.

        ``whole``: the image does not cut the body at its left or right.
        """
        axes = pose_of(self.view, self.air | (self.sides > 0), whole=whole)
        if axes is None:
            return self
        spacing_mm = self.view.spacing_mm
        return Seen(
            view=View(
                hu=upright(self.view.hu, spacing_mm, axes, LOWEST_HU),
                spacing_mm=(cube_mm(spacing_mm),) * 3,
            ),
            sides=upright(self.sides, spacing_mm, axes, 0),
            air=upright(self.air.view(np.uint8), spacing_mm, axes, 0) > 0,
            clear_hu=self.clear_hu,
        )


@dataclass(frozen=True, kw_only=True)
class Signs:
    """Signs that a lung segmentation may be wrong.  Unless stated otherwise they are volumes divided by that of the
    lungs, 0..1.

    Density: ``empty`` is lung as dark and even as air; ``pocket`` is the largest place in the lungs that is nearly as
    dark as air, compared with the lungs' median; ``dense`` is lung of unusually high density; ``leaked`` is as dark as
    air, and open to the image's side; ``haze`` are blocks anywhere in the body that are denser than lung and lighter
    than flesh; ``open`` is of any density, and open to the image's side; ``gas`` is air inside the body that was not
    segmented as lung (may be above 1).

    Shape, along the body's axes (``Seen.upright``): ``uneven`` is how differently the sections of left and right change
    from slice to slice, by ``unevenness``; None if a side is missing.  ``left`` is the left lung's part of both; None
    if a side is missing, and where ``cut_at_side`` or ``heart_in_view`` is True.  ``apart`` is the share of the width
    that lies between left and right, by ``between.apart``; 0 if a side is missing.  ``interrupted`` is how deep the
    sections dip along the body, by ``interruption``.  ``depth`` is that of the lungs from front to back, divided by
    their width; None where the view cuts their surface in the slices.  ``cut_by_padding`` is the share of the lungs'
    surface that padding cuts in the slices, as it does in a round view.  ``behind``, ``before`` and ``beside`` are tissue between the
    lungs and the ribs that is neither lung nor chest wall (may be above 1).  ``blunt`` and ``slanted`` are how flat a
    lung ends, 0..1, by ``ends``.  ``fill`` is the volume divided by the cube of the width.  ``cut_at_side``,
    ``bases_alone`` and ``heart_in_view`` say where the edge of the image cuts the lungs, by functions of ``cuts``.
    """

    empty: float = 0.0
    pocket: float = 0.0
    dense: float = 0.0
    leaked: float = 0.0
    haze: float = 0.0
    open: float = 0.0
    gas: float = 0.0
    uneven: float | None = None
    left: float | None = None
    apart: float = 0.0
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


def signs_of(seen: Seen, gas_ml: float) -> Signs:
    """Measure the signs of segmented lungs.  ``seen.sides`` must contain lung; ``gas_ml`` is the first value of
    ``unexplained.other_air_ml``.
    """
    found = seen.sides > 0
    count = float(found.sum())
    core = ndi.binary_erosion(found, border_value=1)
    dark = seen.smooth < seen.clear_hu + 2 * _EMPTY_ABOVE_AIR_HU
    cut = is_cut_at_side(found)
    outside = ~found & (seen.view.hu <= PADDING_HU)
    heart = is_heart_most_of_view(found, outside)
    by_border, by_padding = surface_cut_in_slices(found, outside, seen.view.spacing_mm)
    is_complete = by_border + by_padding < _LEAST_SURFACE_CUT
    body = seen.upright(whole=not seen.is_cut)
    both = bool((seen.sides == LEFT).any() and (seen.sides == RIGHT).any())
    lungs = [(side, body.sides == side) for side in (LEFT, RIGHT, UNSIDED)]
    lungs = [(side, lung) for side, lung in lungs if lung.sum() * body.view.voxel_ml > _LEAST_ML]
    shown, upright_shown = (
        np.asarray((of.view.hu > TISSUE_HU).any(axis=(1, 2)), bool) for of in (seen, body)
    )
    hidden = body.view.hu <= PADDING_HU
    return Signs(
        empty=float((_empty(seen) & found).sum()) / count,
        pocket=_pocket(seen, core) / count,
        dense=float((seen.smooth[core] > DENSE_HU).sum()) / count,
        leaked=float((found & dark & seen.to_side).sum()) / count,
        haze=float(hazy(seen.smooth, seen.to_side).sum()) / count,
        open=float((found & seen.to_side).sum()) / count,
        gas=gas_ml / (count * seen.view.voxel_ml),
        uneven=unevenness(body.sides, body.view.spacing_mm, cut_at_side=cut) if both else None,
        left=float((seen.sides == LEFT).sum()) / count if both and not (cut or heart) else None,
        apart=apart(body.sides, body.view.spacing_mm) if both else 0.0,
        interrupted=interruption(body.sides > 0),
        depth=depth(body.sides > 0, body.view.spacing_mm) if is_complete else None,
        cut_by_padding=by_padding,
        behind=_outside(body, [(lung, Way.BACK) for _, lung in lungs]),
        before=_outside(body, [(lung, Way.FRONT) for _, lung in lungs]),
        beside=_outside(body, [(lung, _side_way(body, side)) for side, lung in lungs]),
        blunt=max(
            (bluntness(lung, upright_shown, body.view.spacing_mm) for _, lung in lungs), default=0.0
        ),
        slanted=max(
            (slanted_bluntness(lung, hidden, body.view.spacing_mm) for _, lung in lungs),
            default=0.0,
        ),
        fill=_fill(seen),
        cut_at_side=cut,
        bases_alone=are_bases_alone(found[shown]),
        heart_in_view=heart,
    )


def _outside(seen: Seen, ways: Iterable[tuple[Flags, Way]]) -> float:
    """Volume of tissue between lungs and ribs that is neither lung nor chest wall, divided by the volume of all lungs.
    ``ways`` are pairs of the voxels of a lung and the direction in which to look for its ribs.
    """
    air = seen.to_side & (seen.view.hu < TISSUE_HU)
    spacing_mm = seen.view.spacing_mm
    cut_at_head = is_cut_at_head(seen.sides[(seen.view.hu > TISSUE_HU).any(axis=(1, 2))] > 0)
    found_ml = [
        outside_ml(
            lung,
            seen.thin_bone if way == Way.FRONT else seen.bone,
            air,
            spacing_mm,
            way,
            cut_at_head=cut_at_head,
            noisy=seen.noisy,
        )
        for lung, way in ways
    ]
    return sum(found_ml) / (float((seen.sides > 0).sum()) * seen.view.voxel_ml)


def _side_way(seen: Seen, side: int) -> Way:
    known = {LEFT: Way.LEFT, RIGHT: Way.RIGHT}
    return known[side] if side in known else outward(seen.view.hu, seen.sides > 0)


def _empty(seen: Seen) -> Flags:
    """The inner voxels of regions of air in the body that are as dark and as even as outside air over 2 cm.  Small
    regions (below 15 ml in an adult) are left out.
    """
    spread = ndi.maximum_filter(seen.smooth, 3) - ndi.minimum_filter(seen.smooth, 3)
    even = (spread < _EVEN_HU) & (seen.smooth < seen.clear_hu + _EMPTY_ABOVE_AIR_HU) & seen.air
    label, count = ndi.label(ndi.binary_opening(even, _BLOCK))
    least_ml = _EMPTY_ML * seen.view.scale**3
    kept = np.bincount(label.ravel(), minlength=count + 1) * seen.view.voxel_ml > least_ml
    kept[0] = False
    return kept[label]


def _pocket(seen: Seen, core: Flags) -> float:
    """Number of voxels of the largest connected place in ``core``, the inner voxels of the lungs, whose mean HU lies at
    most a fifth of the way from air to the median of the lungs.  It is 0 if the lungs themselves are nearly as dark as
    air.

    Means over about 2 cm are compared, because noise changes them less than it changes evenness.
    """
    above_air = ndi.uniform_filter(seen.smooth, 3) - seen.clear_hu
    median = float(np.median(above_air[core])) if core.any() else 0.0
    if median < _LUNG_ABOVE_AIR_HU:
        return 0.0
    label, _ = ndi.label(core & (above_air < _NEARER_AIR * median))
    return float(np.bincount(label.ravel())[1:].max(initial=0))


def _fill(seen: Seen) -> float:
    box = box_around(seen.sides > 0, (0, 0, 0))
    width_cm = (box[2].stop - box[2].start) * seen.view.spacing_mm[2] / 10
    return float((seen.sides > 0).sum()) * seen.view.voxel_ml / float(width_cm**3)
