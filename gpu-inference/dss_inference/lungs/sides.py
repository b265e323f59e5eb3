# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Separates the lungs and assigns them to the patient's left and right."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.lungs.air import AIR_HU
from dss_inference.lungs.view import Flags, Triple, View, distance_mm, eroded

NONE, LEFT, RIGHT, UNSIDED = 0, 1, 2, 3
"""Values of the voxels of a segmentation.  UNSIDED: lung whose side is not known, because the image shows one lung
without the middle of the body, or two that could not be separated.
"""

_SPLIT_MM = 4.0
_EROSIONS_MM = (0.0, 2.0, 4.0, 6.0, 9.0, 12.0, 16.0)
_LEAST_SEEDS = 0.02
"""Smallest fraction of the lungs that seeds keep; what is left of a single small lung by then may be in any two places."""
_SHARE = 0.12
"""Smallest fraction of the volume of both that each part of a pair of lungs has."""
_APART, _APART_GROWN = 0.3, 0.2
"""Smallest distance of the centres of two lungs from left to right, as a fraction of the width of both, at any age: of
their seeds, and of whole lungs, whose width, if the patient is turned by 45 degrees, includes much of their height (0.27
to 0.3; two lobes of one lung had 0.11).
"""
_LEVEL = 0.6
"""Smallest distance of the centres of two lungs from left to right, divided by their distance along another axis; two
lungs turned by up to about 50 degrees reach it.
"""
_MOST_ACROSS_PLANE = 0.03
"""Largest accepted fraction of both lungs that lies across the plane between them: up to 0.004 in health, in cut and
turned views, too; 0.06 and more where the upper part of one lung was joined to the other lung.
"""
_DEEPEST_MM = 30.0
_ACROSS_MIDLINE = 0.1

Sides: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Body:
    """The part of the body that the image shows.  ``middle_x`` is the x index of the body's middle.  ``shows_both_sides`` is True
    if the image does not cut the body at its left or right.
    """

    middle_x: float
    shows_both_sides: bool


def body_of(view: View, enclosed: Flags) -> Body:
    """The middle of the body, and whether the image cuts it at its left or right, from the voxels of tissue and of
    ``enclosed``, the air inside the body.  Thin objects, such as a table, do not change the middle.  Without a thick
    part it is the middle of the image, and the body counts as cut.
    """
    inside = (view.hu >= AIR_HU) | enclosed
    thick = ndi.binary_erosion(inside, iterations=2)
    across = thick.sum(axis=(0, 1))
    if not across.any():
        return Body(middle_x=view.hu.shape[2] / 2, shows_both_sides=False)
    cut = max(inside[:, :, 0].mean(), inside[:, :, -1].mean()) > 0.02
    return Body(
        middle_x=float(np.average(np.arange(across.size), weights=across)), shows_both_sides=not cut
    )


