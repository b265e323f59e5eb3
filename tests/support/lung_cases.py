# mypy: allow-untyped-calls
"""Chests of many kinds with their truth, for a sweep over what the lung rules must stand."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.device.runner import Runner
from dss_phantom.chest import Phantom, PhantomSpec, make_phantom
from support.lung_changes import (
    Change,
    around_lungs,
    clamped,
    cut,
    darker_lungs,
    infant,
    lungs_about,
    noisy,
    offset,
    padded,
    prone,
    round_view,
    scaled,
    turned,
)
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
    return chest_of(made)


def chest_of(made: Phantom) -> Chest:
    """A phantom in LPS order."""
    hu, truth = (sitk.GetArrayFromImage(image) for image in (made.ct, made.truth))
    z, y, x = made.ct.GetSpacing()[::-1]
    return Chest(hu=hu, truth=truth, spacing_mm=(z, y, x))


def real(folder: Path) -> Iterator[tuple[str, Chest]]:
    for name, reference, sides in (
        (CHEST, CHEST_REFERENCE, thirds_as_sides),
        (BASES, BASES_REFERENCE, lobes_as_sides),
    ):
        image, truth = in_lps(folder / name), in_lps(folder / reference)
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


def in_lps(path: Path) -> sitk.Image:
    image: sitk.Image = sitk.DICOMOrient(sitk.ReadImage(path), "LPS")
    return image


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
