"""The anatomy of a synthetic chest: for each organ, the depth in mm of every point of a regular grid below the organ's
surface, negative outside; and at every point the HU of soft tissue and of lung.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_phantom import trees
from dss_phantom.shapes import (
    FAR_MM,
    Depth,
    Space,
    all_of,
    any_of,
    ellipsoid,
    pillar,
    regular_space,
    tubes,
)

_STEP_MM = 3.0
_HALF_MM = (180.0, 159.0, 210.0)
_APEX_MM, _SHOULDER_MM = 128.0, 30.0
_HALF_WIDTH_MM, _HALF_DEPTH_MM = 165.0, 112.0
_WALL_MM = 30.0
CHANNELS = (
    "body",
    "flesh",
    "bone",
    "left",
    "right",
    "vessel",
    "airway",
    "gas",
    "table",
    "soft",
    "lung",
)
"""Names of the channels of ``Anatomy.fields``: depths in mm below a surface, except that ``soft`` and ``lung`` are the
HU of soft tissue and of lung.
"""


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The anatomy on a regular grid.  ``fields`` (channel, z, y, x) are the channels CHANNELS; ``first_mm`` (z, y, x)
    is the position of the first point from the middle of the chest, ``step_mm`` the distance of neighbouring points.
    """

    fields: npt.NDArray[np.float32]
    first_mm: tuple[float, float, float]
    step_mm: float


@lru_cache(maxsize=1)
def grow_chest(seed: int) -> Anatomy:
    """The anatomy of one person.  Each ``seed`` gives another size and shape, other positions of organs, and other
    vessels; the same seed gives the same person.
    """
    rng = np.random.default_rng(seed)
    straight = regular_space(_HALF_MM, _STEP_MM)
    space = _warped(straight, rng)
    outer = _torso(space, 0.0)
    cavity = _torso(space, _WALL_MM)
    inner = all_of(cavity, _under_apex(space), _above_diaphragm(space), space.z + 128)
    heart = ellipsoid(space, (22, -22, -38), (58, 48, 52))
    between = any_of(_mediastinum(space), heart, ellipsoid(space, (26, 52, 0), (13, 13, 400)))
    left, right = (all_of(inner, -between, side) for side in (space.x, -space.x))
    lumen = tubes(space, trees.airways())
    wall = lumen + 2.0
    gas = _stomach_gas(space)
    fields = {
        "body": outer,
        "flesh": outer - 14 - 4 * np.sin(space.z / 40),
        "bone": _bones(space, cavity),
        "left": all_of(left, -wall),
        "right": all_of(right, -wall),
        "vessel": _vessels(space, rng),
        "airway": lumen,
        "gas": gas,
        "table": all_of(8 - np.abs(straight.y - 150), 210 - np.abs(straight.x)),
    }
    depths = [np.clip(fields[name], -FAR_MM, FAR_MM) for name in CHANNELS[:-2]]
    stacked = np.stack([*depths, _soft_hu(space, rng), _lung_hu(space, rng)]).astype(np.float32)
    return Anatomy(fields=stacked, first_mm=straight.first_mm, step_mm=straight.step_mm)


def _warped(space: Space, rng: np.random.Generator) -> Space:
    """``space`` bent by a few mm and scaled by a few per cent, differently for each state of ``rng``."""
    scale = rng.normal(1, 0.03, 3)
    bent = [_smooth(space.x.shape, 5.0, rng) for _ in range(3)]
    return Space(
        x=space.x * scale[0].astype(np.float32) + bent[0],
        y=space.y * scale[1].astype(np.float32) + bent[1],
        z=space.z * scale[2].astype(np.float32) + bent[2],
        first_mm=space.first_mm,
        step_mm=space.step_mm,
    )


def _smooth(shape: tuple[int, ...], amplitude: float, rng: np.random.Generator) -> Depth:
    """A random array (z, y, x) of ``shape`` that varies slowly; ``amplitude`` is the standard deviation at the 7 x 7 x
    7 nodes between which it is interpolated.
    """
    nodes = rng.normal(0, amplitude, (7, 7, 7))
    zoomed = ndi.zoom(nodes, [n / 7 for n in shape], order=1, grid_mode=True, mode="nearest")
    return np.asarray(zoomed, np.float32)


