"""Assesses a lung segmentation: compares its measured signs with limits, flags what may be wrong, and decides the
verdict.
"""

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
MOST_EMPTY, MOST_POCKET, MOST_DENSE, MOST_GAS, MOST_LEAKED = 0.03, 0.045, 0.15, 0.15, 0.03
"""Largest accepted values of the signs ``empty``, ``pocket``, ``dense``, ``gas`` and ``leaked`` in ``Signs``."""
MOST_HAZE, MOST_OPEN, MOST_BESIDE, MOST_BLUNT, MOST_SLANTED = 0.02, 0.5, 0.085, 0.7, 0.75
"""Largest accepted values of the signs ``haze``, ``open``, ``beside``, ``blunt`` and ``slanted`` in ``Signs``.
``tests/bench/bench_lung_sweep.py`` shows which verdicts these limits give on healthy and diseased lungs.
"""
MOST_APART, MOST_INTERRUPTED = 0.385, 0.25
"""Largest accepted values of ``apart`` and ``interrupted`` in ``Signs``: up to 0.35 and 0.18 in health, over whole, cut,
narrow and turned views.
"""
MOST_UNEVEN_BASES, MOST_BEFORE_BASES = 0.1, 0.032
"""Largest accepted values of ``uneven`` and ``before`` in ``Signs`` where the image shows only the bases of the lungs:
the left base is deeper, so that healthy bases differ more.
"""
REMARKS = ("touches_border", "side_of_part_unknown")
"""Codes of flags that do not lower the verdict."""
_BORDERS = (("feet", "head"), ("front", "back"), ("right", "left"))
_SAMPLES = 1_000_000
TEXT_NAME, JSON_NAME = "quality.txt", "quality.json"


@dataclass(frozen=True, kw_only=True)
class _Most:
    """The largest accepted values of the signs ``behind``, ``before`` and ``uneven`` in ``Signs``, and of the sum of
    ``uneven`` and ``behind``.  ``_COMPARED`` is for lungs whose sides can be compared, ``_CUT`` for others.
    """

    behind: float
    before: float
    uneven: float
    uneven_and_behind: float


_COMPARED = _Most(behind=0.045, before=0.0145, uneven=0.065, uneven_and_behind=0.086)
_CUT = _Most(behind=0.03, before=0.02, uneven=0.06, uneven_and_behind=0.075)
"""The limits for images whose edge cuts a lung at its side, or that show only one lung."""
_MOST_UNEVEN_AT_HEART, _MOST_APART_AT_HEART = 0.125, 0.5
"""Largest accepted ``uneven`` and ``apart`` where the lungs in view lie around the heart; they are up to 0.12 and 0.48
in health.
"""


