# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""From an image's own grid to one that anatomy can be read in, and exactly back.

Arrays are indexed (z, y, x).  In LPS order x grows towards the patient's left, y towards the back,
z towards the head.  An oblique grid is only permuted and flipped to its nearest axes, never resampled,
so the way back is exact.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

Voxels: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where the voxels lie: index order (x, y, z), millimetres, LPS, as ITK says it."""

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...]

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self.spacing_mm)) / 1000

    def point_mm(self, index: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Of a voxel index (x, y, z), which may lie between voxels."""
        axes = np.array(self.direction).reshape(3, 3)
        return np.asarray(self.origin_mm + axes @ (index * self.spacing_mm), np.float64)

    def holds(self, other: "Grid") -> bool:
        """Size, spacing and origin bit for bit, direction within 1e-4."""
        same = (self.size, self.spacing_mm, self.origin_mm) == (
            other.size,
            other.spacing_mm,
            other.origin_mm,
        )
        return same and bool(np.allclose(self.direction, other.direction, rtol=0, atol=1e-4))


@dataclass(frozen=True, kw_only=True)
class FileGrid:
    """The grid of a whole file: (x, y, z), or (x, y, z, t) where it has time points; else as in Grid."""

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]

    @property
    def frames(self) -> int:
        return self.size[3] if len(self.size) > 3 else 1

    @property
    def volume(self) -> Grid:
        """Of each frame."""
        (i, j, k), (a, b, c), (x, y, z) = self.size[:3], self.spacing_mm[:3], self.origin_mm[:3]
        axes = np.array(self.direction).reshape(len(self.size), -1)[:3, :3]
        return Grid(
            size=(i, j, k),
            spacing_mm=(a, b, c),
            origin_mm=(x, y, z),
            direction=tuple(float(cosine) for cosine in axes.ravel()),
        )

    def holds(self, other: "FileGrid") -> bool:
        """As ``Grid.holds``; of the time axis only the number of points counts."""
        return self.size == other.size and self.volume.holds(other.volume)


def file_grid_of(image: sitk.Image | sitk.ImageFileReader) -> FileGrid:
    """Of an image, or of a reader that has read an image's header."""
    return FileGrid(
        size=tuple(image.GetSize()),
        spacing_mm=tuple(image.GetSpacing()),
        origin_mm=tuple(image.GetOrigin()),
        direction=tuple(image.GetDirection()),
    )


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
        """The image's own index (z, y, x) of one in LPS order, where the array has ``shape``."""
        turned = index.copy()
        for axis in self.flipped:
            turned[axis] = shape[axis] - 1 - index[axis]
        return turned[np.argsort(self.axes)]

    def spacing_mm(self, grid: Grid) -> tuple[float, float, float]:
        """Along z, y, x of the LPS order."""
        own = grid.spacing_mm[::-1]
        return own[self.axes[0]], own[self.axes[1]], own[self.axes[2]]


def lps_order(grid: Grid) -> LpsOrder:
    """Each patient axis gets the image axis that lies nearest to it; no image axis is used twice."""
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(grid.direction)
    own = [next(i for i, letters in enumerate(("SI", "PA", "LR")) if c in letters) for c in code]
    axes = tuple(2 - own.index(patient) for patient in range(3))
    flipped = tuple(i for i in range(3) if code[2 - axes[i]] in "IAR")
    return LpsOrder(axes=(axes[0], axes[1], axes[2]), flipped=flipped)
