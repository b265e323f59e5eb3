# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""The tickets of a chaos run: what each image asks of the stand-in bundle, and what must come of it.

The first slice (z = 0) holds the order: its kind, the milliseconds of work, the case's number.  The other
slices hold noise; the right segmentation is 1 where the noise is above 0.
"""

import random
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

SIZE = (16, 16, 12)
SPACING_MM = (0.75, 0.75, 2.5)
ORIGIN_MM = (-120.5, 33.25, -700.0)
DIRECTION = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
CLAIM_DIGITS = 32

SOON = 25
"""So many tickets after the first comes the deadly one, also in a run that does not send all."""

Voxels = npt.NDArray[np.integer]


class Kind(IntEnum):
    """``REFUSED`` is bad input, ``DEADLY`` kills each program that works on it, ``WITHDRAWN`` is deleted by its user."""

    GOOD = 1
    REFUSED = 2
    DEADLY = 3
    WITHDRAWN = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image that a user will send."""

    number: int
    kind: Kind
    work_ms: int

    def voxels(self) -> npt.NDArray[np.int16]:
        """The image (z, y, x)."""
        noise = np.random.default_rng(self.number)
        voxels = noise.integers(-1000, 1000, SIZE[::-1], dtype=np.int16)
        voxels[0] = 0
        voxels[0, 0, :3] = (self.kind, self.work_ms, self.number)
        return voxels


def draw_cases(count: int, rng: random.Random, *, withdrawn: bool = True) -> list[Case]:
    """Mostly good ones of half a second; a few that take long, are refused or withdrawn; one deadly."""
    weights = [88, 5, 7 if withdrawn else 0]
    kinds = rng.choices([Kind.GOOD, Kind.REFUSED, Kind.WITHDRAWN], weights=weights, k=count)
    kinds[min(count // 3, SOON)] = Kind.DEADLY
    return [Case(number=n, kind=kind, work_ms=_work_ms(rng)) for n, kind in enumerate(kinds)]


def _work_ms(rng: random.Random) -> int:
    return rng.randint(3000, 6000) if rng.random() < 0.08 else rng.randint(100, 600)


def write_case(case: Case, folder: Path) -> Path:
    """The case's image, as a user would have it on his disk."""
    image = sitk.GetImageFromArray(case.voxels())
    image.SetSpacing(SPACING_MM)
    image.SetOrigin(ORIGIN_MM)
    image.SetDirection(DIRECTION)
    path = folder / f"case_{case.number:05d}.nii.gz"
    sitk.WriteImage(image, str(path), True)
    return path


def order_of(voxels: Voxels) -> Case:
    """What an image (z, y, x) asks for."""
    kind, work_ms, number = (int(n) for n in voxels[0, 0, :3])
    return Case(number=number, kind=Kind(kind), work_ms=work_ms)


def segmented(voxels: Voxels, claim_id: str) -> npt.NDArray[np.uint8]:
    """The right labels (z, y, x), signed by the claim that made them: a digit in each voxel of z = 0."""
    labels = (voxels > 0).astype(np.uint8)
    labels[0] = 0
    digits = [int(digit, 16) + 2 for digit in claim_id[:CLAIM_DIGITS]]
    labels[0].flat[: len(digits)] = digits
    return labels


def signature(labels: Voxels) -> str:
    """The claim that made them."""
    return "".join(f"{int(value) - 2:x}" for value in labels[0].flat[:CLAIM_DIGITS])


def is_right(labels: Voxels, case: Case) -> bool:
    """Do the labels belong to the case's own image?"""
    image = case.voxels()
    return labels.shape == image.shape and bool(np.array_equal(labels[1:] > 0, image[1:] > 0))
