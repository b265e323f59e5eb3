"""How far apart lungs lie, how deep they are, and where they are interrupted, in lungs that are drawn by hand on a grid of 4 mm."""

import numpy as np
import pytest
import scipy.ndimage as ndi

from dss_inference.lungs.between import apart, beyond_gap, depth, interruption
from dss_inference.lungs.doubts import LEAST_DEPTH, MOST_APART, MOST_INTERRUPTED
from dss_inference.lungs.sides import LEFT, RIGHT, Sides

SPACING_MM = (4.0, 4.0, 4.0)


def lungs(between: int = 16) -> Sides:
    """Two columns of oval section, ``between`` voxels from each other; both together are 60 voxels wide."""
    sides = np.zeros((60, 60, 80), np.uint8)
    for side, first, last in ((RIGHT, 10, 40 - between // 2), (LEFT, 40 + between // 2, 70)):
        y, x = np.indices((60, 80))
        middle, half = (first + last - 1) / 2, (last - first) / 2
        sides[10:50, ((x - middle) / half) ** 2 + ((y - 30) / 18) ** 2 < 1] = side
    return sides


def test_usual_lungs_lie_no_farther_apart_than_is_usual() -> None:
    assert 0.3 < apart(lungs(), SPACING_MM) < MOST_APART - 0.02


def test_lung_that_both_sides_lost_beside_the_heart_is_seen() -> None:
    assert apart(lungs(between=26), SPACING_MM) > MOST_APART


@pytest.mark.parametrize("turn_deg", [30, -45])
def test_a_turned_patient_has_lungs_as_far_apart(turn_deg: float) -> None:
    turned = ndi.rotate(lungs(), turn_deg, axes=(1, 2), order=0)

    assert apart(turned, SPACING_MM) == pytest.approx(apart(lungs(), SPACING_MM), abs=0.03)


def test_lungs_at_different_heights_are_not_apart() -> None:
    sides = lungs()
    sides[:30][sides[:30] == LEFT] = 0
    sides[30:][sides[30:] == RIGHT] = 0

    assert apart(sides, SPACING_MM) == 0.0


@pytest.mark.parametrize("lost", [np.s_[28:32], np.s_[20:21]])
def test_slices_without_lung_between_slices_with_lung_interrupt_it(lost: slice) -> None:
    found = lungs() > 0
    found[lost] = False

    assert interruption(found) > MOST_INTERRUPTED


def test_lungs_that_taper_and_give_way_to_the_heart_are_not_interrupted() -> None:
    found = lungs() > 0
    found[40:50, :, :20] = False
    found[20:25, :, 64:] = False

    assert interruption(found) < MOST_INTERRUPTED


def test_usual_lungs_are_as_deep_as_is_usual() -> None:
    assert depth(lungs() > 0, SPACING_MM) == pytest.approx(35 / 60, abs=0.02)
    assert depth(lungs() > 0, SPACING_MM) > LEAST_DEPTH


@pytest.mark.parametrize("lost", [np.s_[:, :22], np.s_[:, 38:]], ids=["front", "back"])
def test_lungs_that_both_lost_their_front_or_their_back_are_shallow(
    lost: tuple[slice, ...],
) -> None:
    found = lungs() > 0
    found[lost] = False

    assert depth(found, SPACING_MM) < LEAST_DEPTH


def test_depth_is_a_length() -> None:
    assert depth(lungs() > 0, (4.0, 2.0, 4.0)) == pytest.approx(
        depth(lungs() > 0, SPACING_MM) / 2, abs=0.01
    )


@pytest.mark.parametrize(("side", "share"), [(LEFT, 0.0), (RIGHT, 0.0), (None, 0.5)])
def test_only_both_lungs_have_a_gap_as_wide_as_the_heart(side: int | None, share: float) -> None:
    found = lungs() > 0 if side is None else lungs() == side

    assert beyond_gap(found, SPACING_MM, 40.0) == pytest.approx(share, abs=0.02)


def test_no_lung_lies_beyond_no_gap() -> None:
    assert beyond_gap(lungs() > 9, SPACING_MM, 40.0) == 0.0
