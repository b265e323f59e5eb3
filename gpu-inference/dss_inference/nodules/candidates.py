"""Which blobs are worth a look, the best first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from dss_inference.nodules.blobs import FINEST_MM, Blob, blobs_in, smoothed
from dss_inference.nodules.lungspace import Floats, LungSpace
from dss_inference.nodules.shape import Shape, shape_at, shape_of

MOST = 10
LEAST_SCORE = 0.5
"""``tests/bench/bench_nodules.py`` shows what that finds in phantoms, and how much besides."""
_HOPELESS = 0.02
"""What scores so little at first look has never reached the least score (788 of 2000 blobs of two phantoms)."""
_GAP_MM = 1.0
_FULL_HU = 360.0
_FULL_HU_A_MM = 70.0
"""In long voxels a vessel that crosses them looks like a faint ball of their size; so what is no larger than
they are needs the more contrast the longer they are.  Fitted on even seeds at 3 to 7 mm (``bench_nodule_sweep.py``).
"""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """``score`` 0..1 is how like a ball it is, not the probability of a nodule."""

    shape: Shape
    score: float


def candidates_in(
    space: LungSpace,
    step: Callable[[float, str], None],
    *,
    most: int = MOST,
    least: float = LEAST_SCORE,
) -> tuple[Candidate, ...]:
    """At most ``most``, with scores of at least ``least``, the best first.

    ``step`` hears what is done next and how far the work is (0..1); it may raise to end it.
    """
    step(0.0, "looking for bright spots")
    finest = smoothed(space.hu, FINEST_MM)
    blobs = blobs_in(space, finest)
    step(0.7, "measuring their shape")
    scored = (_scored(blob, finest, space) for blob in blobs)
    return best_apart(c for c in scored if c.score >= least)[:most]


def _scored(blob: Blob, finest: Floats, space: LungSpace) -> Candidate:
    """Measured again where the first look does not say that it is none."""
    voxel_mm = max(space.steps)
    shape = shape_at(blob, finest, space)
    score = score_of(blob, shape, voxel_mm)
    if score > _HOPELESS:
        shape = shape_of(blob, finest, space)
        score = score_of(blob, shape, voxel_mm)
    return Candidate(shape=shape, score=score)


def score_of(blob: Blob, shape: Shape, voxel_mm: float) -> float:
    """One minus something for each way in which it differs from a nodule in the midst of lung.

    ``voxel_mm`` is the longest side of the image's voxels, mostly the distance of its slices.
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


def best_apart(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The best first; of those that lie in each other only the best stays."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        if all(_apart(candidate.shape, other.shape) for other in kept):
            kept.append(candidate)
    return tuple(kept)


def _apart(one: Shape, other: Shape) -> bool:
    gap_mm = float(np.linalg.norm(one.centre - other.centre))
    return gap_mm > max(one.radius_mm, other.radius_mm) + _GAP_MM


def _ramp(value: float, none: float, full: float) -> float:
    return min(1.0, max(0.0, (value - none) / (full - none)))
