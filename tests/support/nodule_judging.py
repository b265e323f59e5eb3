"""How many nodules of a chest are found, with how many false candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dss_inference.device.runner import Runner
from dss_inference.errors import InferenceError
from dss_inference.lungs.judging import judged_lungs
from dss_inference.lungs.quality import Verdict
from dss_inference.lungs.segment import lungs_in
from dss_inference.lungs.sides import Sides
from dss_inference.nodules.candidates import LEAST_SCORE, MOST, candidates_in
from dss_inference.nodules.lungspace import lung_space
from dss_inference.nodules.search import search_of
from support.chest_ct import ct_of
from support.nodule_cases import Nodular, Place

FALSE = -1
NEAREST_MM = 2.0
NONE, REFUSED = "none found", "refused"
MOST_UNSEARCHED = 0.1
_LEAST = 0.02


@dataclass(frozen=True, kw_only=True)
class Searched:
    """One chest: ``nodules`` in view, and ``marks``, the best first: score, and the nodule's number or FALSE.

    ``verdict`` is that of the result, NONE where no lung was found, REFUSED where the image was; ``unsearched`` is the
    share of the true lung in view that was not searched.
    """

    nodules: tuple[Place, ...]
    marks: tuple[tuple[float, int], ...]
    verdict: str = REFUSED
    unsearched: float = 1.0

    @property
    def is_silent(self) -> bool:
        """True if lung was not searched, and the result says ``good``."""
        return self.verdict == Verdict.GOOD and self.unsearched > MOST_UNSEARCHED

    def shown(self, least: float = LEAST_SCORE) -> tuple[tuple[float, int], ...]:
        """What a user is shown."""
        return tuple(mark for mark in self.marks if mark[0] >= least)[:MOST]


def searched(case: Nodular, places: Sequence[Place], runner: Runner) -> Searched:
    """Down to scores that nobody is shown."""
    chest = case.chest
    verdict, unsearched, sides = lung_searched(case, runner)
    if verdict in {NONE, REFUSED}:
        return Searched(nodules=tuple(places), marks=(), verdict=verdict)
    space = lung_space(chest.hu, sides, chest.spacing_mm, runner)
    marks = []
    for candidate in candidates_in(space, lambda *_: None, most=100, least=_LEAST):
        at_mm = space.in_image(candidate.shape.centre) * chest.spacing_mm
        hits = [p.number for p in places if _lies_in(at_mm, p)]
        marks.append((candidate.score, hits[0] if hits else FALSE))
    return Searched(
        nodules=tuple(places), marks=tuple(marks), verdict=verdict, unsearched=unsearched
    )


def lung_searched(case: Nodular, runner: Runner) -> tuple[str, float, Sides]:
    """The verdict, the share of the true lung that is not searched, and the lungs."""
    chest, ct = case.chest, ct_of(case.chest)
    try:
        lungs = lungs_in(chest.hu, chest.spacing_mm, runner, lambda *_: None)
        quality = judged_lungs(lungs, ct)
    except InferenceError:
        return REFUSED, 1.0, np.zeros(chest.hu.shape, np.uint8)
    if quality is None:
        return NONE, 1.0, lungs.sides
    truth = case.sides > 0
    missed = float((truth & (lungs.sides == 0)).sum()) / max(1.0, float(truth.sum()))
    return search_of(lungs, quality, ct).conclusion, missed, lungs.sides


def _lies_in(at_mm: "np.typing.NDArray[np.float64]", place: Place) -> bool:
    away_mm = float(np.linalg.norm(at_mm - place.centre_mm))
    return away_mm <= max(NEAREST_MM, place.diameter_mm / 2)


def rates(scans: Sequence[Searched], least: float) -> tuple[float, float]:
    """Share of the nodules found, and false candidates a scan, of what is shown at scores of at least ``least``."""
    shown = [scan.shown(least) for scan in scans]
    found = sum(len({hit for _, hit in marks if hit != FALSE}) for marks in shown)
    wrong = sum(hit == FALSE for marks in shown for _, hit in marks)
    total = sum(len(scan.nodules) for scan in scans)
    return found / max(1, total), wrong / max(1, len(scans))


def threshold(scans: Sequence[Searched], most_false: float) -> float:
    """The least score that leaves at most so many false candidates a scan."""
    scores = sorted({score for scan in scans for score, _ in scan.marks}, reverse=True)
    best = 1.0
    for score in scores:
        if rates(scans, score)[1] > most_false:
            break
        best = score
    return best
