"""Measures the shape of a blob with rays from its centre, to distinguish balls (possible nodules) from tubes and forks
(vessels) and walls.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.nodules.blobs import Blob
from dss_inference.nodules.lungspace import Floats, LungSpace

_RAYS = 64
_STEP_MM = 0.5
_REACH = 2.2
_REACH_MM = 4.0
_BEHIND_MM = 1.5
_REPEATS = 2


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The measured shape of a blob.  ``centre`` is an index (z, y, x) in the LungSpace; ``radius_mm`` is the median
    distance of the edge.  ``roundness`` is the shortest axis divided by the longest.  ``closed`` is the fraction of
    rays that find an edge, ``walled`` the fraction of rays whose edge is the lung's border.  ``contrast_hu`` is the
    difference between the blob and the surrounding lung; a ray finds the edge at ``edge_hu``, half-way between the HU
    of both.
    """

    centre: npt.NDArray[np.float64]
    radius_mm: float
    roundness: float
    closed: float
    walled: float
    contrast_hu: float
    edge_hu: float


def _directions() -> npt.NDArray[np.float64]:
    """Unit vectors (rays, 3), evenly distributed over the sphere."""
    n = np.arange(_RAYS) + 0.5
    up, turn = 1 - 2 * n / _RAYS, n * np.pi * (1 + 5**0.5)
    flat = np.sqrt(1 - up**2)
    return np.stack([up, flat * np.sin(turn), flat * np.cos(turn)], axis=1)


_WAYS = _directions()


def shape_at(blob: Blob, finest: Floats, space: LungSpace) -> Shape:
    """The shape of a blob, measured once from the blob's own centre.  ``finest`` is the HU of ``space``, smoothed."""
    return _measured(blob.centre, blob.radius_mm, finest, space)


def shape_of(blob: Blob, finest: Floats, space: LungSpace) -> Shape:
    """The shape of a blob, measured several times, each time from the centre that the last measurement found.
    ``finest`` is the HU of ``space``, smoothed.
    """
    shape = shape_at(blob, finest, space)
    for _ in range(_REPEATS):
        shape = _measured(shape.centre, blob.radius_mm, finest, space)
    return shape


def _measured(
    centre: npt.NDArray[np.float64], radius_mm: float, finest: Floats, space: LungSpace
) -> Shape:
    away = np.arange(0, _REACH * radius_mm + _REACH_MM, _STEP_MM)
    points = centre + away[:, None, None] * _WAYS
    hu = ndi.map_coordinates(finest, points.transpose(2, 0, 1), order=1, mode="nearest")
    within = hu[away <= radius_mm].mean(axis=1)
    start = int(within.argmax())
    around = float(np.clip(np.percentile(hu[away > 1.3 * radius_mm], 25), -1000, -600))
    edge_hu = (float(within[start]) + around) / 2
    below = hu[start:] < edge_hu
    closed = below.any(axis=0)
    last = np.where(closed, start + below.argmax(axis=0), len(away) - 1)
    ends = away[last][:, None] * _WAYS
    behind = centre + ends + _BEHIND_MM * _WAYS
    inside = ndi.map_coordinates(space.inside.view(np.uint8), behind.T, order=0, mode="nearest")
    axes = np.sqrt(np.linalg.eigvalsh(np.cov(ends.T)))
    return Shape(
        centre=centre + ends.mean(axis=0),
        radius_mm=float(np.median(away[last])),
        roundness=float(axes[0] / max(axes[2], 1e-6)),
        closed=float(closed.mean()),
        walled=float(1 - inside.mean()),
        contrast_hu=float(within[start]) - around,
        edge_hu=edge_hu,
    )