def _torso(space: Space, inside_mm: float) -> Depth:
    """Depth in mm of each point below the skin of the trunk, which narrows towards the neck; ``inside_mm`` moves the
    surface inwards, by that many mm at the sides and 0.8 times as many in front and at the back.
    """
    taper = 1 - 0.55 / (1 + np.exp(-(space.z - 165) / 14))
    return pillar(
        space, _HALF_WIDTH_MM * taper - inside_mm, _HALF_DEPTH_MM * taper - 0.8 * inside_mm
    )


def _under_apex(space: Space) -> Depth:
    """Depth in mm below the dome that closes the chest cavity above the shoulders."""
    up = np.maximum(space.z - _SHOULDER_MM, 0) / (_APEX_MM - _SHOULDER_MM)
    across = np.sqrt(((np.abs(space.x) - 55) / 90) ** 2 + (space.y / 95) ** 2)
    return np.asarray(
        (1 - np.sqrt(up**2 + (np.where(up > 0, across, 0) ** 2) * up)) * 80, np.float32
    )


def _above_diaphragm(space: Space) -> Depth:
    """Height in mm above the diaphragm, which has two domes, the right one higher; negative below.  The domes are steep
    near the ribs, so that the recesses are thin and deep.
    """
    right = space.x < 0
    top = np.where(right, -62.0, -74.0)
    away = ((np.abs(space.x) - 62) / 88) ** 2 + ((space.y - 8) / 82) ** 2
    return np.asarray((space.z - (top - 62 * away)) * 0.6, np.float32)


def _mediastinum(space: Space) -> Depth:
    """Depth in mm in the mediastinum between the lungs.  It is thin in front, wide at the vessels, and wider still at
    the spine.
    """
    middle = 22 * np.exp(-(((space.y - 5) / 40) ** 2)) + 16 * np.exp(-(((space.y - 75) / 26) ** 2))
    return np.asarray(4 + middle - np.abs(space.x), np.float32)


def _stomach_gas(space: Space) -> Depth:
    """Depth in mm in a gas bubble at the front below the left dome of the diaphragm.  Only the bubble's wall and the
    diaphragm separate it from the lung.
    """
    bubble = ellipsoid(space, (72, -38, -128), (44, 34, 32))
    return all_of(bubble, -30 - space.y, -_above_diaphragm(space) - 6)


def _bones(space: Space, cavity: Depth) -> Depth:
    """Depth in mm in the bones: spine, breastbone, and ribs that descend towards the front within the chest wall.
    ``cavity`` is the depth in the chest cavity.
    """
    fall = (space.z + 0.35 * (space.y - 60)) / 27
    ribs = all_of(3.5 - np.abs(cavity + 9), 5 - 27 * np.abs(fall - np.round(fall)))
    spine = any_of(
        ellipsoid(space, (0, 78, 0), (19, 17, 4000)), ellipsoid(space, (0, 102, 0), (6, 14, 4000))
    )
    front = all_of(
        16 - np.abs(space.x), 5 - np.abs(cavity + 10), -space.y, 95 - np.abs(space.z - 15)
    )
    return any_of(all_of(ribs, 135 - np.abs(space.z)), spine, front)


def _vessels(space: Space, rng: np.random.Generator) -> Depth:
    parts = [t for side in ("left", "right") for t in trees.lung_trees(side, 5.0, rng)]
    return tubes(space, parts)


def _soft_hu(space: Space, rng: np.random.Generator) -> Depth:
    """HU of soft tissue at each point: muscle, and slightly denser liver and spleen."""
    hu = 45 + _smooth(space.x.shape, 8.0, rng)
    hu[ellipsoid(space, (-70, 0, -150), (85, 85, 85)) > 0] += 15
    hu[ellipsoid(space, (95, 45, -150), (35, 40, 55)) > 0] += 8
    return hu


def _lung_hu(space: Space, rng: np.random.Generator) -> Depth:
    """HU of lung at each point, with fine-grained variation.  Lung is denser towards the back, where blood collects."""
    grain = ndi.gaussian_filter(rng.normal(0, 60, space.x.shape).astype(np.float32), 0.8)
    return np.asarray(-868 + 0.42 * space.y + grain + _smooth(space.x.shape, 12.0, rng), np.float32)
