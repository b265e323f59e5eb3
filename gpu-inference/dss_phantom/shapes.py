"""Geometric shapes for phantoms, each as the depth of points below the shape's surface, in mm, negative outside.
Depths are exact only near the surface.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Depth: TypeAlias = npt.NDArray[np.floating]
Point: TypeAlias = npt.NDArray[np.float64]

FAR_MM = 12.0
"""Largest depth that an Anatomy keeps: depths are limited to -FAR_MM..FAR_MM, since only those near a surface are used.
"""


@dataclass(frozen=True, kw_only=True)
class Space:
    """Points of a grid, as coordinates (z, y, x) in mm from the middle of the chest: x to the left, y to the back, z to
    the head.  ``first_mm`` (z, y, x) is the first point before any warping, ``step_mm`` the distance of neighbouring
    points.
    """

    x: Depth
    y: Depth
    z: Depth
    first_mm: tuple[float, float, float]
    step_mm: float


def regular_space(half_mm: tuple[float, float, float], step_mm: float) -> Space:
    """Points every ``step_mm`` from minus to plus ``half_mm`` (z, y, x), or to the next step after it."""
    axes = [np.arange(-h, h + step_mm, step_mm, dtype=np.float32) for h in half_mm]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    first = (float(axes[0][0]), float(axes[1][0]), float(axes[2][0]))
    return Space(x=x, y=y, z=z, first_mm=first, step_mm=step_mm)


def ellipsoid(
    space: Space, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> Depth:
    """Depth of each point of ``space`` below the surface of an ellipsoid, in mm, negative outside.

    ``centre`` and ``radii`` are in mm along x, y, z.
    """
    scaled = [
        (p - c) / r for p, c, r in zip((space.x, space.y, space.z), centre, radii, strict=True)
    ]
    length = np.sqrt(sum(np.square(s) for s in scaled))
    return np.asarray((1 - length) * min(radii), np.float32)


def pillar(space: Space, half_x: Depth | float, half_y: Depth | float, power: float = 2.5) -> Depth:
    """Depth of each point of ``space`` below the surface of a pillar along z, in mm, negative outside.

    The cross-section is a superellipse; its half axes, in mm, may change with z.
    """
    radius = np.hypot(space.x, space.y)
    ratio = (np.abs(space.x / half_x) ** power + np.abs(space.y / half_y) ** power) ** (1 / power)
    return np.asarray(
        np.where(ratio > 0.05, radius * (1 / np.maximum(ratio, 0.05) - 1), 100), np.float32
    )


def all_of(*depths: Depth) -> Depth:
    """Depth in the intersection of shapes, from the depths in each shape."""
    depth: Depth = np.minimum.reduce(depths)
    return depth


def any_of(*depths: Depth) -> Depth:
    """Depth in the union of shapes, from the depths in each shape."""
    depth: Depth = np.maximum.reduce(depths)
    return depth


@dataclass(frozen=True, kw_only=True)
class Tube:
    """A straight tube with round ends, from the point ``start`` to ``end``, both (x, y, z) in mm."""

    start: Point
    end: Point
    radius_mm: float


def tubes(space: Space, parts: list[Tube]) -> Depth:
    """Depth of each point of ``space`` below the surface of the nearest tube of ``parts``, in mm, negative outside;
    -FAR_MM for points far from all tubes.
    """
    depth = np.full(space.x.shape, -FAR_MM, np.float32)
    for part in parts:
        box = _box(space, part)
        depth[box] = np.maximum(depth[box], _depth_in(space, part, box))
    return depth


def _box(space: Space, part: Tube) -> tuple[slice, slice, slice]:
    margin = part.radius_mm + 2.5 * space.step_mm
    low, high = np.minimum(part.start, part.end)[::-1], np.maximum(part.start, part.end)[::-1]
    first = np.array(space.first_mm)
    begin = np.maximum(np.floor((low - margin - first) / space.step_mm), 0).astype(int)
    stop = np.maximum(np.ceil((high + margin - first) / space.step_mm), 0).astype(int) + 1
    return slice(begin[0], stop[0]), slice(begin[1], stop[1]), slice(begin[2], stop[2])


def _depth_in(space: Space, part: Tube, box: tuple[slice, slice, slice]) -> Depth:
    points = np.stack([space.x[box], space.y[box], space.z[box]], axis=-1)
    axis = (part.end - part.start).astype(np.float32)
    along = (points - part.start.astype(np.float32)) @ axis / max(float(axis @ axis), 1e-6)
    nearest = part.start.astype(np.float32) + np.clip(along, 0, 1)[..., None] * axis
    return np.asarray(part.radius_mm - np.linalg.norm(points - nearest, axis=-1), np.float32)
