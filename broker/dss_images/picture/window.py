"""Chooses the range of an image's values that a picture shows between black and white."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dss_images.picture.planes import Plane

Voxels = npt.NDArray[Any]

_AIR_HU = -500
"""An image whose lowest value is at most this counts as CT, because images of other modalities have no such values."""
_LUNG_HU = -400
_DARKEST, _BRIGHTEST = 1.0, 99.5  # percentiles, for images whose values have no fixed unit


@dataclass(frozen=True, kw_only=True)
class Window:
    """The image values that are shown as black (``low``) and as white (``high``)."""

    low: float
    high: float

    def shades(self, values: Voxels, count: int) -> npt.NDArray[np.uint8]:
        """``values`` as whole numbers from 0 (``low`` or less, or NaN) to ``count`` - 1 (``high`` or more)."""
        span = max(self.high - self.low, 1e-12)
        scaled = (np.clip(values, self.low, self.high) - self.low) * ((count - 1) / span)
        return np.nan_to_num(np.rint(scaled)).astype(np.uint8)


LUNG = Window(low=-1350, high=150)
SOFT_TISSUE = Window(low=-160, high=240)


def window_of(planes: Sequence[Plane]) -> Window:
    """The window for the planes of an image.

    For a CT it is that of lung or of soft tissue, by the values inside and around the labels; for another image the
    range of its own values, without zeros and outliers; 0 to 1 if all are zeros.
    """
    values = np.concatenate([np.asarray(plane.grey, np.float32).ravel() for plane in planes])
    values = values[np.isfinite(values)]
    if values.size and values.min() <= _AIR_HU:
        return LUNG if any(m < _LUNG_HU for m in _medians(planes)) else SOFT_TISSUE
    shown = values[values != 0]
    if not shown.size:
        return Window(low=0, high=1)
    low, high = np.percentile(shown, (_DARKEST, _BRIGHTEST))
    return Window(low=float(low if low < high else min(high - 1, 0)), high=float(high))


def _medians(planes: Sequence[Plane]) -> list[float]:
    """The median of the image values inside the labels, and that just outside them; without those of no voxel."""
    inside, outside = [], []
    for plane in planes:
        labelled = plane.labels != 0
        inside.append(plane.grey[labelled])
        outside.append(plane.grey[_grown(labelled) & ~labelled])
    return [float(np.median(v)) for v in map(np.concatenate, (inside, outside)) if v.size]


def _grown(where: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask ``where`` grown by two voxels, because a voxel at the border of a label contains two tissues."""
    grown = where
    for _ in range(2):
        padded = np.pad(grown, 1)
        sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        grown = np.logical_or.reduce((grown, *sides))
    return grown