class Verdict(StrEnum):
    """The verdict on a segmentation: no reason for doubt, the user should check it, or not usable, which fails the
    ticket.
    """

    GOOD = "good"
    LOOK = "look at it"
    UNUSABLE = "not usable"


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A reason to check a segmentation, or a remark that needs no check (its code is in REMARKS).  ``code`` is for
    programs and never changes; ``text`` is a sentence for the user.
    """

    code: str
    text: str


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
        *_view_flags(borders, labels, cut_at_side=signs.cut_at_side),
        *_size_flags(labels, signs, cut=bool(borders)),
        *_value_flags(median_hu),
        *_sign_flags(signs),
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
    if dark := _dark(signs):
        text = f"{dark}: emphysema, or air in the pleura, which is no lung."
        yield Flag(code="dark_unusual", text=text)
    if signs.dense > MOST_DENSE:
        text = f"{signs.dense:.0%} of the lungs is denser than usual; parts that are denser still may be missing."
        yield Flag(code="density_unusual", text=text)
    if signs.haze > MOST_HAZE:
        text = (
            f"The chest holds haze, {signs.haze:.0%} of the lungs' volume, denser than lung and lighter than flesh: ground "
            "glass, for example. What lies against the lungs was counted as lung."
        )
        yield Flag(code="haze", text=text)
    if signs.leaked > MOST_LEAKED or signs.open > MOST_OPEN:
        text = (
            f"{signs.open:.0%} of what was found lies open to the image's side, {signs.leaked:.0%} as dark as air: some of "
            "it may lie outside the body."
        )
        yield Flag(code="open_to_side", text=text)
    most = _COMPARED if signs.uneven is not None and not signs.cut_at_side else _CUT
    if signs.uneven is not None and _is_uneven(signs, most):
        text = (
            "Left and right lung differ much at the same height: fluid, consolidation, removed lung, or a part that "
            "was not found."
        )
        yield Flag(code="uneven", text=text)
    most_apart = MOST_APART
    if signs.heart_in_view or signs.bases_alone:
        most_apart = _MOST_APART_AT_HEART
    if signs.apart > most_apart:
        text = (
            f"What lies between the lungs takes {signs.apart:.0%} of their width, more than usual: lung beside the heart "
            "or the spine may be missing, or the heart is enlarged."
        )
        yield Flag(code="lungs_apart", text=text)
    if signs.interrupted > MOST_INTERRUPTED:
        text = "Some slices show much less lung than those above and below them: a part may be missing."
        yield Flag(code="interrupted", text=text)
    before = MOST_BEFORE_BASES if signs.bases_alone else most.before
    if signs.behind > most.behind or signs.before > before or signs.beside > MOST_BESIDE:
        outside = signs.behind + signs.before + signs.beside
        text = (
            f"Between the lungs and the ribs lies tissue, {outside:.0%} of the lungs' volume: fluid, or consolidated or "
            "collapsed lung that was not found."
        )
        yield Flag(code="tissue_at_wall", text=text)
    if signs.blunt > MOST_BLUNT or signs.slanted > MOST_SLANTED:
        text = "A lung ends in a flat face: a part may be missing, by fluid, consolidation, collapse or removal."
        yield Flag(code="blunt_end", text=text)
    if signs.gas > MOST_GAS:
        text = (
            f"The body holds other air, {signs.gas:.0%} of the lungs' volume, that was not taken for lung; "
            "please check whether it is."
        )
        yield Flag(code="air_unexplained", text=text)


def _dark(signs: Signs) -> str:
    """The beginning of a sentence that names the unusually dark places; "" if there are none."""
    if signs.empty > MOST_EMPTY:
        return f"{signs.empty:.0%} of the lungs, or more, is as dark as air and shows no vessels"
    if signs.pocket > MOST_POCKET:
        return f"A place of {signs.pocket:.0%} of the lungs, or more, is nearly as dark as air"
    return ""


def _is_uneven(signs: Signs, most: _Most) -> bool:
    uneven = signs.uneven or 0.0
    least = MOST_UNEVEN_BASES if signs.bases_alone else most.uneven
    if signs.heart_in_view:
        least = _MOST_UNEVEN_AT_HEART
    return uneven > least or uneven + signs.behind > max(least, most.uneven_and_behind)


def _borders(found: Sides) -> Iterator[str]:
    for axis, names in enumerate(_BORDERS):
        for end, name in zip((0, -1), names, strict=True):
            if found.take(end, axis).any():
                yield name


def _median_hu(found: Sides, hu: npt.NDArray[np.int16]) -> float:
    """The median HU of the lungs, from at most a million evenly spread voxels."""
    places = np.flatnonzero(found)
    return float(np.median(hu.ravel()[places[:: len(places) // _SAMPLES + 1]]))


def _view_flags(
    borders: Sequence[str], labels: Sequence[Label], *, cut_at_side: bool
) -> Iterator[Flag]:
    if borders:
        where = ", ".join(borders)
        text = f"The lungs reach the border of the image ({where}); the volumes are of the part in view."
        yield Flag(code="touches_border", text=text)
    missing = [label.name for label in labels if not label.volume_ml]
    if missing:
        yield Flag(code="side_missing", text=f"The {missing[0]} was not found.")
    if any(label.value == UNSIDED for label in labels):
        yield _side_unknown(part=cut_at_side)


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
