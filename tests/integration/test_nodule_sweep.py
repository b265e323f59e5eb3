"""A part of the sweep over what the rules for nodules must stand (``make bench-nodules`` runs all of it)."""

import pytest

from dss_inference.device.runner import Runner, runner_for
from dss_inference.nodules.candidates import LEAST_SCORE
from support.nodule_cases import in_slices, in_view, nodular, with_large
from support.nodule_judging import FALSE, rates, searched

SEEDS = (1, 3)
"""Odd: limits were chosen on even ones."""
MOST_FALSE = 4
HIGHEST_FALSE = 0.9
"""Vessels in thick slices scored 0.98 and more."""


@pytest.fixture(scope="module")
def runner() -> Runner:
    return runner_for("cpu", 2)


@pytest.mark.parametrize(("thick_mm", "least_found"), [(5.0, 0.5), (7.0, 0.3)])
def test_thick_slices_show_few_vessels(thick_mm: float, least_found: float, runner: Runner) -> None:
    scans = []
    for seed in SEEDS:
        case = nodular(seed, runner, (thick_mm, 1.5, 1.5))
        scans.append(searched(case, in_view(case, case), runner))

    found, wrong = rates(scans, LEAST_SCORE)

    assert wrong <= MOST_FALSE
    assert found >= least_found
    assert all(s < HIGHEST_FALSE for scan in scans for s, hit in scan.marks if hit == FALSE)


def test_slices_that_are_means_of_thin_ones_show_few_vessels(runner: Runner) -> None:
    case = in_slices(nodular(SEEDS[0], runner, (1.25, 1.5, 1.5)), 4)

    found, wrong = rates([searched(case, in_view(case, case), runner)], LEAST_SCORE)

    assert wrong <= MOST_FALSE
    assert found >= 0.5


@pytest.mark.parametrize("kind", ["ground glass"])
def test_a_large_nodule_at_the_chest_wall_is_found(kind: str, runner: Runner) -> None:
    cases = with_large(SEEDS[0], runner, (3.0, 2.0, 2.0), "wall")
    case = next(case for case in cases if case.nodules[1] == (kind, 30.0))

    scan = searched(case, in_view(case, case), runner)

    assert any(hit != FALSE for _, hit in scan.shown())
