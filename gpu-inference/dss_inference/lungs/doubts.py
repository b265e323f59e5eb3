"""Compares the measured signs of a lung segmentation with limits, and flags what may be wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dss_inference.lungs.signs import Signs

MOST_EMPTY, MOST_POCKET, MOST_DENSE, MOST_GAS, MOST_LEAKED = 0.03, 0.045, 0.15, 0.15, 0.03
"""Largest accepted values of the signs ``empty``, ``pocket``, ``dense``, ``gas`` and ``leaked`` in ``Signs``."""
MOST_HAZE, MOST_OPEN, MOST_BESIDE, MOST_BLUNT, MOST_SLANTED = 0.02, 0.5, 0.085, 0.7, 0.75
"""Largest accepted values of the signs ``haze``, ``open``, ``beside``, ``blunt`` and ``slanted`` in ``Signs``.
``tests/bench/bench_lung_sweep.py`` shows which verdicts these limits give on healthy and diseased lungs.
"""
MOST_DETACHED = 0.05
"""Largest accepted value of ``detached`` in ``Signs``: up to 0.001 in health, over whole, cut, narrow and turned views."""
MOST_APART, MOST_INTERRUPTED = 0.385, 0.2
"""Largest accepted values of ``apart`` and ``interrupted`` in ``Signs``: up to 0.35 and 0.18 in health, over whole, cut,
narrow and turned views.
"""
MOST_UNEVEN_BASES, MOST_BEFORE_BASES = 0.1, 0.032
"""Largest accepted values of ``uneven`` and ``before`` in ``Signs`` where the image shows only the bases of the lungs:
the left base is deeper, so that healthy bases differ more.
"""
LEAST_DEPTH = 0.48
"""Smallest accepted value of ``depth`` in ``Signs``: 0.54 or more in health, parts of lungs and turned patients included."""
MOST_CUT_BY_PADDING = 0.26
"""Largest accepted value of ``cut_by_padding`` in ``Signs``.  A round view that cuts more shows hardly any ribs, and of
losses in such views about half changed no other sign.
"""
MOST_TOGETHER, _TOGETHER = 2.45, 3
"""Largest accepted sum of the signs of shape that come closest to their limits, each divided by its limit, and how many
are summed.
"""


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


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A reason to check a segmentation, or a remark that needs no check (its code is in REMARKS).  ``code`` is for
    programs and never changes; ``text`` is a sentence for the user.
    """

    code: str
    text: str


def sign_flags(signs: Signs) -> Iterator[Flag]:
    """The flags of all ``signs`` that exceed their limits."""
    yield from _density_flags(signs)
    of_shape = tuple(_shape_flags(signs))
    yield from of_shape
    if not of_shape and _is_near_limits(signs):
        text = (
            "Several signs at once are close to their limits: left and right, what lies between the lungs or at the "
            "ribs, or the lungs' ends. A part may be missing."
        )
        yield Flag(code="several_near", text=text)
    if signs.cut_by_padding > MOST_CUT_BY_PADDING:
        text = (
            f"The round view cuts the lungs along {signs.cut_by_padding:.0%} of their surface and shows few ribs: lung "
            "that is missing could not be noticed."
        )
        yield Flag(code="view_narrow", text=text)


def _density_flags(signs: Signs) -> Iterator[Flag]:
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
    if signs.detached > MOST_DETACHED:
        text = (
            f"{signs.detached:.0%} of what was found is not connected to the rest of its lung: it may be air outside the "
            "body or gas in the bowel, or a part between may be missing."
        )
        yield Flag(code="detached", text=text)
    if signs.gas > MOST_GAS:
        text = (
            f"The body holds other air, {signs.gas:.0%} of the lungs' volume, that was not taken for lung; "
            "please check whether it is."
        )
        yield Flag(code="air_unexplained", text=text)


def _shape_flags(signs: Signs) -> Iterator[Flag]:
    share = _shares_of_limits(signs)
    yield from _pair_flags(signs, share)
    yield from _outline_flags(signs, share)
    yield from _loss_flags(signs, share)


