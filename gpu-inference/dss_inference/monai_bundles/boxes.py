"""Converts the boxes that a detector finds: to positions in the patient, and to ellipsoids in the image's own voxels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dss_inference.monai_bundles.network_input import LPS_TO_RAS

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DetectedBox:
    """A box that a detector has found.  ``low`` and ``high`` (x, y, z) are voxel indices of the prepared image, which
    is the image after the bundle's preprocessing; integers are the centres of voxels.  ``label`` is the class.
    """

    low: Floats
    high: Floats
    score: float
    label: int

    @property
    def centre(self) -> Floats:
        return np.asarray((self.low + self.high) / 2, np.float64)

    @property
    def half(self) -> Floats:
        """Half the size along x, y, z in voxels; never 0."""
        return np.asarray(np.maximum(self.high - self.low, 1e-3) / 2, np.float64)


def sure_boxes(boxes: Sequence[DetectedBox], least_score: float) -> list[DetectedBox]:
    """The boxes with a score of ``least_score`` or more, the best first.  Boxes without volume are left out."""
    sure = [box for box in boxes if box.score >= least_score and bool((box.high > box.low).all())]
    return sorted(sure, key=lambda box: -box.score)


def centre_mm(box: DetectedBox, affine: Floats) -> tuple[float, float, float]:
    """The centre of the box (x, y, z) in LPS, in millimetres; ``affine`` (4x4) maps indices of the prepared image to
    RAS.
    """
    x, y, z, _ = LPS_TO_RAS @ affine @ np.append(box.centre, 1.0)
    return float(x), float(y), float(z)


def diameter_mm(box: DetectedBox, affine: Floats) -> float:
    """The mean of the box's three sides, in millimetres; ``affine`` (4x4) maps indices of the prepared image to RAS."""
    voxel_mm = np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.mean(2 * box.half * voxel_mm))


def ellipsoids(
    boxes: Sequence[DetectedBox], to_prepared: Floats, shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """A label map (x, y, z) with 1 in the ellipsoid of the first box, 2 in that of the second, and so on, for at most
    255 boxes.  Where two overlap, the earlier box wins.  A box without a voxel, or outside the image, gets the voxels
    nearest to its centre.

    ``to_prepared`` (4x4) maps indices (x, y, z) of the image, which has ``shape``, to those of the prepared image.
    """
    found = np.zeros(shape, np.uint8)
    for value, box in reversed(list(enumerate(boxes, start=1))):
        part, inside = _ellipsoid(box, to_prepared, shape)
        found[part][inside] = value
    return found


def _ellipsoid(
    box: DetectedBox, to_prepared: Floats, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], npt.NDArray[np.bool_]]:
    """The part of the image around the box, and the voxels of that part that are in the box's ellipsoid: at least
    one.
    """
    part = _around(box, np.asarray(np.linalg.inv(to_prepared), np.float64), shape)
    index = np.stack(np.meshgrid(*(np.arange(p.start, p.stop) for p in part), indexing="ij"))
    places = np.tensordot(to_prepared[:3, :3], index, 1) + to_prepared[:3, 3, None, None, None]
    away = np.sum(((places.T - box.centre) / box.half) ** 2, axis=-1).T
    return part, away <= max(1.0, float(away.min()))


def _around(box: DetectedBox, to_image: Floats, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of the image around the box; at least one voxel, also for a box outside the image.  ``to_image`` (4x4)
    maps indices of the prepared image to those of the image.
    """
    signs = np.array(list(np.ndindex(2, 2, 2))) * 2 - 1
    corners = (box.centre + signs * box.half) @ to_image[:3, :3].T + to_image[:3, 3]
    first = np.clip(np.floor(corners.min(0)).astype(int), 0, np.array(shape) - 1)
    last = np.clip(np.ceil(corners.max(0)).astype(int), first, np.array(shape) - 1)
    return tuple(slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
