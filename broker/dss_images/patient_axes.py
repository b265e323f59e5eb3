# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Reorders an image's axes to the patient's axes, and back without loss.

Arrays are indexed (z, y, x).  In LPS order x grows towards the patient's left, y towards the back, z towards the head.
An oblique grid is only permuted and flipped to its nearest axes, never resampled, so the way back is exact.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_images.grid import Grid

Voxels: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class LpsOrder:
    """The permutation and flips between an image's own (z, y, x) array and LPS order."""

    axes: tuple[int, int, int]
    flipped: tuple[int, ...]

    def apply(self, voxels: Voxels) -> Voxels:
        """A view of ``voxels`` in LPS order."""
        return np.flip(voxels.transpose(self.axes), self.flipped)

    def undo(self, voxels: Voxels) -> Voxels:
        """A view of ``voxels``, which are in LPS order, in the image's own order."""
        return np.flip(voxels, self.flipped).transpose(np.argsort(self.axes))

    def own_index(
        self, index: npt.NDArray[np.floating], shape: tuple[int, ...]
    ) -> npt.NDArray[np.floating]:
        """The image's own index (z, y, x) of an index in LPS order into an array of ``shape``."""
        turned = index.copy()
        for axis in self.flipped:
            turned[axis] = shape[axis] - 1 - index[axis]
        return turned[np.argsort(self.axes)]

    def spacing_mm(self, grid: Grid) -> tuple[float, float, float]:
        """Spacing in millimetres along the axes z, y, x of the array in LPS order."""
        own = grid.spacing_mm[::-1]
        return own[self.axes[0]], own[self.axes[1]], own[self.axes[2]]


def lps_order(grid: Grid) -> LpsOrder:
    """The order that gives each patient axis the nearest image axis, each once."""
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(grid.direction)
    own = [next(i for i, letters in enumerate(("SI", "PA", "LR")) if c in letters) for c in code]
    axes = tuple(2 - own.index(patient) for patient in range(3))
    flipped = tuple(i for i in range(3) if code[2 - axes[i]] in "IAR")
    return LpsOrder(axes=(axes[0], axes[1], axes[2]), flipped=flipped)
