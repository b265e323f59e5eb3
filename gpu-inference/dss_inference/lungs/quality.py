"""Assesses a lung segmentation: flags what may be wrong with it, by ``doubts``, and decides the verdict."""

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
from dss_inference.lungs.doubts import Flag, sign_flags
from dss_inference.lungs.image_doubts import image_flags
from dss_inference.lungs.sides import UNSIDED, Sides
from dss_inference.lungs.signs import Signs

USUAL_ML = (60, 9000)
"""Usual range of the volume of both lungs in ml, from that of a newborn on."""
USUAL_FILL = (0.1, 1.2)
"""Usual range of the lungs' volume divided by the cube of their width, at any age; about 0.2 to 0.4 in health."""
USUAL_LEFT = (0.34, 0.6)
"""Usual range of the left lung's fraction of the volume of both; about 0.43 to 0.49 in health."""
USUAL_HU = (-1040, -550)
"""Usual range of the median HU of aerated lung, from emphysema to full expiration."""
POSSIBLE_ML = 15_000
"""Largest possible volume of both lungs in ml; a segmentation with more is not usable."""
REMARKS = ("touches_border", "side_of_part_unknown")
"""Codes of flags that do not lower the verdict."""
_LEAST_BEYOND_GAP = 0.075
"""Value of ``beyond_gap`` in ``Signs`` from which on lung of unknown side is both lungs: at most 0.05 in views that show
one lung, 0.1 or more in others.
"""
_BORDERS = (("feet", "head"), ("front", "back"), ("right", "left"))
_SAMPLES = 1_000_000
TEXT_NAME, JSON_NAME = "quality.txt", "quality.json"


class Verdict(StrEnum):
    """The verdict on a segmentation: no reason for doubt, the user should check it, or not usable, which fails the
    ticket.
    """

    GOOD = "good"
    LOOK = "look at it"
    UNUSABLE = "not usable"


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The assessment of a segmentation.  ``volumes_ml`` is by the label's name; ``median_hu`` is that of all lung
    voxels; ``borders`` are the borders of the image that the lungs touch, such as "head" or "left".
    """

    volumes_ml: dict[str, float]
    median_hu: float
    borders: tuple[str, ...]
    flags: tuple[Flag, ...]
    verdict: Verdict


def quality_of(
    found: Sides, hu: npt.NDArray[np.int16], labels: Sequence[Label], signs: Signs
) -> Quality:
    """Assess segmented lungs.  ``found``, which must contain lung, and ``hu`` are (z, y, x) in LPS order, in the
    resolution of the image; ``signs`` were measured on the same segmentation.
    """
    borders = tuple(_borders(found))
    median_hu = _median_hu(found, hu)
    flags = (
        *_view_flags(borders, labels, signs),
        *_size_flags(labels, signs, cut=bool(borders)),
        *_value_flags(median_hu),
        *sign_flags(signs),
        *image_flags(signs.image, hu),
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


def _borders(found: Sides) -> Iterator[str]:
    for axis, names in enumerate(_BORDERS):
        for end, name in zip((0, -1), names, strict=True):
            if found.take(end, axis).any():
                yield name


def _median_hu(found: Sides, hu: npt.NDArray[np.int16]) -> float:
    """The median HU of the lungs, from at most a million evenly spread voxels."""
    places = np.flatnonzero(found)
    return float(np.median(hu.ravel()[places[:: len(places) // _SAMPLES + 1]]))


def _view_flags(borders: Sequence[str], labels: Sequence[Label], signs: Signs) -> Iterator[Flag]:
    if borders:
        where = ", ".join(borders)
        text = f"The lungs reach the border of the image ({where}); the volumes are of the part in view."
        yield Flag(code="touches_border", text=text)
    missing = [label.name for label in labels if not label.volume_ml]
    if missing:
        yield Flag(code="side_missing", text=f"The {missing[0]} was not found.")
    if any(label.value == UNSIDED for label in labels):
        one_lung = signs.beyond_gap < _LEAST_BEYOND_GAP
        yield _side_unknown(part=signs.cut_at_side and one_lung)


def _side_unknown(*, part: bool) -> Flag:
    if part:
        text = "The view is cut at its side and does not tell left from right; what was found is called 'lung'."
        return Flag(code="side_of_part_unknown", text=text)
    text = (
        "Left and right could not be told apart, so that what was found is called 'lung': one lung in a view that "
        "does not tell which, or both, not parted."
    )
    return Flag(code="side_unknown", text=text)


def _size_flags(labels: Sequence[Label], signs: Signs, *, cut: bool) -> Iterator[Flag]:
    """Flags for an unusual volume of both lungs, and for an unusual share of the left one.  ``cut``: the image shows
    only a part of the lungs, so a small volume is not flagged.
    """
    total_ml = sum(label.volume_ml for label in labels)
    small = not cut and (total_ml < USUAL_ML[0] or not USUAL_FILL[0] < signs.fill < USUAL_FILL[1])
    if small or total_ml > USUAL_ML[1]:
        text = (
            f"The lungs hold {total_ml:.0f} ml, which is unusual for their width; please check the segmentation and "
            "the spacing."
        )
        yield Flag(code="volume_unusual", text=text)
    if signs.left is not None and not USUAL_LEFT[0] <= signs.left <= USUAL_LEFT[1]:
        text = f"{signs.left:.0%} of the lungs' volume is the left one's, which is unusual; please check both."
        yield Flag(code="ratio_unusual", text=text)


def _value_flags(median_hu: float) -> Iterator[Flag]:
    if not USUAL_HU[0] <= median_hu <= USUAL_HU[1]:
        text = (
            f"The lungs have a median of {median_hu:.0f} HU, which is unusual; please check that the image "
            "is in Hounsfield units and without lung disease that the rules do not know."
        )
        yield Flag(code="values_unusual", text=text)


def quality_reports(quality: Quality, folder: Path) -> tuple[Report, ...]:
    """Write the assessment into ``folder`` as text and as JSON, fsynced.  Returns both files as reports of the ticket."""
    (folder / JSON_NAME).write_text(json.dumps(asdict(quality), indent=2) + "\n", encoding="utf-8")
    (folder / TEXT_NAME).write_text(_text(quality), encoding="utf-8")
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