def sided(view: View, lungs: Flags, body: Body) -> Sides:
    """LEFT and RIGHT for every voxel of ``lungs`` (z, y, x), or one value throughout if they are not a pair, or if no
    plane separates both: UNSIDED unless the side is clear.  Decided on a grid of about 4 mm, by erosion until the lungs separate, and a watershed.

    Erosion may also separate the lobes of one lung.  The lobes lie one above the other, so that they are not taken for
    a pair of lungs.
    """
    factors = tuple(max(1, round(_SPLIT_MM / s)) for s in view.spacing_mm)
    dz, dy, dx = (s * k for s, k in zip(view.spacing_mm, factors, strict=True))
    few = np.ascontiguousarray(lungs[tuple(slice(None, None, k) for k in factors)])
    markers = _markers(few, (dz, dy, dx))
    if not markers.any():
        return np.where(lungs, _side_of_one(lungs, body), NONE).astype(np.uint8)
    spread = _grown(few, markers, (dz, dy, dx))
    parted = np.where(few, spread, NONE)
    if (
        _pair(parted, 2, (dz, dy, dx), _APART_GROWN) is None
        or _across_plane(parted, (dz, dy, dx)) > _MOST_ACROSS_PLANE
    ):
        return np.where(lungs, _side_of_one(lungs, body), NONE).astype(np.uint8)
    z, y, x = (np.arange(n) // k for n, k in zip(lungs.shape, factors, strict=True))
    return np.where(lungs, spread[np.ix_(z, y, x)], np.uint8(NONE))


def _side_of_one(lungs: Flags, body: Body) -> int:
    """LEFT or RIGHT for a single lung; UNSIDED unless the body is completely in view and the lung lies on one side of
    it.
    """
    x = np.nonzero(lungs)[2]
    left_share = float((x > body.middle_x).mean())
    if not body.shows_both_sides or _ACROSS_MIDLINE < left_share < 1 - _ACROSS_MIDLINE:
        return UNSIDED
    return LEFT if left_share > 0.5 else RIGHT


def _markers(lungs: Flags, spacing_mm: Triple) -> Sides:
    """Seeds of the left and the right lung, by the weakest erosion that separates the lungs; NONE elsewhere.  All NONE
    if no erosion gives two lungs.
    """
    for depth_mm in _EROSIONS_MM:
        seeds = eroded(lungs, spacing_mm, depth_mm)
        if seeds.sum() < _LEAST_SEEDS * lungs.sum():
            break
        label, count = ndi.label(seeds)
        pair = _pair(label, count, spacing_mm)
        if pair is not None:
            right, left = pair
            return np.select(
                [label == left, label == right], [np.uint8(LEFT), np.uint8(RIGHT)], np.uint8(NONE)
            )
    return np.zeros(lungs.shape, np.uint8)


def _pair(
    label: npt.NDArray[np.integer], count: int, spacing_mm: Triple, least_apart: float = _APART
) -> tuple[int, int] | None:
    """The labels of the two largest parts if they may be a pair of lungs, the patient's right one (smaller x) first;
    None if they are not.

    ``label`` is (z, y, x) with ``count`` parts.  ``least_apart`` is the smallest distance of their centres from left to
    right, as a fraction of their width.
    """
    sizes = np.bincount(label.ravel(), minlength=count + 1)[1:]
    if count < 2 or np.partition(sizes, -2)[-2] < _SHARE * sizes.sum():
        return None
    largest = np.argsort(sizes)[-2:] + 1
    centres = np.array(ndi.center_of_mass(label > 0, label, largest))
    dz, dy, dx = np.abs(centres[0] - centres[1]) * spacing_mm
    across = np.flatnonzero(np.isin(label, largest).any(axis=(0, 1)))
    wide_mm = float(across[-1] + 1 - across[0]) * spacing_mm[2]
    if dx < least_apart * wide_mm or dx < _LEVEL * max(dz, dy):
        return None
    first, second = largest[np.argsort(centres[:, 2])].tolist()
    return first, second


def _grown(lungs: Flags, markers: Sides, spacing_mm: Triple) -> Sides:
    """Assign each voxel of the lungs to LEFT or RIGHT by a watershed from ``markers``.  The two regions meet where
    the lungs are thinnest.
    """
    depth = np.minimum(distance_mm(~lungs, spacing_mm), _DEEPEST_MM)
    flooded = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(-depth), sitk.GetImageFromArray(markers), markWatershedLine=False
    )
    spread: Sides = sitk.GetArrayFromImage(flooded)
    return spread


def _across_plane(sides: Sides, spacing_mm: Triple) -> float:
    """The fraction of the voxels of both lungs that lie on the other lung's side of the plane between them, by Fisher's
    linear discriminant: the plane half-way between both centres that separates them best.

    The heart, and a turn of the patient, hardly change it.
    """
    points = [np.argwhere(sides == side) * spacing_mm for side in (LEFT, RIGHT)]
    count = sum(len(p) for p in points)
    left, right = (p.mean(axis=0) for p in points)
    spread = sum((p - p.mean(axis=0)).T @ (p - p.mean(axis=0)) for p in points) / count
    normal = np.linalg.solve(spread + np.eye(3), left - right)
    middle = (left + right) / 2 @ normal
    across = (points[0] @ normal < middle).sum() + (points[1] @ normal > middle).sum()
    return float(across) / count