def _pair_flags(signs: Signs, share: Mapping[str, float]) -> Iterator[Flag]:
    """Flags of left and right compared; ``share`` is that of ``_shares_of_limits``, so also below."""
    if _is_uneven(signs):
        text = (
            "Left and right lung differ much at the same height: fluid, consolidation, removed lung, or a part that "
            "was not found."
        )
        yield Flag(code="uneven", text=text)
    if share["apart"] > 1:
        text = (
            f"What lies between the lungs takes {signs.apart:.0%} of their width, more than usual: lung beside the heart "
            "or the spine may be missing, or the heart is enlarged."
        )
        yield Flag(code="lungs_apart", text=text)


def _outline_flags(signs: Signs, share: Mapping[str, float]) -> Iterator[Flag]:
    """Flags of the outline of both lungs, seen from the front and from the side."""
    if share["interrupted"] > 1:
        text = "Some slices show much less lung than those above and below them: a part may be missing."
        yield Flag(code="interrupted", text=text)
    if signs.depth is not None and signs.depth < LEAST_DEPTH:
        text = (
            f"The lungs' depth is {signs.depth:.0%} of their width, less than usual: lung at the front or the back may "
            "be missing."
        )
        yield Flag(code="shallow", text=text)


def _loss_flags(signs: Signs, share: Mapping[str, float]) -> Iterator[Flag]:
    """Flags of places where lung is usual and was not found: at the ribs and at a lung's ends."""
    if max(share["behind"], share["before"], share["beside"]) > 1:
        outside = signs.behind + signs.before + signs.beside
        text = (
            f"Between the lungs and the ribs lies tissue, {outside:.0%} of the lungs' volume: fluid, or consolidated or "
            "collapsed lung that was not found."
        )
        yield Flag(code="tissue_at_wall", text=text)
    if max(share["blunt"], share["slanted"]) > 1:
        text = "A lung ends in a flat face: a part may be missing, by fluid, consolidation, collapse or removal."
        yield Flag(code="blunt_end", text=text)


def _shares_of_limits(signs: Signs) -> dict[str, float]:
    """By name, signs of shape divided by their largest accepted values in such a view."""
    most = _most(signs)
    at_heart = signs.heart_in_view or signs.bases_alone
    return {
        "uneven": (signs.uneven or 0.0) / _most_uneven(signs),
        "apart": signs.apart / (_MOST_APART_AT_HEART if at_heart else MOST_APART),
        "interrupted": signs.interrupted / MOST_INTERRUPTED,
        "behind": signs.behind / most.behind,
        "before": signs.before / (MOST_BEFORE_BASES if signs.bases_alone else most.before),
        "beside": signs.beside / MOST_BESIDE,
        "blunt": signs.blunt / MOST_BLUNT,
        "slanted": signs.slanted / MOST_SLANTED,
    }


def _is_near_limits(signs: Signs) -> bool:
    return sum(sorted(_shares_of_limits(signs).values())[-_TOGETHER:]) > MOST_TOGETHER


def _dark(signs: Signs) -> str:
    """The beginning of a sentence that names the unusually dark places; "" if there are none."""
    if signs.empty > MOST_EMPTY:
        return f"{signs.empty:.0%} of the lungs, or more, is as dark as air and shows no vessels"
    if signs.pocket > MOST_POCKET:
        return f"A place of {signs.pocket:.0%} of the lungs, or more, is nearly as dark as air"
    return ""


def _most(signs: Signs) -> _Most:
    return _COMPARED if signs.uneven is not None and not signs.cut_at_side else _CUT


def _most_uneven(signs: Signs) -> float:
    if signs.heart_in_view:
        return _MOST_UNEVEN_AT_HEART
    return MOST_UNEVEN_BASES if signs.bases_alone else _most(signs).uneven


def _is_uneven(signs: Signs) -> bool:
    if signs.uneven is None:
        return False
    least = _most_uneven(signs)
    together = max(least, _most(signs).uneven_and_behind)
    return signs.uneven > least or signs.uneven + signs.behind > together
