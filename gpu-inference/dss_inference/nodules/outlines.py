"""Where a candidate ends, in the image's own voxels, and how long it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi
from scipy.spatial.distance import pdist

from dss_inference.lungs.view import Flags, Triple
from dss_inference.nodules.candidates import Candidate
from dss_inference.nodules.lungspace import LungSpace

_REACH = 2.0
"""Spikes may stand out so far, in radii of the ball."""
_THIN, _THIN_MM = 0.37, 2.2
"""What is thinner to both sides than this part of the radius, and than this, is a vessel or a spike ..."""
_STUMP = 1.2
"""... of which a stump stays, so much longer than it is thick to a side."""


@dataclass(frozen=True, kw_only=True)
class Outline:
    """``voxels`` (z, y, x) of the ``box`` of the image are the candidate's; there is one at least.

    ``diameter_mm`` is the longest in an axial slice, from the middle of a voxel to that of another:
    on balls without bias (``tests/bench/bench_nodules.py``).
    """

    box: tuple[slice, ...]
    voxels: Flags
    diameter_mm: float


def outline_of(
    candidate: Candidate, space: LungSpace, hu: npt.NDArray[np.int16], spacing_mm: Triple
) -> Outline:
    """``hu`` is the whole image in LPS order.  Brighter than halfway to the lung around, and in the lung."""
    box = _box(candidate, space, hu.shape, spacing_mm)
    away_mm = _away_mm(candidate, space, box, spacing_mm)
    radius_mm = candidate.shape.radius_mm
    core = away_mm <= max(0.5 * radius_mm, float(away_mm.min()))
    bright = (hu[box] > candidate.shape.edge_hu) & (away_mm <= _REACH * radius_mm)
    bright = _around(core, bright & space.inside_at(box) | core)
    thin_mm = min(_THIN * radius_mm, _THIN_MM)
    thick = _around(core, _depth_mm(bright, spacing_mm) > thin_mm)
    near = _depth_mm(~thick, spacing_mm) <= _STUMP * thin_mm
    voxels = ndi.binary_fill_holes(_around(core, bright & near))
    return Outline(box=box, voxels=voxels, diameter_mm=longest_mm(voxels, spacing_mm))


def drawn(outlines: Sequence[Outline], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """1 for the first, 2 for the second, ...; where two meet, the first stays."""
    labels = np.zeros(shape, np.uint8)
    for value, outline in reversed(list(enumerate(outlines, start=1))):
        labels[outline.box][outline.voxels] = value
    return labels


def longest_mm(voxels: Flags, spacing_mm: Triple) -> float:
    """The longest way within an axial slice (y, x) between two of ``voxels``; of a single one, its side."""
    lengths = (_longest_mm(part, spacing_mm[1:]) for part in voxels)
    return max(float(np.mean(spacing_mm[1:])), *lengths)


def _longest_mm(part: Flags, spacing_mm: Iterable[float]) -> float:
    border = np.argwhere(part & ~ndi.binary_erosion(part)) * np.array(list(spacing_mm))
    return float(pdist(border).max()) if len(border) > 1 else 0.0


def _box(
    candidate: Candidate, space: LungSpace, shape: tuple[int, ...], spacing_mm: Triple
) -> tuple[slice, ...]:
    reach_mm = _REACH * candidate.shape.radius_mm
    sides = zip(space.in_image(candidate.shape.centre), spacing_mm, shape, strict=True)
    return tuple(
        slice(max(0, int(c - reach_mm / s)), min(n, int(c + reach_mm / s) + 2)) for c, s, n in sides
    )


def _around(core: Flags, flags: Flags) -> Flags:
    """What hangs together with ``core``, and that itself."""
    found, _ = ndi.label(flags | core)
    return np.asarray(found == found[core][0])


def _depth_mm(flags: Flags, spacing_mm: Triple) -> npt.NDArray[np.float64]:
    """From each voxel to the nearest that is not flagged."""
    return np.asarray(ndi.distance_transform_edt(flags, sampling=spacing_mm), np.float64)


def _away_mm(
    candidate: Candidate, space: LungSpace, box: tuple[slice, ...], spacing_mm: Triple
) -> npt.NDArray[np.float64]:
    """The distance of each voxel of the box from the candidate's centre."""
    centre = space.in_image(candidate.shape.centre)
    axes = np.ogrid[box]
    squares = [((a - c) * s) ** 2 for a, c, s in zip(axes, centre, spacing_mm, strict=True)]
    return np.asarray(np.sqrt(sum(squares)), np.float64)
