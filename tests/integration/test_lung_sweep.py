"""A part of the sweep over what the lung rules must stand (``make bench-lungs`` runs all of it)."""

from pathlib import Path

import numpy as np
import pytest

from dss_inference.device.runner import Runner, runner_for
from dss_inference.lungs.segment import lungs_in
from support.lung_cases import HEALTHY, combined, dice, phantom, random_of, real
from support.lung_changes import clamped, cut
from support.lung_disease import DISEASES, LEFT, RIGHT, Chest, deepest
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


@pytest.mark.parametrize(
    ("way", "kind", "name"),
    [
        ((-0.9, 0.4, 0.0), "halves", "right"),
        ((-0.9, 0.4, 0.0), "thirds", "right"),
        ((1.0, 0.0, 0.0), "halves", "right"),
        ((-1.0, 0.0, 0.0), "halves", "right"),
        ((0.0, 0.0, -1.0), "halves", "right"),
        ((0.0, 1.0, 0.0), "noise", "80"),
        ((-1.0, 0.0, 0.0), "turned", "x 30"),
        ((0.8, -0.6, 0.0), "turned", "x 30"),
        ((0.0, 0.0, 1.0), "axial", "middle"),
    ],
)
def test_consolidation_that_nothing_can_be_compared_with_is_never_good(
    made: Chest, runner: Runner, way: tuple[float, float, float], kind: str, name: str
) -> None:
    random = random_of(8, name)
    sick = made.painted(deepest(made, RIGHT, 0.35, way), 35, random)
    sick = sick.painted(deepest(sick, LEFT, 0.35, (*way[:2], -way[2])), 35, random)

    result = judged(clamped(HEALTHY[kind][name](sick, random)), runner)

    assert result.dice < 0.9
    assert result.verdict == "look at it"


@pytest.mark.shared_data
@pytest.mark.parametrize("way", [(0.0, -1.0, 0.0), (0.75, -0.65, 0.0)], ids=["front", "upper lobe"])
def test_losses_of_both_lungs_in_noise_are_never_good(
    chest: Chest, runner: Runner, way: tuple[float, float, float]
) -> None:
    random = random_of(8, "noise")
    sick = chest.painted(deepest(chest, RIGHT, 0.37, way), 35, random)
    sick = sick.painted(deepest(sick, LEFT, 0.37, way), 35, random)

    result = judged(clamped(HEALTHY["noise"]["80"](sick, random)), runner)

    assert result.dice < 0.9
    assert result.verdict == "look at it"


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["40", "80", "120"])
def test_a_healthy_chest_in_noise_is_good(chest: Chest, runner: Runner, name: str) -> None:
    shown = clamped(HEALTHY["noise"][name](chest, random_of(8, name)))

    assert judged(shown, runner).verdict == "good"


def test_a_round_view_that_cuts_much_of_the_lungs_is_never_good(
    made: Chest, runner: Runner
) -> None:
    small, large = (
        judged(clamped(HEALTHY["narrow"][name](made, random_of(8, name))), runner)
        for name in ("small circle", "circle")
    )

    assert (small.verdict, large.verdict) == ("look at it", "good")
    assert "view_narrow" in small.flags


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("share", "front", "right"),
    [(0.69, 0.5, 0.0), (0.69, 0.0, 1.0), (0.625, 0.5, 1.0), (0.44, 1.0, 0.0), (0.375, 0.5, 1.0)],
)
def test_a_view_that_cuts_one_lung_more_than_the_other_is_good(
    chest: Chest, runner: Runner, share: float, front: float, right: float
) -> None:
    """``front`` and ``right``: where the view begins, from 0 (front, right) to 1 (ends at the back, the left)."""
    first = [0.0, *((1 - share) * begin for begin in (front, right))]
    end = [1.0, *(begin + share for begin in first[1:])]
    shown = clamped(cut((0.0, first[1], first[2]), (1.0, end[1], end[2]))(chest, random_of(8, "")))

    result = judged(shown, runner)

    assert result.dice >= 0.95
    assert result.verdict == "good"
    assert result.wrong_side < 0.02


@pytest.mark.parametrize("seed", [1, 11])
def test_ground_glass_counts_as_lung_and_is_told(runner: Runner, seed: int) -> None:
    chest = phantom(seed, runner, (4.0, 4.0, 4.0))

    result = judged(
        clamped(DISEASES["ground glass"](chest, random_of(seed, "ground glass"))), runner
    )

    assert result.dice >= 0.93
    assert "haze" in result.flags


def test_a_dark_lung_whose_pair_is_just_large_enough_is_found(made: Chest, runner: Runner) -> None:
    """The view is so wide that one lung alone has 5 % of it."""
    dark = clamped(HEALTHY["dark lungs"]["at -985"](made, random_of(8, "at -985")))
    sizes = [float((dark.truth == side).sum()) for side in (1, 2)]
    assert min(sizes) < max(sizes)
    wanted = (min(sizes) + max(sizes)) / 2 / 0.05
    wide = max(0, round((wanted / dark.hu[:, :, 0].size - dark.hu.shape[2]) / 2))
    shown = Chest(
        hu=np.pad(dark.hu, [(0, 0), (0, 0), (wide, wide)], mode="edge"),
        truth=np.pad(dark.truth, [(0, 0), (0, 0), (wide, wide)]),
        spacing_mm=dark.spacing_mm,
    )

    assert judged(shown, runner).dice >= 0.95


@pytest.mark.shared_data
@pytest.mark.parametrize("first_x", [10, 12, 14])
def test_both_lungs_that_a_view_joins_at_the_back_are_found_with_their_sides(
    chest: Chest, runner: Runner, first_x: int
) -> None:
    """Squares of 40 of 64 voxels at the front of a real chest."""
    square = cut((0, 0, first_x / 64), (1, 40 / 64, (first_x + 40) / 64))(
        chest, random_of(8, "cut")
    )

    result = judged(clamped(square), runner)

    assert result.dice >= 0.95
    assert result.wrong_side < 0.02
    assert not result.unknown_side


def test_lung_that_is_open_to_the_air_at_a_cut_is_found(runner: Runner) -> None:
    """A third of a chest, cut off at the side and turned in a view that is padded."""
    case = combined(15003, phantom(15, runner, (3.0, 3.0, 3.0)))

    assert judged(case.chest, runner).dice >= 0.95


def dice_on(base: Chest, kind: str, name: str, runner: Runner) -> float:
    shown = clamped(HEALTHY[kind][name](base, random_of(8, name)))
    found = lungs_in(shown.hu, shown.spacing_mm, runner, lambda *_: None).sides
    return dice(found > 0, shown.truth > 0)
