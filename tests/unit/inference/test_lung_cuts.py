"""Where the view cuts lungs, on a pair of round lungs drawn by hand."""

import numpy as np
import pytest

from dss_inference.lungs.cuts import (
    are_bases_alone,
    is_cut_at_head,
    is_cut_at_side,
    is_heart_most_of_view,
    surface_cut_in_slices,
)
from dss_inference.lungs.view import Flags


def lungs() -> Flags:
    """Two balls of radius 12 in a view of 40 x 40 x 70."""
    z, y, x = np.indices((40, 40, 70))
    right, left = ((z - 20) ** 2 + (y - 20) ** 2 + (x - middle) ** 2 < 144 for middle in (20, 49))
    return np.asarray(right | left, bool)


def nothing_hidden(found: Flags) -> Flags:
    return np.zeros(found.shape, bool)


@pytest.mark.parametrize(
    ("view", "mostly_heart"),
    [
        (np.s_[:, :, :], False),
        (np.s_[:, :, 12:58], False),
        (np.s_[:, :, 20:50], True),
        (np.s_[:, :20, :], True),
        (np.s_[:, 20:, :], False),
    ],
    ids=["whole", "cut a little", "middle", "front", "back"],
)
def test_a_view_of_the_middle_or_the_front_shows_the_heart_mostly(
    view: tuple[slice, ...], *, mostly_heart: bool
) -> None:
    found = lungs()[view]

    assert is_heart_most_of_view(found, nothing_hidden(found)) == mostly_heart


def test_padding_cuts_as_the_border_does() -> None:
    found = lungs()
    hidden = nothing_hidden(found)
    hidden[:, :, 50:] = True

    assert is_heart_most_of_view(found & ~hidden, hidden)


def test_a_view_that_ends_in_a_lung_cuts_it_at_the_side() -> None:
    assert is_cut_at_side(lungs()[:, :, 20:])
    assert not is_cut_at_side(lungs())


def test_a_view_that_ends_where_lungs_are_widest_shows_bases_alone() -> None:
    assert are_bases_alone(lungs()[:20])
    assert not are_bases_alone(lungs())


def test_a_view_that_cuts_both_ends_widely_shows_more_than_bases() -> None:
    middle = lungs()[13:27]

    assert is_cut_at_head(middle)
    assert not are_bases_alone(middle)


def test_the_surface_that_the_border_and_padding_cut_is_measured_in_the_slices_alone() -> None:
    found, hidden = np.zeros((10, 20, 20), bool), np.zeros((10, 20, 20), bool)
    found[:, 5:15, :10] = True
    hidden[:, 15:] = True

    by_border, by_padding = surface_cut_in_slices(found, hidden, (2.0, 1.0, 1.0))

    whole_mm2 = 4 * 20 * 10 + 2 * 10 * 10
    assert by_border == pytest.approx(20 * 10 / whole_mm2)
    assert by_padding == pytest.approx(20 * 10 / whole_mm2)


def test_a_view_whose_edges_are_far_from_the_lungs_cuts_no_surface() -> None:
    found = lungs()
    hidden = nothing_hidden(found)
    hidden[:, :2] = True

    assert surface_cut_in_slices(found, hidden, (4.0, 4.0, 4.0)) == (0.0, 0.0)
