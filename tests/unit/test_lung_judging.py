"""Chests of the sweep are judged as the product judges them."""

import numpy as np
import pytest

from dss_inference.device.runner import Runner, runner_for
from support.lung_cases import HEALTHY, phantom, random_of
from support.lung_changes import clamped
from support.lung_disease import Chest
from support.lung_judging import REFUSED, judged, shows_both_and_spine


@pytest.fixture(scope="module")
def runner() -> Runner:
    return runner_for("cpu", 1)


@pytest.fixture(scope="module")
def made(runner: Runner) -> Chest:
    return phantom(8, runner, (5.0, 5.0, 5.0))


def test_an_image_whose_ticket_fails_is_refused(made: Chest, runner: Runner) -> None:
    shifted = Chest(hu=made.hu + np.int16(1024), truth=made.truth, spacing_mm=made.spacing_mm)

    result = judged(shifted, runner)

    assert (result.verdict, result.dice) == (REFUSED, 0.0)


def test_lungs_too_large_for_a_person_are_refused(made: Chest, runner: Runner) -> None:
    z, y, x = made.spacing_mm
    large = Chest(hu=made.hu, truth=made.truth, spacing_mm=(2 * z, 2 * y, x))

    result = judged(large, runner)

    assert result.verdict == REFUSED
    assert result.signs["gas"] >= 0


@pytest.mark.parametrize(
    ("kind", "name", "shown"),
    [
        ("noise", "120", True),
        ("offset", "-60", True),
        ("infant", "0.3", True),
        ("halves", "back", True),
        ("halves", "front", False),
        ("thirds", "right", False),
    ],
)
def test_views_with_both_lungs_and_the_spine_are_known(
    made: Chest, kind: str, name: str, shown: bool
) -> None:
    assert shows_both_and_spine(clamped(HEALTHY[kind][name](made, random_of(8, name)))) == shown
