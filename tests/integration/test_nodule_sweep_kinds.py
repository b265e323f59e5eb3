"""No result of the sweep's cuts and diseases is ``good`` where lung was not searched."""

import pytest

from dss_inference.device.runner import runner_for
from dss_inference.lungs.quality import Verdict
from support.lung_disease import DISEASES
from support.nodule_cases import Nodular, kinds, nodular
from support.nodule_judging import MOST_UNSEARCHED, lung_searched

SEED = 1
COARSE_MM = (6.0, 4.0, 4.0)
CUTS = ("halves", "thirds", "axial", "narrow")
Found = dict[str, tuple[Nodular, str, float]]


@pytest.fixture(scope="module")
def found() -> Found:
    """Chest, verdict and share of the lung that was not searched, by the case's name."""
    runner = runner_for("cpu", 2)
    base = nodular(SEED, runner, COARSE_MM)
    return {
        f"{kind}, {name}": (case, *lung_searched(case, runner)[:2])
        for kind, name, case in kinds(SEED, base)
        if kind in {*CUTS, *DISEASES}
    }


def test_nothing_is_good_where_lung_was_not_searched(found: Found) -> None:
    silent = {
        name: share
        for name, (_, verdict, share) in found.items()
        if verdict == Verdict.GOOD and share > MOST_UNSEARCHED
    }

    assert len(found) > 20
    assert not silent


def test_no_lung_that_the_view_cuts_is_good(found: Found) -> None:
    cut = {name: verdict for name, (case, verdict, _) in found.items() if _is_cut(case)}

    assert len(cut) > 12
    assert Verdict.GOOD not in cut.values()


def _is_cut(case: Nodular) -> bool:
    truth = case.sides > 0
    return any(bool(truth.take(end, axis).any()) for axis in range(3) for end in (0, -1))
