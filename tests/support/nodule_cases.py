# mypy: allow-untyped-calls
"""Chests with nodules of known places, in slices of any thickness, cut, turned and diseased."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.device.runner import Runner
from dss_phantom.chest import Phantom, PhantomSpec, make_phantom
from dss_phantom.nodules import Frame, Nodule, paint
from support.lung_cases import HEALTHY, random_of
from support.lung_changes import Change, clamped
from support.lung_disease import DISEASES, Chest

Triple = tuple[float, float, float]
EXTENT_MM = (340.0, 260.0, 350.0)
"""Of a phantom, (z, y, x)."""
LARGE_KINDS = {"solid": 30.0, "part-solid": -350.0, "ground glass": -600.0}
LARGE_MM = (20.0, 30.0, 40.0)
PLACES = {"inside": 0.55, "wall": 0.3}
"""How deep in the lung the centre lies, as a part of the diameter."""
_SIDES = 4
"""``truth`` holds side + 4 * number of the nodule, 0 of none, so that what moves the truth moves nodules."""
_IN_VIEW = 0.6
_GRAIN_HU = 15.0
SMALLEST_MM = 3.5
"""Smaller nodules, such as those of an infant's chest, are neither missed nor found."""


@dataclass(frozen=True, kw_only=True)
class Nodular:
    """``nodules``: kind and diameter in mm by number, from 1 on."""

    chest: Chest
    nodules: dict[int, tuple[str, float]]

    @property
    def sides(self) -> npt.NDArray[np.uint8]:
        return np.asarray(self.chest.truth % _SIDES, np.uint8)

    @property
    def numbers(self) -> npt.NDArray[np.uint8]:
        return np.asarray(self.chest.truth // _SIDES, np.uint8)


def nodular(seed: int, runner: Runner, spacing_mm: Triple, nodules: int = 5) -> Nodular:
    """A phantom that is made in this grid; ``spacing_mm`` is (z, y, x)."""
    size = [round(e / s) for e, s in zip(EXTENT_MM, spacing_mm, strict=True)]
    spec = PhantomSpec(
        size=(size[2], size[1], size[0]), spacing_mm=spacing_mm[::-1], seed=seed, nodules=nodules
    )
    return _of(make_phantom(spec, runner), spacing_mm)


def _of(phantom: Phantom, spacing_mm: Triple) -> Nodular:
    hu, truth = (sitk.GetArrayFromImage(image) for image in (phantom.ct, phantom.truth))
    first_mm = np.array(phantom.ct.GetOrigin())
    coded = truth.copy()
    for number, nodule in enumerate(phantom.nodules, start=1):
        _mark(coded, nodule, number, first_mm, spacing_mm)
    known = {n: (x.kind, x.diameter_mm) for n, x in enumerate(phantom.nodules, start=1)}
    chest = clamped(Chest(hu=hu, truth=coded, spacing_mm=spacing_mm))
    return Nodular(chest=chest, nodules=known)


def _mark(
    coded: npt.NDArray[np.uint8],
    nodule: Nodule,
    number: int,
    first_mm: npt.NDArray[np.float64],
    spacing_mm: Triple,
) -> None:
    """At least the voxel at its centre."""
    middle = ((nodule.centre_mm - first_mm) / spacing_mm[::-1])[::-1]
    reach = [int(np.ceil(0.6 * nodule.diameter_mm / s)) for s in spacing_mm]
    box = tuple(
        slice(max(0, round(m) - r), round(m) + r + 1) for m, r in zip(middle, reach, strict=True)
    )
    part = coded[box]
    index = np.moveaxis(np.indices(part.shape), 0, -1) + [b.start for b in box]
    inside = nodule.depth_mm((index * spacing_mm)[..., ::-1] + first_mm) > 0
    inside[tuple(np.clip(np.rint(middle).astype(int) - [b.start for b in box], 0, None))] = True
    part[inside & (part > 0)] += np.uint8(_SIDES * number)


def in_slices(case: Nodular, together: int) -> Nodular:
    """As a scanner makes thick slices of thin ones: means of ``together`` of them; no nodule goes lost in the truth."""
    n = case.chest.hu.shape[0] // together * together
    z, y, x = case.chest.spacing_mm
    thin = case.chest.hu[:n].reshape(-1, together, *case.chest.hu.shape[1:])
    truth = case.chest.truth[:n].reshape(-1, together, *case.chest.hu.shape[1:])
    chest = Chest(
        hu=thin.mean(axis=1, dtype=np.float32).round().astype(np.int16),
        truth=truth.max(axis=1),
        spacing_mm=(z * together, y, x),
    )
    return replace(case, chest=chest)


def with_large(seed: int, runner: Runner, spacing_mm: Triple, place: str) -> Iterator[Nodular]:
    """One nodule in each: every kind in every size, within the lung or at the chest wall."""
    plain = nodular(seed, runner, spacing_mm, nodules=0)
    truth = plain.chest.truth
    depth_mm = np.asarray(ndi.distance_transform_edt(truth > 0, spacing_mm), np.float32)
    random = random_of(seed, place)
    for kind, hu in LARGE_KINDS.items():
        for diameter_mm in LARGE_MM:
            centre = _place(truth, depth_mm, PLACES[place] * diameter_mm, spacing_mm, random)
            nodule = Nodule(centre_mm=centre, diameter_mm=diameter_mm, kind=kind, hu=hu)
            yield _painted(plain, nodule, random)


def _place(
    truth: npt.NDArray[np.uint8],
    depth_mm: npt.NDArray[np.float32],
    wanted_mm: float,
    spacing_mm: Triple,
    random: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Of a voxel (x, y, z in mm) about so deep, away from the mediastinum, at mid-height."""
    high, _, wide = truth.shape
    z, x = np.arange(high)[:, None, None], np.arange(wide)
    lateral = abs(x - wide / 2) * spacing_mm[2] > 65
    around = lateral & (abs(z - 0.5 * high) < 0.15 * high) & (truth > 0)
    off = np.where(around, abs(depth_mm - wanted_mm), np.inf)
    points = np.argwhere(off <= max(2.0, float(off.min())))
    return np.asarray((points[random.integers(len(points))] * spacing_mm)[::-1], np.float64)


def _painted(plain: Nodular, nodule: Nodule, random: np.random.Generator) -> Nodular:
    spacing_mm, truth = plain.chest.spacing_mm, plain.chest.truth.copy()
    frame = Frame(to_mm=np.diag(spacing_mm[::-1]), first_mm=np.zeros(3))
    hu = plain.chest.hu.astype(np.float32)
    paint(hu, truth > 0, (nodule,), frame, 1.5 * max(spacing_mm[1:]))
    touched = hu - plain.chest.hu > 30
    hu[touched] += random.normal(0, _GRAIN_HU, int(touched.sum()))
    _mark(truth, nodule, 1, np.zeros(3), spacing_mm)
    chest = clamped(Chest(hu=hu.round().astype(np.int16), truth=truth, spacing_mm=spacing_mm))
    return Nodular(chest=chest, nodules={1: (nodule.kind, nodule.diameter_mm)})


def kinds(seed: int, base: Nodular) -> Iterator[tuple[str, str, Nodular]]:
    """The kind, its name and the chest: all factors and diseases of the lungs' sweep; one case of each kind first."""
    rows = [[(kind, name) for name in changes] for kind, changes in HEALTHY.items()]
    rows += [[(name, name)] for name in DISEASES]
    for kind, name in (pair for turn in zip_longest(*rows) for pair in turn if pair):
        if kind in DISEASES:
            yield kind, name, diseased(base, name, seed)
        else:
            yield kind, name, _changed(base, HEALTHY[kind][name], random_of(seed, name))


def _changed(base: Nodular, change: Change, random: np.random.Generator) -> Nodular:
    """Nodules of an infant's chest are smaller, too."""
    chest = clamped(change(base.chest, random))
    size = chest.spacing_mm[0] / base.chest.spacing_mm[0]
    known = {n: (what, size * mm) for n, (what, mm) in base.nodules.items()}
    return Nodular(chest=chest, nodules=known)


def diseased(base: Nodular, name: str, seed: int) -> Nodular:
    """Nodules that the disease covers are none any more."""
    chest = replace(base.chest, truth=base.sides)
    sick = clamped(DISEASES[name](chest, random_of(seed, name)))
    spared = (sick.truth > 0) & (abs(sick.hu - base.chest.hu) < 150)
    numbers = np.where(spared, base.numbers, 0).astype(np.uint8)
    return replace(
        base, chest=replace(sick, truth=(sick.truth + _SIDES * numbers).astype(np.uint8))
    )


@dataclass(frozen=True, kw_only=True)
class Place:
    """``centre_mm`` (z, y, x) from the middle of the image's first voxel."""

    number: int
    centre_mm: npt.NDArray[np.float64]
    diameter_mm: float
    kind: str


def in_view(case: Nodular, before: Nodular) -> list[Place]:
    """The nodules of which most can still be seen, and that are not too small; ``before`` is the chest from which
    ``case`` was made.
    """
    whole = np.bincount(before.numbers.ravel(), minlength=max(before.nodules, default=0) + 1)
    numbers = case.numbers
    places = []
    for number, (kind, diameter_mm) in case.nodules.items():
        points = np.argwhere(numbers == number)
        if diameter_mm < SMALLEST_MM:
            continue
        if len(points) and len(points) >= _IN_VIEW * whole[number]:
            centre = points.mean(axis=0) * case.chest.spacing_mm
            places.append(
                Place(number=number, centre_mm=centre, diameter_mm=diameter_mm, kind=kind)
            )
    return places
