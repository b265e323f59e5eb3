"""Selects the blobs that may be nodules and that a reader should check, and orders them by score."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from dss_inference.nodules.blobs import FINEST_MM, Blob, blobs_in, smoothed
from dss_inference.nodules.lungspace import Floats, LungSpace
from dss_inference.nodules.shape import Shape, shape_at, shape_of

MOST = 10
LEAST_SCORE = 0.5
"""Default of the smallest score of a candidate; ``tests/bench/bench_nodules.py`` shows how many nodules of phantoms
reach it, and how many false candidates.
"""
_HOPELESS = 0.02
"""A blob with a lower score at its first measurement is not measured again: of 2000 blobs of two phantoms, 788 had a
lower score, and none of these 788 reached LEAST_SCORE.
"""
_GAP_MM = 1.0
_FULL_HU = 360.0
_FULL_HU_A_MM = 70.0
"""Additional contrast that a candidate no larger than the voxels needs for each mm of their longest side, because a
vessel that crosses long voxels looks like a faint ball of their size.  Fitted on phantoms with even seeds at slice
distances of 3 to 7 mm (``bench_nodule_sweep.py``).
"""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A possible nodule.  ``score`` 0..1 is its similarity to a ball, not the probability of a nodule."""

    shape: Shape
    score: float


def candidates_in(
    space: LungSpace,
    step: Callable[[float, str], None],
    *,
    most: int = MOST,
    least: float = LEAST_SCORE,
) -> tuple[Candidate, ...]:
    """At most ``most`` candidates with scores of at least ``least``, the best first, without those that overlap a
    better one.

    ``step`` is called with the finished fraction (0..1) and the name of the next stage; it may raise an error to end
    the work.
    """
    step(0.0, "looking for bright spots")
    finest = smoothed(space.hu, FINEST_MM)
    blobs = blobs_in(space, finest)
    step(0.7, "measuring their shape")
    scored = (_scored(blob, finest, space) for blob in blobs)
    return without_overlaps(c for c in scored if c.score >= least)[:most]


def _scored(blob: Blob, finest: Floats, space: LungSpace) -> Candidate:
    """The candidate for a blob.  If the first score exceeds _HOPELESS, the shape is measured again, from the centre
    that was found.
    """
    voxel_mm = max(space.steps)
    shape = shape_at(blob, finest, space)
    score = score_of(blob, shape, voxel_mm)
    if score > _HOPELESS:
        shape = shape_of(blob, finest, space)
        score = score_of(blob, shape, voxel_mm)
    return Candidate(shape=shape, score=score)


def score_of(blob: Blob, shape: Shape, voxel_mm: float) -> float:
    """The score 0..1: the product of one factor for each way in which the blob may differ from a nodule in the lung.

    ``voxel_mm`` is the longest side of the image's voxels, usually the distance of the slices.
    """
    small = 1 - _ramp(2 * shape.radius_mm / voxel_mm, 1, 2)
    full_hu = _FULL_HU + small * _FULL_HU_A_MM * voxel_mm
    factors = (
        _ramp(shape.roundness, 0.6, 0.95),
        _ramp(shape.closed, 0.7, 1.0) ** 2,
        _ramp(shape.contrast_hu, 60, full_hu) ** 0.5,
        1 - _ramp(shape.walled, 0.25, 0.75),
        _ramp(blob.blobness, 0.0, 0.5) ** 0.5,
        _ramp(2 * shape.radius_mm, 1.5, 5.5),
    )
    return float(np.prod(factors))


def without_overlaps(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The candidates in descending order of their score, without those whose centre is no farther from that of a better
    one than the larger radius of the two plus 1 mm.
    """
    separate: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        if all(_apart(candidate.shape, other.shape) for other in separate):
            separate.append(candidate)
    return tuple(separate)


def _apart(one: Shape, other: Shape) -> bool:
    gap_mm = float(np.linalg.norm(one.centre - other.centre))
    return gap_mm > max(one.radius_mm, other.radius_mm) + _GAP_MM


def _ramp(value: float, none: float, full: float) -> float:
    return min(1.0, max(0.0, (value - none) / (full - none)))
