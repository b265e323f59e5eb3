"""How flat lungs end that are drawn by hand on a grid of 4 mm."""

import numpy as np
import pytest

from dss_inference.lungs.ends import bluntness, slanted_bluntness
from dss_inference.lungs.view import Flags

SPACING_MM = (4.0, 4.0, 4.0)
SHAPE = (60, 50, 40)
NOTHING = np.zeros(SHAPE, bool)


def lung() -> Flags:
    """A block, 200 mm high."""
    flags = np.zeros(SHAPE, bool)
    flags[5:55, 10:41, 9:32] = True
    return flags


def tapered(lost_deg: float | None = None) -> Flags:
    """An ellipsoid; below a plane that leans to the back by ``lost_deg``, nothing is left of it."""
    z, y, x = np.indices(SHAPE)
    there = ((z - 30) / 25) ** 2 + ((y - 25) / 16) ** 2 + ((x - 20) / 12) ** 2 < 1
    if lost_deg is not None:
        there &= z - 22 > np.tan(np.radians(lost_deg)) * (y - 25)
    return np.asarray(there, bool)


def test_a_lung_with_flat_ends_is_blunt_and_one_that_tapers_is_not() -> None:
    shown = np.ones(SHAPE[0], bool)

    assert bluntness(lung(), shown, SPACING_MM) == 1.0
    assert bluntness(tapered(), shown, SPACING_MM) < 0.4


def test_where_blank_slices_begin_a_lung_has_no_end() -> None:
    shown = np.zeros(SHAPE[0], bool)
    shown[5:55] = True

    assert bluntness(lung(), shown, SPACING_MM) == 0.0


def test_a_lung_in_slices_without_tissue_has_no_end() -> None:
    assert bluntness(lung(), np.zeros(SHAPE[0], bool), SPACING_MM) == 0.0


@pytest.mark.parametrize("lost_deg", [0.0, 12.0, -12.0])
def test_a_flat_end_that_leans_is_found(lost_deg: float) -> None:
    assert slanted_bluntness(tapered(lost_deg), NOTHING, SPACING_MM) > 0.8
    assert slanted_bluntness(tapered(), NOTHING, SPACING_MM) < 0.5


def test_a_leaning_end_that_the_view_cuts_is_no_end() -> None:
    hidden = np.zeros(SHAPE, bool)
    z, y, _ = np.indices(SHAPE)
    hidden[z - 22 <= np.tan(np.radians(12)) * (y - 25)] = True

    assert slanted_bluntness(tapered(12.0), hidden, SPACING_MM) < 0.5


def test_sections_of_a_lung_that_the_view_cuts_at_its_side_are_not_measured() -> None:
    assert slanted_bluntness(tapered(12.0)[:, 20:], NOTHING[:, 20:], SPACING_MM) == 0.0
