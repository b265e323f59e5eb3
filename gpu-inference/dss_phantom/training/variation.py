"""Random variations of a phantom for training: stretched, turned, cropped, with other densities, gas in the abdomen and
noise.

A network that is trained with many variations depends less on the appearance of phantoms, and works on people.  Arrays
are (z, y, x) in LPS order with voxels of STEP_MM.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi
import torch
from torch.nn import functional

STEP_MM = 4.0
PATCH = 72
"""Voxels along each side of a sample: 288 mm."""
LOWEST_HU, HIGHEST_HU = -1000.0, 200.0
_LUNG_HU = (-960, -640)
_KNOTS_HU = np.array([-1000.0, -870.0, -100.0, 45.0, 480.0, 3071.0])
_MOST_BUBBLES = 10

Floats: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Person:
    """A phantom for training.  ``hu`` and ``truth`` (1 left lung, 2 right lung) have the same shape."""

    hu: Floats
    truth: Labels


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Input of the network, 0..1, and its expected output; both have PATCH voxels along each side."""

    image: Floats
    truth: Labels


def sample_of(person: Person, rng: np.random.Generator) -> Sample:
    """A random variation of ``person``, as a sample for training; the same state of ``rng`` gives the same sample."""
    placed = _placed(person, rng)
    hu = _with_gas(placed, rng)
    hu = _recoloured(hu, rng)
    hu = _with_grain(hu, placed.truth, rng)
    seen = _field_of_view(hu.shape, rng)
    return Sample(image=np.where(seen, scaled(hu), 0).astype(np.float32), truth=placed.truth * seen)


def scaled(hu: Floats) -> Floats:
    """HU from LOWEST_HU to HIGHEST_HU scaled to 0..1, and limited to it, as the bundle's preprocessing does."""
    return np.asarray(np.clip((hu - LOWEST_HU) / (HIGHEST_HU - LOWEST_HU), 0, 1), np.float32)


def _placed(person: Person, rng: np.random.Generator) -> Person:
    """``person`` stretched and turned a little, and cropped to PATCH voxels along each side, whose
    centre is random, up to a fifth of the image from the image's centre.
    """
    matrix = _turned(rng) * rng.uniform(0.8, 1.25, 3)[:, None] * rng.uniform(0.9, 1.1)
    reach = np.array(person.hu.shape[::-1], float)
    middle = rng.uniform(-0.4, 0.4, 3)
    theta = np.column_stack([matrix * (PATCH / reach)[:, None], middle])
    grid = functional.affine_grid(
        torch.from_numpy(theta[None]).float(), [1, 1, PATCH, PATCH, PATCH], align_corners=False
    )
    hu = _at(person.hu - LOWEST_HU, grid, "bilinear") + LOWEST_HU
    return Person(hu=hu, truth=_at(person.truth, grid, "nearest").astype(np.uint8))


def _turned(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A matrix (3, 3) that rotates by some degrees round each axis."""
    x, y, z = rng.normal(0, 0.1, 3)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn, _ = np.linalg.qr(np.eye(3) + skew)
    return np.asarray(turn * np.sign(np.diag(turn)), np.float64)


def _at(voxels: npt.NDArray[Any], grid: torch.Tensor, mode: str) -> Floats:
    values = torch.from_numpy(voxels.astype(np.float32))[None, None]
    found = functional.grid_sample(values, grid, mode=mode, align_corners=False)[0, 0]
    return np.asarray(found.numpy(), np.float32)


def _with_gas(person: Person, rng: np.random.Generator) -> Floats:
    """The HU of ``person`` with bubbles of gas, as in bowel and stomach, in the soft tissue around the lungs."""
    hu = person.hu.copy()
    flesh = (hu > -250) & ~ndi.binary_dilation(person.truth > 0)
    places = np.argwhere(flesh)
    for _ in range(int(rng.integers(0, _MOST_BUBBLES)) if len(places) else 0):
        radii = rng.uniform(1.5, 9, 3)
        away = _away(hu.shape, places[rng.integers(len(places))], radii)
        hu[(away < 1) & flesh] = rng.uniform(-1000, -650)
    return hu


def _away(
    shape: tuple[int, ...], centre: npt.NDArray[np.intp], radii: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Squared distance of each voxel from ``centre`` (z, y, x), in units of ``radii``, so that it is 1 on the surface
    of the ellipsoid.
    """
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    parts = [((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)]
    return np.asarray(sum(parts), np.float64)


def _recoloured(hu: Floats, rng: np.random.Generator) -> Floats:
    """``hu`` with other densities of lung, fat, muscle and bone, in the same order of density."""
    others = [
        -1000.0,
        rng.uniform(*_LUNG_HU),
        rng.uniform(-140, -50),
        rng.uniform(10, 90),
        rng.uniform(250, 900),
        3071.0,
    ]
    return np.interp(hu, _KNOTS_HU, others).astype(np.float32)


def _with_grain(hu: Floats, truth: Labels, rng: np.random.Generator) -> Floats:
    """``hu`` with denser and thinner regions in the lung, a scanner's blur, and noise."""
    clouds = ndi.zoom(rng.normal(0, rng.uniform(0, 80), (5, 5, 5)), PATCH / 5, order=1)
    cloudy = hu + np.where(truth > 0, clouds, 0)
    blurred = ndi.gaussian_filter(cloudy, rng.uniform(0.0, 0.9))
    noise = rng.standard_normal(hu.shape, np.float32) * rng.uniform(0, 60)
    return np.asarray(blurred + noise, np.float32)


def _field_of_view(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Flags (z, y, x), False outside a random field of view, which may be a slab or narrower than the chest."""
    seen = np.ones(shape, bool)
    for axis, chance in enumerate((0.5, 0.15, 0.15)):
        if rng.random() < chance:
            length = int(rng.integers(14, PATCH))
            start = int(rng.integers(0, PATCH - length + 1))
            outside = np.ones(PATCH, bool)
            outside[start : start + length] = False
            seen[(slice(None),) * axis + (outside,)] = False
    return seen
