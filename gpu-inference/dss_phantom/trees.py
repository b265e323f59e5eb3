"""Airways and vessels of a phantom, as branching trees of tubes."""

import numpy as np

from dss_phantom.shapes import Point, Tube

CARINA = np.array([0.0, 12.0, 35.0])
HILA = {"left": np.array([42.0, 14.0, 12.0]), "right": np.array([-42.0, 14.0, 8.0])}
_TOP = np.array([0.0, -5.0, 200.0])
_THINNEST_MM = 1.1


def airways() -> list[Tube]:
    """The tubes inside the windpipe and the main bronchi."""
    windpipe = Tube(start=_TOP, end=CARINA, radius_mm=8.5)
    return [windpipe, *(Tube(start=CARINA, end=end, radius_mm=6.0) for end in HILA.values())]


def branches(
    hilum: Point, outward: Point, radius_mm: float, rng: np.random.Generator
) -> list[Tube]:
    """A tree of tubes that begins at ``hilum`` in the direction ``outward``, a unit vector (x, y, z), and forks until
    its twigs are too thin to be seen.
    """
    length = 8.5 * radius_mm**0.6
    end = hilum + outward * length
    here = Tube(start=hilum, end=end, radius_mm=radius_mm)
    thinner = radius_mm * 0.74
    if thinner < _THINNEST_MM:
        return [here]
    parts = [here]
    for _ in range(2):
        turned = outward + rng.normal(0, 0.55, 3)
        parts += branches(end, turned / np.linalg.norm(turned), thinner, rng)
    return parts


def lung_trees(side: str, radius_mm: float, rng: np.random.Generator) -> list[Tube]:
    """The vessels of one lung: five trees of tubes that spread from the hilum of ``side`` (left or right), whose stems
    have the radius ``radius_mm``.
    """
    out = 1.0 if side == "left" else -1.0
    ways = [(0.7, -0.2, 0.9), (0.9, -0.7, 0.0), (0.9, 0.5, -0.2), (0.5, 0.5, -0.9), (0.6, 0.3, 0.6)]
    parts: list[Tube] = []
    for x, y, z in ways:
        way = np.array([x * out, y, z]) + rng.normal(0, 0.1, 3)
        parts += branches(HILA[side], way / np.linalg.norm(way), radius_mm, rng)
    return parts
