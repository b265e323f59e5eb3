"""Diseases painted into a chest whose lungs are known.

Consolidation, ground glass and a mass count as lung; fluid and air in the pleura, and what was cut out, do not.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

Flags = npt.NDArray[np.bool_]
Random = np.random.Generator
LEFT, RIGHT = 1, 2
_WAYS = ((-0.9, 0.4, 0.0), (0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
"""(z, y, outwards)."""


@dataclass(frozen=True, kw_only=True)
class Chest:
    """``hu`` and ``truth`` (0, LEFT, RIGHT) are (z, y, x) in LPS order, ``spacing_mm`` in the same order."""

    hu: npt.NDArray[np.int16]
    truth: npt.NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]

    def painted(self, flags: Flags, hu: float, random: Random, grain_hu: float = 20.0) -> "Chest":
        values = self.hu.copy()
        values[flags] = random.normal(hu, grain_hu, int(flags.sum()))
        return replace(self, hu=values)

    def without(self, flags: Flags) -> "Chest":
        return replace(self, truth=np.where(flags, 0, self.truth).astype(np.uint8))


Disease = Callable[[Chest, Random], Chest]


def effusion(chest: Chest, random: Random) -> Chest:
    """Water in the back and at the bottom of one side."""
    fluid = deepest(chest, _side(random), random.uniform(0.15, 0.45), (-0.7, 0.7, 0.0))
    return chest.painted(fluid, 10, random).without(fluid)


def consolidation(chest: Chest, random: Random) -> Chest:
    part = deepest(chest, _side(random), random.uniform(0.15, 0.4), (-0.9, 0.4, 0.0))
    return chest.painted(part, 35, random)


def both_consolidated(chest: Chest, random: Random) -> Chest:
    """The same part of both sides: the back, the front, the bottom, the top or the outside."""
    way = _WAYS[random.integers(len(_WAYS))]
    share = random.uniform(0.15, 0.4)
    for side, outwards in ((LEFT, 1.0), (RIGHT, -1.0)):
        part = deepest(chest, side, share, (way[0], way[1], outwards * way[2]))
        chest = chest.painted(part, 35, random)
    return chest


def pneumonia(chest: Chest, random: Random) -> Chest:
    """Patches of consolidation with air in their bronchi in one or both lungs, more of them at the back."""
    lung = chest.truth > 0 if random.random() < 0.5 else chest.truth == _side(random)
    rough = ndi.gaussian_filter(random.normal(size=lung.shape), [14 / s for s in chest.spacing_mm])
    back_mm = np.arange(lung.shape[1])[:, None] * chest.spacing_mm[1]
    rough = rough / rough.std() + back_mm / 80
    part = lung & (rough > np.quantile(rough[lung], 1 - random.uniform(0.15, 0.4)))
    fine = ndi.gaussian_filter(random.normal(size=lung.shape), [2 / s for s in chest.spacing_mm])
    bronchi = part & (fine > 2.2 * fine.std())
    return chest.painted(part, 40, random).painted(bronchi, -800, random)


def ground_glass(chest: Chest, random: Random) -> Chest:
    """A third to nearly all of one side, -650 to -300 HU, with its vessels."""
    part = deepest(chest, _side(random), random.uniform(0.3, 0.9), (-0.5, 0.8, 0.0))
    soft = chest.hu + random.uniform(200, 520)
    return replace(chest, hu=np.where(part, np.minimum(soft, 60), chest.hu).astype(np.int16))


def mass(chest: Chest, random: Random) -> Chest:
    """A ball of 40 to 90 mm at the wall."""
    lung = np.argwhere(chest.truth == _side(random))
    centre = lung[random.integers(len(lung))] * chest.spacing_mm
    places = np.moveaxis(np.indices(chest.hu.shape), 0, -1) * chest.spacing_mm
    near = np.linalg.norm(places - centre, axis=-1) < random.uniform(20, 45)
    return chest.painted(near & (chest.truth > 0), 40, random)


def pneumothorax(chest: Chest, random: Random) -> Chest:
    """Air in front of one lung, and around what is left of it."""
    air = deepest(chest, _side(random), random.uniform(0.1, 0.4), (0.4, -0.9, 0.0))
    return chest.painted(air, -995, random).without(air)


def tension(chest: Chest, random: Random) -> Chest:
    """One side full of air, the lung a fist at the hilum."""
    side = _side(random)
    lung = chest.truth == side
    fist = deepest(chest, side, 0.12, (0.0, 0.0, 1.0 if side == RIGHT else -1.0))
    air = lung & ~fist
    return chest.painted(air, -995, random).without(air).painted(fist, -300, random, 60)


def emphysema(chest: Chest, random: Random) -> Chest:
    """All of both lungs 50 to 100 HU darker, with bullae in the upper parts."""
    lung = chest.truth > 0
    darker = np.where(lung & (chest.hu < -700), chest.hu - random.uniform(50, 100), chest.hu)
    result = replace(chest, hu=np.maximum(darker, -1015).astype(np.int16))
    return result.painted(_bullae(chest, random), -985, random)


def lobectomy(chest: Chest, random: Random) -> Chest:
    """The lower part of one side is gone, and what lies below has risen."""
    part = deepest(chest, _side(random), random.uniform(0.3, 0.55), (-1.0, 0.0, 0.0))
    return chest.painted(part, 45, random).without(part)


DISEASES: dict[str, Disease] = {
    "effusion": effusion,
    "consolidation": consolidation,
    "both consolidated": both_consolidated,
    "pneumonia": pneumonia,
    "ground glass": ground_glass,
    "mass": mass,
    "pneumothorax": pneumothorax,
    "tension": tension,
    "emphysema": emphysema,
    "lobectomy": lobectomy,
}


def _side(random: Random) -> int:
    return int(random.integers(LEFT, RIGHT + 1))


def deepest(chest: Chest, side: int, share: float, way: tuple[float, float, float]) -> Flags:
    """The ``share`` of one lung that lies farthest along ``way`` (z, y, x)."""
    lung: Flags = chest.truth == side
    if not lung.any():
        return lung
    steps = [
        np.arange(n) * s * w for n, s, w in zip(lung.shape, chest.spacing_mm, way, strict=True)
    ]
    along = steps[0][:, None, None] + steps[1][:, None] + steps[2]
    return np.asarray(lung & (along > np.quantile(along[lung], 1 - share)))


def _bullae(chest: Chest, random: Random) -> Flags:
    rough = ndi.gaussian_filter(
        random.normal(size=chest.hu.shape), [9 / s for s in chest.spacing_mm]
    )
    upper = deepest(chest, LEFT, 0.5, (1.0, 0.0, 0.0)) | deepest(chest, RIGHT, 0.5, (1.0, 0.0, 0.0))
    return np.asarray(upper & (rough > 1.2 * rough.std()))
