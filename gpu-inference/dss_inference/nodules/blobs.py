# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Finds bright blobs with diameters from 4 to 30 mm in the lungs, the first step of the search for nodules.

A blob is a local maximum of a difference of two Gaussians (an approximation of the Laplacian of Gaussian) at one of
eight scales.  The Hessian is computed only at these maxima.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.lungs.view import Flags
from dss_inference.nodules.lungspace import Floats, LungSpace

FINEST_MM = 1.0
_RATIO = 4 / 3
_SCALES = 8
_COARSER_AT = (2, 5)
"""Numbers of scales, from 0.  At each of them the image is thinned to every second voxel along each axis."""
_RADIUS = 2.0
"""Ratio of a ball's radius to the sigma of the scale at which it has the strongest response."""
_LEAST_HU = 35.0
_LEAST_BLOBNESS = 0.12
_MOST = 1000


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A bright blob.  ``centre`` is its index (z, y, x) in the 1 mm grid of a ``LungSpace``; ``strength_hu`` grows with
    its contrast; ``blobness`` is the weakest curvature divided by the strongest: 1 for a ball, 0 for a tube.
    """

    centre: npt.NDArray[np.float64]
    radius_mm: float
    strength_hu: float
    blobness: float


def smoothed(hu: Floats, sigma_mm: float, step_mm: float = 1.0) -> Floats:
    """``hu`` (z, y, x), with cubic voxels of side ``step_mm``, smoothed by a Gaussian with a sigma of ``sigma_mm``;
    unchanged if it has fewer than four voxels along an axis.
    """
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing([step_mm] * 3)
    if min(hu.shape) < 4:
        return hu  # the recursive filter needs four voxels along each axis
    blurred: Floats = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, sigma_mm))
    return blurred


def blobs_in(space: LungSpace, finest: Floats) -> list[Blob]:
    """At most 1000 blobs, the highest product of blobness and square root of strength first.  ``finest`` is the HU of
    ``space``, smoothed by a Gaussian of FINEST_MM.
    """
    found = list(_all_blobs(space.inside, finest))
    return sorted(found, key=lambda blob: -blob.blobness * blob.strength_hu**0.5)[:_MOST]


def _all_blobs(inside: Flags, finest: Floats) -> Iterator[Blob]:
    before, sigma_mm, step = finest, FINEST_MM, 1
    for scale in range(_SCALES):
        if scale in _COARSER_AT:
            before, inside, step = before[::2, ::2, ::2], inside[::2, ::2, ::2], step * 2
        wider_mm = sigma_mm * _RATIO
        after = smoothed(before, float(np.sqrt(wider_mm**2 - sigma_mm**2)), float(step))
        answer = (before - after) / (_RATIO - 1)
        peaks = _peaks(answer, inside)
        for peak, blobness in zip(peaks, _blobness(after, peaks), strict=True):
            if blobness > _LEAST_BLOBNESS:
                yield Blob(
                    centre=peak * float(step),
                    radius_mm=_RADIUS * sigma_mm,
                    strength_hu=float(answer[tuple(peak)]),
                    blobness=float(blobness),
                )
        before, sigma_mm = after, wider_mm


def _peaks(answer: Floats, inside: Flags) -> npt.NDArray[np.intp]:
    """Indices (points, 3) of the voxels in ``inside`` whose ``answer`` exceeds _LEAST_HU and is not lower than that of
    any neighbour.
    """
    points = np.argwhere((answer > _LEAST_HU) & inside)
    values = answer[tuple(points.T)]
    for offset in np.ndindex(3, 3, 3):
        beside = _clipped(points + np.array(offset) - 1, answer)
        highest = values >= answer[tuple(beside.T)]
        points, values = points[highest], values[highest]
    return points


def _blobness(hu: Floats, points: npt.NDArray[np.intp]) -> npt.NDArray[np.floating]:
    """Blobness (see ``Blob``) at each of ``points`` (points, 3), from the Hessian of ``hu``; 0 where the image does not
    become darker in all directions.
    """
    hessian = np.empty((len(points), 3, 3))
    unit = np.eye(3, dtype=int)
    for i, j in np.ndindex(3, 3):
        corners = [(+1, +1), (-1, -1), (+1, -1), (-1, +1)]
        parts = [hu[tuple(_clipped(points + a * unit[i] + b * unit[j], hu).T)] for a, b in corners]
        hessian[:, i, j] = (parts[0] + parts[1] - parts[2] - parts[3]) / 4
    curvatures: npt.NDArray[np.floating] = np.linalg.eigvalsh(-hessian)
    ratio: npt.NDArray[np.floating] = np.maximum(curvatures[:, 0], 0) / np.maximum(
        curvatures[:, 2], 1e-6
    )
    return ratio


def _clipped(points: npt.NDArray[np.intp], voxels: Floats) -> npt.NDArray[np.intp]:
    return np.clip(points, 0, np.array(voxels.shape) - 1)
