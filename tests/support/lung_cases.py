# mypy: allow-untyped-calls
"""Chests of many kinds with their truth, for a sweep over what the lung rules must stand."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.ct.reading import HIGHEST_HU, LOWEST_HU
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from support.lung_disease import DISEASES, Chest, Flags, Random
from support.references import (
    BASES,
    BASES_REFERENCE,
    CHEST,
    CHEST_REFERENCE,
    Voxels,
    lobes_as_sides,
    thirds_as_sides,
)

Change = Callable[[Chest, Random], Chest]
EXTENT_MM = (312, 300, 384)
"""Of a phantom, (z, y, x)."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """``kind`` is the factor; ``diseased``: Dice may be lower, if the verdict says so."""

    kind: str
    name: str
    seed: int
    chest: Chest
    diseased: bool = False


def dice(found: Flags, truth: Flags) -> float:
    return 2 * float((found & truth).sum()) / max(1.0, float(found.sum() + truth.sum()))


def phantom(seed: int, runner: Runner, spacing_mm: tuple[float, float, float]) -> Chest:
    """``spacing_mm`` is (z, y, x)."""
    size = [round(e / s) for e, s in zip(EXTENT_MM, spacing_mm, strict=True)]
    made = make_phantom(
        PhantomSpec(size=(size[2], size[1], size[0]), spacing_mm=spacing_mm[::-1], seed=seed),
        runner,
    )
    hu, truth = (sitk.GetArrayFromImage(image) for image in (made.ct, made.truth))
    return Chest(hu=hu, truth=truth, spacing_mm=spacing_mm)


def real(folder: Path) -> Iterator[tuple[str, Chest]]:
    for name, reference, sides in (
        (CHEST, CHEST_REFERENCE, thirds_as_sides),
        (BASES, BASES_REFERENCE, lobes_as_sides),
    ):
        image, truth = _in_lps(folder / name), _in_lps(folder / reference)
        known: Voxels = sitk.GetArrayFromImage(truth)
        z, y, x = image.GetSpacing()[::-1]
        yield (
            Path(name).name,
            Chest(
                hu=sitk.GetArrayFromImage(image).astype(np.int16),
                truth=sides(known).astype(np.uint8),
                spacing_mm=(z, y, x),
            ),
        )


def _in_lps(path: Path) -> sitk.Image:
    image: sitk.Image = sitk.DICOMOrient(sitk.ReadImage(path), "LPS")
    return image


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


HEALTHY: dict[str, dict[str, Change]] = {
    "offset": {f"{d:+d}": offset(d) for d in (-60, -40, -20, 20, 40, 60)},
    "scale": {f"{f:g}": scaled(f) for f in (0.9, 0.95, 1.05, 1.1)},
    "dark lungs": {
        **{f"-{d}": darker_lungs(d) for d in (20, 40, 60)},
        **{f"at {d}": lungs_about(d) for d in (-950, -970, -985)},
    },
    "noise": {f"{d}": noisy(d) for d in (40, 80, 120)},
    "halves": {
        "left": cut((0, 0, 0.5), (1, 1, 1)),
        "right": cut((0, 0, 0), (1, 1, 0.5)),
        "front": cut((0, 0, 0), (1, 0.5, 1)),
        "back": cut((0, 0.5, 0), (1, 1, 1)),
    },
    "thirds": {
        "left": cut((0, 0, 0.67), (1, 1, 1)),
        "middle": cut((0, 0, 0.33), (1, 1, 0.67)),
        "right": cut((0, 0, 0), (1, 1, 0.33)),
    },
    "axial": {
        "top": cut((0.6, 0, 0), (1, 1, 1)),
        "middle": cut((0.4, 0, 0), (0.7, 1, 1)),
        "bottom": cut((0, 0, 0), (0.45, 1, 1)),
    },
    "narrow": {
        "47 of 64": cut((0, 0.13, 0.13), (1, 0.865, 0.865)),
        "40 of 64": cut((0, 0.19, 0.19), (1, 0.815, 0.815)),
        "32 of 64": cut((0, 0.25, 0.25), (1, 0.75, 0.75)),
        "cardiac": cut((0.15, 0.15, 0.3), (0.65, 0.7, 0.85)),
        "lungs": around_lungs(4.0),
        "into lungs": around_lungs(-15.0),
        "circle": round_view(0.62),
        "small circle": round_view(0.45),
    },
    "turned": {
        f"{axis} {degrees}": turned(*(degrees * (a == axis) for a in "xyz"))
        for axis in "xyz"
        for degrees in (15, 30, 45, -45)
    },
    "turned thrice": {"20": turned(20, 20, 20), "30": turned(30, -30, 30)},
    "infant": {f"{size:g}": infant(size) for size in (0.3, 0.4, 0.6)},
    "padding": {f"{hu}": padded(hu) for hu in (-1024, -2048, -3024)},
    "prone": {"table": prone},
}
SPACINGS_MM = (
    (0.5, 3.0, 3.0),
    (1.0, 3.0, 3.0),
    (2.0, 2.0, 2.0),
    (5.0, 2.5, 2.5),
    (7.0, 2.5, 2.5),
    (10.0, 3.0, 3.0),
)


def random_of(seed: int, name: str) -> Random:
    return np.random.default_rng([seed, *name.encode()])


def factors(seed: int, base: Chest) -> Iterator[Case]:
    """Each factor alone on one chest."""
    yield Case(kind="plain", name="plain", seed=seed, chest=clamped(base))
    for kind, changes in HEALTHY.items():
        for name, change in changes.items():
            chest = clamped(change(base, random_of(seed, name)))
            yield Case(kind=kind, name=name, seed=seed, chest=chest)
    for name, disease in DISEASES.items():
        chest = clamped(disease(base, random_of(seed, name)))
        yield Case(kind=name, name=name, seed=seed, chest=chest, diseased=True)


def thick(seed: int, runner: Runner) -> Iterator[Case]:
    for spacing_mm in SPACINGS_MM:
        chest = clamped(phantom(seed, runner, spacing_mm))
        yield Case(kind="slices", name=f"{spacing_mm[0]:g} mm", seed=seed, chest=chest)


def combined(seed: int, base: Chest) -> Case:
    """Two healthy factors, and in one of three chests a disease."""
    random = random_of(seed, "combined")
    kinds = random.choice([*HEALTHY], 2, replace=False)
    names, chest = [], base
    sick = bool(random.random() < 1 / 3)
    if sick:
        names.append(str(random.choice([*DISEASES])))
        chest = DISEASES[names[0]](chest, random)
    for kind in kinds:
        name = str(random.choice([*HEALTHY[kind]]))
        chest = HEALTHY[kind][name](chest, random)
        names.append(f"{kind} {name}")
    kind = "combined, diseased" if sick else "combined"
    return Case(kind=kind, name=", ".join(names), seed=seed, chest=clamped(chest), diseased=sick)
