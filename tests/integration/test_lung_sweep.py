"""A part of the sweep over what the lung rules must stand (``make bench-lungs`` runs all of it)."""

from pathlib import Path

import pytest

from dss_inference.device.runner import Runner, runner_for
from dss_inference.lungs.segment import segment_lungs
from support.lung_cases import HEALTHY, clamped, dice, phantom, random_of, real
from support.lung_disease import DISEASES, Chest
from support.lung_judging import judged

REAL = [
    ("offset", "-60"),
    ("offset", "+60"),
    ("scale", "0.9"),
    ("dark lungs", "at -985"),
    ("noise", "120"),
    ("halves", "left"),
    ("halves", "back"),
    ("thirds", "middle"),
    ("narrow", "47 of 64"),
    ("narrow", "32 of 64"),
    ("narrow", "cardiac"),
    ("narrow", "into lungs"),
    ("narrow", "circle"),
    ("turned", "y 45"),
    ("turned thrice", "20"),
    ("padding", "-3024"),
    ("infant", "0.4"),
    ("infant", "0.3"),
]


@pytest.fixture(scope="module")
def runner() -> Runner:
    return runner_for("cpu", 2)


@pytest.fixture(scope="module")
def chest(shared_data: Path) -> Chest:
    return next(real(shared_data))[1]


@pytest.fixture(scope="module")
def made(runner: Runner) -> Chest:
    return phantom(8, runner, (4.0, 4.0, 4.0))


@pytest.mark.shared_data
@pytest.mark.parametrize(("kind", "name"), REAL)
def test_lungs_of_a_real_chest_are_found_however_it_is_shown(
    chest: Chest, runner: Runner, kind: str, name: str
) -> None:
    assert dice_on(chest, kind, name, runner) >= 0.95


@pytest.mark.parametrize(("kind", "name"), REAL)
def test_lungs_of_a_phantom_are_found_however_it_is_shown(
    made: Chest, runner: Runner, kind: str, name: str
) -> None:
    assert dice_on(made, kind, name, runner) >= 0.95


@pytest.mark.parametrize("name", list(DISEASES))
def test_a_disease_leaves_nine_tenths_of_the_lungs_or_asks_for_a_look(
    made: Chest, runner: Runner, name: str
) -> None:
    sick = clamped(DISEASES[name](made, random_of(8, name)))

    result = judged(sick, runner)

    assert result.dice >= 0.9 or result.verdict != "good"
    assert result.wrong_side < 0.02


@pytest.mark.parametrize("name", ["tension", "consolidation", "lobectomy"])
def test_a_disease_of_much_of_one_lung_is_never_good(
    made: Chest, runner: Runner, name: str
) -> None:
    sick = clamped(DISEASES[name](made, random_of(8, name)))

    assert judged(sick, runner).verdict == "look at it"


def dice_on(base: Chest, kind: str, name: str, runner: Runner) -> float:
    shown = clamped(HEALTHY[kind][name](base, random_of(8, name)))
    found = segment_lungs(shown.hu, shown.spacing_mm, runner, lambda *_: None)
    return dice(found > 0, shown.truth > 0)
