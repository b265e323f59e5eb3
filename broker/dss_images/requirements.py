"""Decides by the header of an image whether the image can be segmented."""

import math
from collections.abc import Sequence

import numpy as np

from dss_images import refusals
from dss_images.errors import ImageRefused
from dss_images.grid import ORTHOGONALITY_TOLERANCE, FileGrid
from dss_images.header import Header

MOST_VOXELS = 1_000_000_000
MOST_BYTES = 4 * 2**30
LONGEST_MM = 3000.0


def require_volume(header: Header) -> None:
    """Raises ImageRefused unless an image can be segmented.

    It must have one value in each voxel, three dimensions (four with time points), and a size that ``require_extent``
    allows.
    """
    if header.dimensions not in (3, 4):
        raise refusals.wrong_dimensions(header.dimensions)
    if header.components != 1:
        raise refusals.several_values(header.components)
    require_extent(header.grid.size, header.grid.spacing_mm, header.kind.itemsize)


def require_extent(size: Sequence[int], spacing_mm: Sequence[float], voxel_bytes: int) -> None:
    """Raises ImageRefused if an image has fewer than 3 voxels along x, y or z, more than MOST_VOXELS or MOST_BYTES in
    all, or a side longer than LONGEST_MM.

    ``size`` and ``spacing_mm`` are (x, y, z) or (x, y, z, t); ``voxel_bytes`` is the size of one voxel.
    """
    if min(size[:3]) < 3:
        raise refusals.few_slices(size[:3])
    if math.prod(size[:3]) > MOST_VOXELS or math.prod(size) > MOST_VOXELS:
        raise refusals.too_many_voxels(size[:3] if math.prod(size[:3]) > MOST_VOXELS else size)
    longest_mm = max(n * s for n, s in zip(size[:3], spacing_mm[:3], strict=True))
    if longest_mm > LONGEST_MM:
        raise refusals.too_long(longest_mm)
    if math.prod(size) * voxel_bytes > MOST_BYTES:
        raise refusals.too_many_bytes(math.prod(size) * voxel_bytes, MOST_BYTES)


def require_grid(grid: FileGrid) -> None:
    """Raises ImageRefused unless spacing, origin and directions are finite, the spacing is positive, and the axes are
    perpendicular.
    """
    volume = grid.volume
    if not all(math.isfinite(s) and s > 0 for s in volume.spacing_mm):
        raise ImageRefused(refusals.INVALID_SPACING)
    axes = np.array(volume.direction).reshape(3, 3)
    if not np.isfinite([*volume.direction, *volume.origin_mm]).all():
        raise ImageRefused(refusals.INVALID_ORIGIN)
    if not np.allclose(axes.T @ axes, np.eye(3), rtol=0, atol=ORTHOGONALITY_TOLERANCE):
        raise ImageRefused(refusals.SHEARED)
