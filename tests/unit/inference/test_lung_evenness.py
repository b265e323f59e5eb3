"""Left against right, on lungs drawn by hand."""

import numpy as np

from dss_inference.lungs.evenness import mirrored, unevenness
from dss_inference.lungs.sides import LEFT, RIGHT, Sides

SPACING_MM = (4.0, 4.0, 4.0)


def pair() -> Sides:
    """Two cones with their tips at the head, 30 voxels wide at their bases."""
    z, _, x = np.indices((40, 20, 80))
    sides = np.zeros(z.shape, np.uint8)
    sides[(x >= 44) & (x < 74 - z / 2)] = LEFT
    sides[(x < 36) & (x >= 6 + z / 2)] = RIGHT
    return sides


def test_lungs_of_which_the_view_cuts_one_are_compared_as_far_as_it_shows_both() -> None:
    part = pair()[:, :, 22:]

    assert unevenness(pair(), SPACING_MM) < 0.02
    assert unevenness(part, SPACING_MM) > 0.06
    assert unevenness(part, SPACING_MM, cut_at_side=True) < 0.03


def test_a_part_that_is_lost_near_the_middle_stays_uneven_in_a_cut_view() -> None:
    part = pair()[:, :, 22:]
    part[:15, :, 22:] = 0

    assert unevenness(part, SPACING_MM, cut_at_side=True) > 0.1


def test_sides_that_lie_at_no_height_beside_each_other_stay_as_they_are() -> None:
    sides = np.zeros((4, 4, 10), np.uint8)
    sides[:2, :, 6:], sides[2:, :, :4] = LEFT, RIGHT

    assert (mirrored(sides) == sides).all()
