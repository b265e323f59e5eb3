# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Reorders the axes of an image's array to the patient's axes (LPS order), and back without loss.

Arrays are indexed (z, y, x).  In LPS order, x grows towards the patient's left, y towards the back, z towards the head.
Axes are only permuted and flipped: those of an oblique image become the nearest ones of the patient, and no voxel is
resampled.
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
    """How to reorder an image's own array (z, y, x) to LPS order: transpose it by ``axes``, then flip the axes
    ``flipped``.
    """

    axes: tuple[int, int, int]
    flipped: tuple[int, ...]

    def apply(self, voxels: Voxels) -> Voxels:
        """A view of ``voxels`` in LPS order."""
        return np.flip(voxels.transpose(self.axes), self.flipped)

    def undo(self, voxels: Voxels) -> Voxels:
        """Inverse of ``apply``: a view of ``voxels``, which are in LPS order, in the image's own order."""
        return np.flip(voxels, self.flipped).transpose(np.argsort(self.axes))

    def own_index(
        self, index: npt.NDArray[np.floating], shape: tuple[int, ...]
    ) -> npt.NDArray[np.floating]:
        """The index (z, y, x) in the image's own array for ``index`` in an array of ``shape`` in LPS order."""
        turned = index.copy()
        for axis in self.flipped:
            turned[axis] = shape[axis] - 1 - index[axis]
        return turned[np.argsort(self.axes)]

    def spacing_mm(self, grid: Grid) -> tuple[float, float, float]:
        """The spacing of the image with the grid ``grid``, in millimetres, along the axes (z, y, x) of LPS order."""
        own = grid.spacing_mm[::-1]
        return own[self.axes[0]], own[self.axes[1]], own[self.axes[2]]


def lps_order(grid: Grid) -> LpsOrder:
    """How to reorder an image with the grid ``grid``: each patient axis gets the image axis that is nearest to it."""
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(grid.direction)
    own = [next(i for i, letters in enumerate(("SI", "PA", "LR")) if c in letters) for c in code]
    axes = tuple(2 - own.index(patient) for patient in range(3))
    flipped = tuple(i for i in range(3) if code[2 - axes[i]] in "IAR")
    return LpsOrder(axes=(axes[0], axes[1], axes[2]), flipped=flipped)
