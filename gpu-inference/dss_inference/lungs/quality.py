"""What about a lung segmentation should make its user look twice."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dss_broker.messages import Label
from dss_datastore.writing import sync
from dss_inference.bundle import Report
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED, Sides
from dss_inference.lungs.signs import Signs

USUAL_ML = (1000, 9000)
USUAL_RATIO = (0.5, 1.5)
"""Left through right: some 0.8 to 0.95 in health."""
USUAL_HU = (-970, -550)
"""The median of aerated lung, from emphysema to full expiration."""
POSSIBLE_ML = 15_000
"""No lungs hold more."""
MOST_EMPTY, MOST_DENSE, MOST_UNEVEN, MOST_GAS = 0.15, 0.1, 0.065, 0.15
"""Shares as in ``Signs``; ``tests/bench/bench_lung_sweep.py`` prints what comes of these limits."""
REMARKS = ("touches_border",)
"""Codes of flags that are said and do not lower the verdict."""
_BORDERS = (("feet", "head"), ("front", "back"), ("right", "left"))
_SAMPLES = 1_000_000
TEXT_NAME, JSON_NAME = "quality.txt", "quality.json"


class Verdict(StrEnum):
    """What a user may do with a segmentation; a ticket whose segmentation is not usable fails."""

    GOOD = "good"
    LOOK = "look at it"
    UNUSABLE = "not usable"


@dataclass(frozen=True, kw_only=True)
class Flag:
    """``code`` is for programs and never changes; ``text`` is a sentence for the user."""

    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Quality:
    """``volumes_ml`` by label; ``median_hu`` of all that was found; ``borders`` of the image that it reaches."""

    volumes_ml: dict[str, float]
    median_hu: float
    borders: tuple[str, ...]
    flags: tuple[Flag, ...]
    verdict: Verdict


def quality_of(
    found: Sides, hu: npt.NDArray[np.int16], labels: Sequence[Label], signs: Signs | None = None
) -> Quality:
    """Of segmented lungs, not none; ``found`` and ``hu`` are (z, y, x) in LPS order."""
    borders = tuple(_borders(found))
    median_hu = _median_hu(found, hu)
    flags = (
        *_view_flags(borders, labels),
        *_size_flags(labels, cut=bool(borders)),
        *_value_flags(median_hu),
        *(() if signs is None else _sign_flags(signs)),
    )
    volumes_ml = {label.name: label.volume_ml for label in labels}
    return Quality(
        volumes_ml=volumes_ml,
        median_hu=median_hu,
        borders=borders,
        flags=flags,
        verdict=_verdict(flags, sum(volumes_ml.values())),
    )


def _verdict(flags: Sequence[Flag], total_ml: float) -> Verdict:
    if total_ml > POSSIBLE_ML:
        return Verdict.UNUSABLE
    return Verdict.LOOK if any(flag.code not in REMARKS for flag in flags) else Verdict.GOOD


def _sign_flags(signs: Signs) -> Iterator[Flag]:
    if signs.empty > MOST_EMPTY:
        text = (
            f"{signs.empty:.0%} of the lungs is as dark as air and shows no vessels: emphysema, or air in the "
            "pleura, which is no lung."
        )
        yield Flag(code="dark_unusual", text=text)
    if signs.dense > MOST_DENSE:
        text = f"{signs.dense:.0%} of the lungs is denser than usual; parts that are denser still may be missing."
        yield Flag(code="density_unusual", text=text)
    if signs.uneven > MOST_UNEVEN:
        text = (
            "Left and right lung differ much in the same slices: fluid, consolidation, removed lung, a turned "
            "patient, or a part that was not found."
        )
        yield Flag(code="uneven", text=text)
    if signs.gas > MOST_GAS:
        text = (
            f"The body holds other air, {signs.gas:.0%} of the lungs' volume, that was not taken for lung; "
            "please check whether it is."
        )
        yield Flag(code="air_unexplained", text=text)


def _borders(found: Sides) -> Iterator[str]:
    for axis, names in enumerate(_BORDERS):
        for end, name in zip((0, -1), names, strict=True):
            if found.take(end, axis).any():
                yield name


def _median_hu(found: Sides, hu: npt.NDArray[np.int16]) -> float:
    """Of at most a million voxels, evenly spread."""
    places = np.flatnonzero(found)
    return float(np.median(hu.ravel()[places[:: len(places) // _SAMPLES + 1]]))


def _view_flags(borders: Sequence[str], labels: Sequence[Label]) -> Iterator[Flag]:
    if borders:
        where = ", ".join(borders)
        text = f"The lungs reach the border of the image ({where}); the volumes are of the part in view."
        yield Flag(code="touches_border", text=text)
    missing = [label.name for label in labels if not label.volume_ml]
    if missing:
        yield Flag(code="side_missing", text=f"The {missing[0]} was not found.")
    if any(label.value == UNSIDED for label in labels):
        text = "One lung was found, and this view does not tell which; it is called 'lung'."
        yield Flag(code="side_unknown", text=text)


def _size_flags(labels: Sequence[Label], *, cut: bool) -> Iterator[Flag]:
    """``cut``: the view shows a part, which may be small."""
    volumes_ml = {label.value: label.volume_ml for label in labels}
    total_ml = sum(volumes_ml.values())
    if not (0 if cut else USUAL_ML[0]) <= total_ml <= USUAL_ML[1]:
        text = f"The lungs hold {total_ml:.0f} ml, which is unusual; please check the segmentation."
        yield Flag(code="volume_unusual", text=text)
    if volumes_ml.get(LEFT) and volumes_ml.get(RIGHT):
        ratio = volumes_ml[LEFT] / volumes_ml[RIGHT]
        if not USUAL_RATIO[0] <= ratio <= USUAL_RATIO[1]:
            text = (
                f"The left lung has {ratio:.2f} times the volume of the right one, which is unusual; "
                "please check both."
            )
            yield Flag(code="ratio_unusual", text=text)


def _value_flags(median_hu: float) -> Iterator[Flag]:
    if not USUAL_HU[0] <= median_hu <= USUAL_HU[1]:
        text = (
            f"The lungs have a median of {median_hu:.0f} HU, which is unusual; please check that the image "
            "is in Hounsfield units and without lung disease that the rules do not know."
        )
        yield Flag(code="values_unusual", text=text)


def quality_reports(quality: Quality, folder: Path) -> tuple[Report, ...]:
    """To read and for programs, on disk."""
    (folder / JSON_NAME).write_text(json.dumps(asdict(quality), indent=2) + "\n")
    (folder / TEXT_NAME).write_text(_text(quality))
    for path in (folder / JSON_NAME, folder / TEXT_NAME, folder):
        sync(path)
    return (
        Report(
            path=folder / TEXT_NAME,
            description="Quality of the segmentation",
            mime_type="text/plain; charset=utf-8",
        ),
        Report(
            path=folder / JSON_NAME, description="The same as JSON", mime_type="application/json"
        ),
    )


def _text(quality: Quality) -> str:
    lines = [f"Verdict: {quality.verdict}", "", "Lung segmentation by rules: quality", ""]
    lines += [f"{name}: {volume:.0f} ml" for name, volume in quality.volumes_ml.items()]
    lines += [f"Median: {quality.median_hu:.0f} HU", ""]
    lines += [f"Please check: {flag.text}" for flag in quality.flags] or ["No flag was raised."]
    lines += [
        "",
        "Flags are raised by simple limits; that there are none does not mean that all is well.",
    ]
    return "\n".join(lines) + "\n"
