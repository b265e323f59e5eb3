"""Chooses the range of values that is shown between black and white."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dss_images.picture.planes import Plane

Voxels = npt.NDArray[Any]

_AIR_HU = -500
"""An image with values this low is a CT: images of other modalities have no such values."""
_LUNG_HU = -400
_DARKEST, _BRIGHTEST = 1.0, 99.5  # percentiles, for images whose values have no fixed unit


@dataclass(frozen=True, kw_only=True)
class Window:
    """The values of black (``low``) and white (``high``)."""

    low: float
    high: float

    def shades(self, values: Voxels, count: int) -> npt.NDArray[np.uint8]:
        """``values`` as shades from 0 (black) to ``count`` - 1 (white)."""
        span = max(self.high - self.low, 1e-12)
        scaled = (np.clip(values, self.low, self.high) - self.low) * ((count - 1) / span)
        return np.nan_to_num(np.rint(scaled)).astype(np.uint8)


LUNG = Window(low=-1350, high=150)
SOFT_TISSUE = Window(low=-160, high=240)


def window_of(planes: Sequence[Plane]) -> Window:
    """The range of values for the planes.  For a CT, it is that of lung or of soft tissue, by the values in and
    around the labels; for other images, their own range.
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
    """Medians of the image inside the labels and just outside them; one or both may be missing."""
    inside, outside = [], []
    for plane in planes:
        labelled = plane.labels != 0
        inside.append(plane.grey[labelled])
        outside.append(plane.grey[_grown(labelled) & ~labelled])
    return [float(np.median(v)) for v in map(np.concatenate, (inside, outside)) if v.size]


def _grown(where: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """``where`` grown by two voxels, because the first one is mixed tissue."""
    grown = where
    for _ in range(2):
        padded = np.pad(grown, 1)
        sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        grown = np.logical_or.reduce((grown, *sides))
    return grown
