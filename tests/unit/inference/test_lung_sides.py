"""Which lung is the left one, in lungs that are drawn by hand on a grid of 4 mm."""

import numpy as np
import numpy.typing as npt
import pytest

from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED, Body, Sides, sided
from dss_inference.lungs.view import Flags, View

SPACING_MM = (4.0, 4.0, 4.0)
CUT = Body(middle_x=12.0, shows_both_sides=False)


def sides_of(lungs: Flags) -> Sides:
    view = View(hu=np.where(lungs, -850, 40).astype(np.int16), spacing_mm=SPACING_MM)
    return sided(view, lungs, CUT)


def drawn(width: int, *blocks: tuple[slice, slice]) -> Flags:
    """``blocks`` are (y, x), each 40 slices high."""
    flags: npt.NDArray[np.bool_] = np.zeros((50, 40, width), bool)
    for block in blocks:
        flags[(slice(5, 45), *block)] = True
    return flags


def test_two_lungs_side_by_side_are_left_and_right_where_the_view_is_cut() -> None:
    lungs = drawn(50, np.s_[5:30, 0:18], np.s_[5:30, 30:50])

    found = sides_of(lungs)

    assert (found[:, :, :18][lungs[:, :, :18]] == RIGHT).all()
    assert (found[:, :, 30:][lungs[:, :, 30:]] == LEFT).all()


def test_two_lobes_of_one_lung_have_no_side_where_the_view_is_cut() -> None:
    """Each lobe is thick at one end, and lies under the thin end of the other one."""
    lungs = drawn(24, np.s_[2:14, 0:8], np.s_[8:14, 8:24], np.s_[16:28, 14:24], np.s_[16:22, 0:14])
    lungs |= drawn(24, np.s_[14:16, 10:13])

    assert set(np.unique(sides_of(lungs))) == {0, UNSIDED}


@pytest.mark.parametrize(("half_length", "half_apart"), [(18, 12), (26, 10)])
def test_two_lungs_of_a_patient_who_is_turned_by_45_degrees_have_sides(
    half_length: int, half_apart: int
) -> None:
    """The border between them divides the view into a part above and one below, and the width of long lungs includes
    much of their length.
    """
    z, y, x = np.indices((100, 40, 70)) - np.array([50, 20, 35])[:, None, None, None]
    along, across = (z + x) / np.sqrt(2), (x - z) / np.sqrt(2)
    right, left = (
        (along / half_length) ** 2 + (y / 14) ** 2 + ((across - middle) / 9) ** 2 < 1
        for middle in (-half_apart, half_apart)
    )

    found = sides_of(right | left)

    assert (found[right] == RIGHT).all()
    assert (found[left] == LEFT).all()


def test_two_thick_places_of_one_lung_have_no_side_where_the_view_is_cut() -> None:
    """Erosion ends in a few voxels of each, which are no seeds of two lungs."""
    lungs = drawn(24, np.s_[10:15, 2:22])
    lungs[20:27, 9:16, 3:10] = True
    lungs[20:27, 9:16, 14:21] = True

    assert set(np.unique(sides_of(lungs))) == {0, UNSIDED}


def test_lungs_of_which_one_was_joined_to_the_upper_part_of_the_other_have_no_side() -> None:
    """The upper parts touch in front, and the left lung is thin in the middle of its height."""
    lungs = drawn(50, np.s_[5:30, 0:18], np.s_[5:30, 32:50])
    lungs[25:45, 5:17, 18:32] = True
    lungs[22:25, :, 25:] = False
    lungs[22:25, 12:16, 40:44] = True

    assert set(np.unique(sides_of(lungs))) == {0, UNSIDED}
