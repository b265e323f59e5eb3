"""What between lung and flesh counts as lung, in blocks that are drawn by hand, on a grid of 4 mm."""

import numpy as np
import numpy.typing as npt
import pytest

from dss_inference.lungs.haze import hazy, hazy_lung
from dss_inference.lungs.view import Flags, View, open_to_side

MIDDLE = 40.0
Box = tuple[slice, slice, slice]


def box(first: int, end: int, z: tuple[int, int] = (8, 32)) -> Box:
    """Columns from ``first`` to before ``end``."""
    return slice(*z), slice(8, 32), slice(first, end)


LEFT, RIGHT = box(44, 66), box(14, 36)
SIDE_BY_SIDE = (box(44, 55), box(55, 66))


def body(*parts: tuple[Box, int]) -> View:
    hu: npt.NDArray[np.int16] = np.full((40, 40, 80), 40, np.int16)
    for where, value in parts:
        hu[where] = value
    return View(hu=hu, spacing_mm=(4.0, 4.0, 4.0))


def haze_of(view: View) -> Flags:
    return hazy(view.smooth, open_to_side(view))


def flags(*parts: Box) -> Flags:
    there = np.zeros((40, 40, 80), bool)
    for where in parts:
        there[where] = True
    return there


def test_ground_glass_against_a_lung_is_lung() -> None:
    lung, haze = SIDE_BY_SIDE
    view = body((RIGHT, -850), (lung, -850), (haze, -350))

    added = hazy_lung(view, flags(RIGHT, lung), MIDDLE)

    assert added[haze].mean() > 0.8
    assert not added[RIGHT].any()


def test_borders_of_lung_are_no_haze() -> None:
    view = body((RIGHT, -850), (LEFT, -850))

    assert not haze_of(view).any()
    assert not hazy_lung(view, flags(RIGHT, LEFT), MIDDLE).any()


@pytest.mark.parametrize("hu", [-850, -100, 40])
def test_lung_fat_and_flesh_are_no_haze(hu: int) -> None:
    assert not haze_of(body((LEFT, hu))).any()


def test_a_lung_that_is_hazy_throughout_is_lung() -> None:
    view = body((RIGHT, -850), (LEFT, -350))

    assert hazy_lung(view, flags(RIGHT), MIDDLE)[LEFT].mean() > 0.8


def test_a_collapsed_lung_is_no_part_of_the_other_one() -> None:
    collapsed = box(41, 47, (14, 26))
    right = box(14, 41)
    view = body((right, -850), (collapsed, -350))

    assert not hazy_lung(view, flags(right), MIDDLE).any()


def test_haze_far_below_the_lungs_is_none() -> None:
    stool = box(44, 60, (34, 40))
    view = body((RIGHT, -850), (LEFT, -850), (stool, -350))

    assert haze_of(view)[stool].any()
    assert not hazy_lung(view, flags(RIGHT, LEFT), MIDDLE).any()
