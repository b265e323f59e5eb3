"""A surface mesh, and the check that it can be shown with an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dss_images.errors import ImageRefused
from dss_images.grid import Grid

Array = npt.NDArray[Any]

MARGIN = 0.1
"""How far a mesh may extend beyond the image, as a fraction of the image's diagonal."""
TO_LPS = np.array((-1.0, -1.0, 1.0))
"""Factors (x, y, z) that convert RAS to LPS and back.  ITK-SNAP interprets the coordinates of a mesh as RAS."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A surface mesh.  ``points_mm`` (n, 3) are its points as in the file, in RAS.

    ``corners`` (m) are the numbers of the points of all cells, one cell after the other, from 0.
    """

    points_mm: Array
    corners: Array


def damaged() -> ImageRefused:
    return ImageRefused("The mesh file is damaged or incomplete; write it again.")


def require_in_image(surface: Surface, grid: Grid) -> None:
    """Raises ImageRefused unless the mesh has points and cells, all points are finite, its cells name only points that
    exist, and every point is in the image with the grid ``grid`` or within MARGIN of it.
    """
    points, corners = surface.points_mm, surface.corners
    if not len(points) or not corners.size:
        raise ImageRefused("The mesh is empty: it has no points or no cells.")
    if not np.isfinite(points).all():
        raise ImageRefused("The mesh has points that are no numbers.")
    if corners.min() < 0 or corners.max() >= len(points):
        wrong = corners.min() if corners.min() < 0 else corners.max()
        raise ImageRefused(
            f"The mesh has a cell with the point {int(wrong)}, and points 0 to {len(points) - 1}."
        )
    if not _lies_in(points * TO_LPS, grid):
        raise ImageRefused(_elsewhere(points, grid))


def _lies_in(points_lps: Array, grid: Grid) -> bool:
    size, spacing = np.array(grid.size), np.array(grid.spacing_mm)
    margin = MARGIN * float(np.linalg.norm(size * spacing)) / spacing
    axes = np.array(grid.direction).reshape(3, 3) * spacing
    index = (points_lps - np.array(grid.origin_mm)) @ np.linalg.inv(axes).T
    return bool(((index >= -0.5 - margin) & (index <= size - 0.5 + margin)).all())


def _elsewhere(points: Array, grid: Grid) -> str:
    """The sentence that refuses a mesh outside the image.  It names the mistake if the points seem to be in LPS, or to
    be voxel indices.
    """
    hint = ""
    if _lies_in(points, grid):
        hint = " Its coordinates seem to be LPS; change the sign of x and y."
    elif _lies_in(_places_lps(points, grid), grid):
        hint = " Its coordinates seem to be indices of voxels."
    corners = _places_lps(_corners(grid.size), grid) * TO_LPS
    return (
        f"The mesh lies at {_ends(points)} mm, outside of the image at {_ends(corners)} mm "
        f"(RAS: right, anterior, superior).{hint}"
    )


def _places_lps(indices: Array, grid: Grid) -> Array:
    axes = np.array(grid.direction).reshape(3, 3) * np.array(grid.spacing_mm)
    return np.asarray(indices @ axes.T + np.array(grid.origin_mm))


def _corners(size: Sequence[int]) -> Array:
    ends = [(-0.5, n - 0.5) for n in size]
    return np.array([(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]])


def _ends(points: Array) -> str:
    low, high = points.min(axis=0), points.max(axis=0)
    return ", ".join(f"{a:.0f} to {b:.0f}" for a, b in zip(low, high, strict=True))
