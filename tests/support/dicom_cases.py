"""Variations of a DICOM series, drawn by a seed, with the planes that must be in the image."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from support.dicom_series import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    TILTED,
    Plane,
    plane,
    stack,
    write,
    write_enhanced,
    write_frames,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """``wanted`` are the planes that have to be in the image, if there is one."""

    kind: str
    seed: int
    source: Path
    wanted: tuple[Plane, ...]
    must_be_exact: bool = False


Maker = Callable[[random.Random, Path, list[Plane]], tuple[Path, list[Plane], bool]]
"""From a sound stack to a written case: the source, the wanted planes, and whether they must be exact."""


def case(kind: str, seed: int, folder: Path) -> Case:
    """One generated variation; the same for the same seed."""
    draw = random.Random(f"{kind} {seed}")
    count = draw.randint(8, 24)
    step = draw.choice([0.625, 1.0, 1.25, 2.5, 3.0, 5.0])
    spacing = draw.choice([(1.0, 1.0), (0.7, 0.9), (2.0, 2.0)])
    size = draw.choice([(16, 16), (12, 20)])
    turned = draw.choice([AXIAL, CORONAL, SAGITTAL, _oblique(draw)])
    start = [draw.uniform(-300, 300) for _ in range(3)]
    planes = stack(count, step, turned, start, size=size, spacing=spacing)
    if draw.random() < 0.5:
        planes = [replace(p, number=count + 1 - (p.number or 0)) for p in planes]
    source, wanted, exact = KINDS[kind](draw, folder, planes)
    return Case(kind=kind, seed=seed, source=source, wanted=tuple(wanted), must_be_exact=exact)


def _oblique(draw: random.Random) -> tuple[float, ...]:
    """Two directions at right angles, any way round, as ten digits give them."""
    made = np.linalg.qr(np.array([[draw.gauss(0, 1) for _ in range(3)] for _ in range(3)]))[0]
    return tuple(float(f"{x:.10g}") for x in [*made[:, 0], *made[:, 1]])


def _shuffled(draw: random.Random, folder: Path, planes: list[Plane]) -> list[Plane]:
    """Written under names that say nothing about their order."""
    names = draw.sample(range(10_000), len(planes))
    mode = draw.choice(["{:05d}", ".IM{:05d}", "a/{:05d}.dcm", "CT.{:05d}.IMA"])
    renamed = [replace(p, name=mode.format(n)) for p, n in zip(planes, names, strict=True)]
    write(folder, renamed)
    return renamed


def _order(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    numbering = draw.choice(["kept", "none", "equal", "random"])
    numbers: dict[str, Callable[[], int | None]] = {
        "none": lambda: None,
        "equal": lambda: 1,
        "random": lambda: draw.randint(1, 999),
    }
    if numbering != "kept":
        planes = [replace(p, number=numbers[numbering]()) for p in planes]
    return folder, _shuffled(draw, folder, planes), True


def _gaps(draw: random.Random, folder: Path, planes: list[Plane]) -> tuple[Path, list[Plane], bool]:
    first = draw.randint(2, len(planes) - 3)
    lost = set(range(first, min(first + draw.randint(1, 4), len(planes) - 2)))
    left = [p for i, p in enumerate(planes) if i not in lost]
    if draw.random() < 0.5:
        left = [replace(p, number=i + 1) for i, p in enumerate(left)]
    return folder, _shuffled(draw, folder, left), False


def _copies(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    twice = draw.sample(planes, draw.randint(1, len(planes)))
    more = [replace(p, number=(p.number or 0) + 100) for p in twice]
    _shuffled(draw, folder, [*planes, *more])
    return folder, planes, True


def _changed_doubles(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    twice = draw.sample(planes, draw.randint(1, 3))
    more = [replace(p, number=(p.number or 0) + 100, stored=p.stored + 1) for p in twice]
    _shuffled(draw, folder, [*planes, *more])
    return folder, planes, False


def _phases(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    count, marked = draw.randint(2, 4), draw.choice(["TemporalPositionIdentifier", "", "EchoTime"])
    everything: list[Plane] = []
    ordered = sorted(planes, key=lambda p: p.number or 0)
    for phase in range(count):
        for k, one in enumerate(ordered):
            tags = {marked: phase + 1} if marked else {}
            number = phase * len(planes) + k + 1
            stored = one.stored + 500 * phase
            everything.append(replace(one, number=number, stored=stored, tags=tags))
    _shuffled(draw, folder, everything)
    return folder, everything[: len(planes)], False


def _tilt(draw: random.Random, folder: Path, planes: list[Plane]) -> tuple[Path, list[Plane], bool]:
    """The positions go along the axis of the gantry, the planes are turned about a row or a column."""
    tangent = np.tan(np.radians(draw.choice([-1, 1]) * draw.uniform(3, 25)))
    first = planes[0]
    aside = np.array(first.orientation[3:] if draw.random() < 0.7 else first.orientation[:3])
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    tilted = []
    for one in planes:
        along = float((np.array(one.position) - first.position) @ normal)
        place = (np.array(one.position) + aside * tangent * along).tolist()
        size = (one.stored.shape[0], one.stored.shape[1])
        tilted.append(plane(place, one.number, one.orientation, size, one.spacing))
    return folder, _shuffled(draw, folder, tilted), False


def _uneven(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    first = planes[0]
    half, factor = draw.randint(3, len(planes) - 4), draw.choice([1.25, 1.5, 2.0, 2.5])
    numbered = sorted(planes, key=lambda p: p.number or 0)
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    step = float((np.array(planes[1].position) - first.position) @ normal)
    places = np.cumsum(
        [0.0] + [step if k < half else step * factor for k in range(len(planes) - 1)]
    )
    size = (first.stored.shape[0], first.stored.shape[1])
    moved = [
        plane(
            (np.array(first.position) + normal * place).tolist(),
            numbered[k].number,
            first.orientation,
            size,
            first.spacing,
        )
        for k, place in enumerate(places)
    ]
    return folder, _shuffled(draw, folder, moved), False


def _jitter(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    """By 0.02 mm, or rounded to one or two decimals."""
    mode = draw.choice(["jitter", "tenths", "hundredths"])
    moved = []
    for one in planes:
        place = [
            x + draw.uniform(-0.02, 0.02)
            if mode == "jitter"
            else round(x, 1 if mode == "tenths" else 2)
            for x in one.position
        ]
        size = (one.stored.shape[0], one.stored.shape[1])
        moved.append(plane(place, one.number, one.orientation, size, one.spacing))
    return folder, _shuffled(draw, folder, moved), False


def _scouts(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    first = planes[0]
    rows, columns = first.stored.shape
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    turned = [*first.orientation[:3], *normal.tolist()]
    size = (rows, columns) if draw.random() < 0.5 else (32, 24)
    tags = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]} if draw.random() < 0.5 else {}
    scouts = [
        plane(first.position, 900 + k, turned, size, first.spacing, tags=tags)
        for k in range(draw.randint(1, 2) if len(planes) >= 10 else 1)
    ]
    _shuffled(draw, folder, [*planes, *scouts])
    return folder, planes, True


def _frames(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    step = float(np.linalg.norm(np.subtract(planes[1].position, planes[0].position)))
    tag = draw.choice(["SpacingBetweenSlices", "SliceThickness"])
    write_frames(folder, planes, **{tag: f"{step:.6g}"})
    return folder, planes, True


def _enhanced(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    """Frames in any order, each with a slope and an intercept of its own."""
    scaled = [
        replace(p, slope=draw.choice([1.0, 2.0, 0.5]), intercept=float(draw.randint(-1024, 0)))
        for p in planes
    ]
    mixed = draw.sample(scaled, len(scaled))
    write_enhanced(folder, mixed)
    return folder, scaled, True


def _slopes(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    kind = draw.choice([np.int16, np.uint16, np.uint8])
    changed = [
        replace(
            p,
            stored=(p.stored - p.stored.min()).astype(kind) if kind != np.int16 else p.stored,
            slope=draw.choice([1.0, 2.0, 0.1234567]),
            intercept=draw.choice([0.0, -1024.0, 0.5]),
        )
        for p in planes
    ]
    return folder, _shuffled(draw, folder, changed), True


def _damage(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    """One file is cut off somewhere, from nothing to its last byte but one."""
    written = _shuffled(draw, folder, planes)
    hurt = folder / draw.choice(written).name
    whole = hurt.read_bytes()
    hurt.write_bytes(whole[: int(len(whole) * draw.choice([0, 0.05, 0.3, 0.5, 0.7, 0.9])) or 0])
    return folder, planes, False


def _mixed(
    draw: random.Random, folder: Path, planes: list[Plane]
) -> tuple[Path, list[Plane], bool]:
    """Several accidents at once that all have one answer: copies, a scout, other files beside."""
    _copies(draw, folder / "1", planes)
    scout = plane(
        planes[0].position, 999, TILTED, (8, 8), tags={"ImageType": ["A", "B", "LOCALIZER"]}
    )
    write(folder / "2", [scout])
    (folder / "README.txt").write_text("nothing", encoding="utf-8")
    return folder, planes, True


KINDS: dict[str, Maker] = {
    "order and orientation": _order,
    "gaps": _gaps,
    "identical doubles": _copies,
    "different doubles": _changed_doubles,
    "phases": _phases,
    "gantry tilt": _tilt,
    "uneven steps": _uneven,
    "jitter and rounding": _jitter,
    "scouts": _scouts,
    "frames of a plain file": _frames,
    "frames of an enhanced file": _enhanced,
    "slopes and pixel types": _slopes,
    "damage": _damage,
    "mixed": _mixed,
}
