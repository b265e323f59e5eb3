# mypy: allow-untyped-calls
"""Changes of a chest: crops, turns, noise, values, and others that the lung rules must stand."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.ndimage as ndi
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.ct.reading import HIGHEST_HU, LOWEST_HU
from support.lung_disease import Chest, Random
from support.references import (
    Voxels,
)

Change = Callable[[Chest, Random], Chest]


def clamped(chest: Chest) -> Chest:
    """As an image is read."""
    return replace(chest, hu=np.clip(chest.hu, LOWEST_HU, HIGHEST_HU).astype(np.int16))


def offset(hu: float) -> Change:
    return lambda chest, _: replace(chest, hu=(chest.hu + round(hu)).astype(np.int16))


def scaled(factor: float) -> Change:
    return lambda chest, _: replace(chest, hu=np.rint(chest.hu * factor).astype(np.int16))


def darker_lungs(hu: float) -> Change:
    """The voxels of lung alone, vessels and walls as they were."""

    def change(chest: Chest, _: Random) -> Chest:
        lung = (chest.truth > 0) & (chest.hu < -600)
        return replace(chest, hu=np.where(lung, chest.hu - hu, chest.hu).astype(np.int16))

    return change


def lungs_about(hu: float) -> Change:
    """The median of lung at so many HU."""

    def change(chest: Chest, random: Random) -> Chest:
        median = float(np.median(chest.hu[chest.truth > 0]))
        return darker_lungs(median - hu)(chest, random)

    return change


def noisy(sd_hu: float) -> Change:
    def change(chest: Chest, random: Random) -> Chest:
        return replace(
            chest, hu=(chest.hu + random.normal(0, sd_hu, chest.hu.shape)).astype(np.int16)
        )

    return change


def cut(first: tuple[float, float, float], end: tuple[float, float, float]) -> Change:
    """From one fraction of each axis (z, y, x) to another."""

    def change(chest: Chest, _: Random) -> Chest:
        part = tuple(
            slice(round(a * n), round(b * n))
            for a, b, n in zip(first, end, chest.hu.shape, strict=True)
        )
        return replace(
            chest,
            hu=np.ascontiguousarray(chest.hu[part]),
            truth=np.ascontiguousarray(chest.truth[part]),
        )

    return change


def around_lungs(margin_mm: float) -> Change:
    """In plane; a field of view tailored to the lungs, or a negative margin: cut into them."""

    def change(chest: Chest, random: Random) -> Chest:
        ends = []
        for axis in (1, 2):
            there = np.flatnonzero((chest.truth > 0).any(axis=tuple({0, 1, 2} - {axis})))
            n, wide = chest.hu.shape[axis], margin_mm / chest.spacing_mm[axis]
            ends.append((max(0.0, (there[0] - wide) / n), min(1.0, (there[-1] + 1 + wide) / n)))
        return cut((0, ends[0][0], ends[1][0]), (1, ends[0][1], ends[1][1]))(chest, random)

    return change


def turned(x_deg: float, y_deg: float, z_deg: float) -> Change:
    """The patient about the image's axes, with room for all of him."""

    def change(chest: Chest, _: Random) -> Chest:
        turn = sitk.Euler3DTransform()
        turn.SetRotation(*(math.radians(d) for d in (x_deg, y_deg, z_deg)))
        matrix = np.array(turn.GetMatrix()).reshape(3, 3)[::-1, ::-1]
        spacing = np.diag(chest.spacing_mm)
        steps = np.linalg.inv(spacing) @ matrix @ spacing
        middle = (np.array(chest.hu.shape) - 1) / 2
        shift = middle - steps @ middle

        def moved(voxels: Voxels, order: int, outside: int) -> Voxels:
            return np.asarray(
                ndi.affine_transform(  # type: ignore[call-overload]  # its stubs know no offset that is an array
                    voxels.astype(np.float32), steps, shift, order=order, cval=float(outside)
                )
            ).astype(np.int16)

        seen = moved(np.ones(chest.hu.shape, np.uint8), 0, 0) > 0
        return replace(
            chest,
            hu=np.where(seen, moved(clamped(chest).hu, 1, LOWEST_HU), LOWEST_HU).astype(np.int16),
            truth=moved(chest.truth, 0, 0).astype(np.uint8),
        )

    return change


def infant(size: float) -> Change:
    """``size``: through that of an adult."""

    def change(chest: Chest, _: Random) -> Chest:
        z, y, x = (size * s for s in chest.spacing_mm)
        return replace(chest, spacing_mm=(z, y, x))

    return change


def padded(hu: int, share: float = 0.15) -> Change:
    """A wide rim of one value in plane, and two blank slices at each end."""

    def change(chest: Chest, _: Random) -> Chest:
        wide = [(2, 2)] + [(round(share * n),) * 2 for n in chest.hu.shape[1:]]
        return replace(
            chest,
            hu=np.pad(chest.hu, wide, constant_values=hu),
            truth=np.pad(chest.truth, wide),
        )

    return change


def round_view(radius: float, hu: int = -2048) -> Change:
    """Nothing but padding outside of a circle; ``radius`` as a part of half the image's width."""

    def change(chest: Chest, _: Random) -> Chest:
        rows, columns = (np.linspace(-1, 1, n) for n in chest.hu.shape[1:])
        scale = chest.hu.shape[1] * chest.spacing_mm[1] / chest.hu.shape[2] / chest.spacing_mm[2]
        outside = np.hypot(rows[:, None] * scale, columns) > radius
        return replace(
            chest,
            hu=np.where(outside, hu, chest.hu).astype(np.int16),
            truth=np.where(outside, 0, chest.truth).astype(np.uint8),
        )

    return change


def prone(chest: Chest, random: Random) -> Chest:
    """The table in front of the patient instead of behind."""
    y_mm = (np.arange(chest.hu.shape[1]) - (chest.hu.shape[1] - 1) / 2) * chest.spacing_mm[1]
    hu = chest.hu.copy()
    behind, front = y_mm > 138, (y_mm < -138) & (y_mm > -146)
    hu[:, behind] = random.normal(-1000, 20, hu[:, behind].shape)
    hu[:, front] = -550
    return replace(chest, hu=hu)
