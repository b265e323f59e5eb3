"""Outlines a nodule candidate: the region is grown from the centre, and separated from vessels and the chest wall."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.view import Flags, Triple, distance_mm
from dss_inference.nodules.lungspace import LungSpace
from dss_inference.nodules.shape import Shape

_FINE_MM = 0.5
_REACH, _REACH_MM = 1.6, 2.0
"""An outline may extend at most _REACH times the candidate's radius plus _REACH_MM from its centre."""
_THIN, _THINNEST_MM = 0.35, 2.0
"""A part that is thinner than twice the smaller one of _THIN times the radius and _THINNEST_MM is a vessel that leads
away.
"""
_ROUGH_MM = 0.7
_READ_HU = -500.0
"""Upper limit of the HU at the edge of an outline.  Readers draw at a lung window (level -600, width 1500), where
darker voxels look like lung.  Half-way up to a dense core, the edge would exclude the soft rim that they include.
"""
_ANGLES = np.deg2rad(np.arange(0, 180, 5))
_WAYS = np.stack([np.sin(_ANGLES), np.cos(_ANGLES)], axis=1)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The voxels of one candidate: ``part`` are flags (z, y, x) in ``box``, slices of the image.  ``fine`` are flags in
    the same box with smaller voxels of ``fine_mm``, a whole number of which fits into an image voxel along each axis.
    """

    box: tuple[slice, ...]
    part: Flags
    fine: Flags
    fine_mm: Triple

    @cached_property
    def diameter_mm(self) -> float:
        """Longest diameter in any axial slice, from edge to edge, as a reader measures it."""
        in_plane = self.fine_mm[1:]
        longest = max(_longest_mm(row, in_plane) for row in self.fine if row.any())
        return longest + sum(in_plane) / 2


def outline_of(
    shape: Shape, space: LungSpace, hu: npt.NDArray[np.int16], spacing_mm: Triple
) -> Outline:
    """The outline of a candidate with ``shape`` in the image ``hu`` (z, y, x).  It contains at least a core around the
    centre, even if the candidate is faint.
    """
    reach_mm = _REACH * shape.radius_mm + _REACH_MM
    centre = space.in_image(shape.centre)
    box = _box(centre, reach_mm, hu.shape, spacing_mm)
    parts = tuple(max(1, round(s / _FINE_MM)) for s in spacing_mm)
    fine_mm = (spacing_mm[0] / parts[0], spacing_mm[1] / parts[1], spacing_mm[2] / parts[2])
    values = ndi.zoom(hu[box].astype(np.float32), parts, order=1, mode="nearest", grid_mode=True)
    places = [
        b.start + (np.arange(n) + 0.5) / p - 0.5
        for b, n, p in zip(box, values.shape, parts, strict=True)
    ]
    away_mm = _away_mm(places, centre, spacing_mm)
    core = away_mm <= max(0.5 * shape.radius_mm, float(away_mm.min()))
    edge_hu = min(shape.edge_hu, _READ_HU)
    bright = (values > edge_hu) & space.inside_at(places) & (away_mm <= reach_mm)
    fine = _without_vessels(bright | core, core, fine_mm, shape.radius_mm)
    return Outline(box=box, part=_coarse(fine, parts), fine=fine, fine_mm=fine_mm)


def _box(
    centre: npt.NDArray[np.float64], reach_mm: float, shape: tuple[int, ...], spacing_mm: Triple
) -> tuple[slice, ...]:
    """The part of an image of ``shape`` that extends ``reach_mm`` from ``centre`` (z, y, x); at least one voxel."""
    middle = np.clip(np.rint(centre), 0, np.array(shape) - 1).astype(int)
    steps = [int(np.ceil(reach_mm / s)) for s in spacing_mm]
    return tuple(
        slice(max(0, int(m) - n), int(m) + n + 1) for m, n in zip(middle, steps, strict=True)
    )


def _away_mm(
    places: Sequence[npt.NDArray[np.float64]],
    centre: npt.NDArray[np.float64],
    spacing_mm: Triple,
) -> npt.NDArray[np.float64]:
    """Distance (z, y, x) of each voxel from ``centre``, in millimetres.  ``places`` has the image indices along z, y
    and x, one list for each axis.
    """
    axes = np.ix_(*((p - c) * s for p, c, s in zip(places, centre, spacing_mm, strict=True)))
    return np.asarray(np.sqrt(sum(axis**2 for axis in axes)), np.float64)


def _without_vessels(bright: Flags, core: Flags, fine_mm: Triple, radius_mm: float) -> Flags:
    """The thick part of ``bright`` that is connected to ``core``, with the small bumps on its surface and without
    holes.
    """
    thin_mm = min(_THIN * radius_mm, _THINNEST_MM)
    thick = core | (distance_mm(~bright, fine_mm) > thin_mm)
    found, _ = ndi.label(thick)
    kernel = found == found[core][0]
    grown = bright & (distance_mm(kernel, fine_mm) <= thin_mm + _ROUGH_MM)
    return np.asarray(ndi.binary_fill_holes(grown), bool)


def _coarse(fine: Flags, parts: tuple[int, ...]) -> Flags:
    """The image voxels of which at least half is set in ``fine``; if there are none, those with the largest set
    fraction.
    """
    pairs = [pair for n, p in zip(fine.shape, parts, strict=True) for pair in (n // p, p)]
    share = fine.reshape(pairs).mean(axis=(1, 3, 5))
    return np.asarray(share >= min(0.5, float(share.max())), bool)


def _longest_mm(row: Flags, in_plane_mm: Sequence[float]) -> float:
    """Distance between the centres of the two voxels of ``row`` (y, x) that are farthest apart."""
    points_mm = np.argwhere(row) * in_plane_mm
    return float(np.ptp(points_mm @ _WAYS.T, axis=0).max())


def label_map_of(outlines: Sequence[Outline], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The label map (z, y, x) of an image of ``shape``: 1 for the first outline, 2 for the second, and so on, for at
    most 255. Where two overlap, the earlier one is drawn.
    """
    labels = np.zeros(shape, np.uint8)
    for value, outline in reversed(list(enumerate(outlines, start=1))):
        labels[outline.box][outline.part] = value
    return labels
