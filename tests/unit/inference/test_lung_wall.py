"""What is measured between lungs and ribs, on lungs drawn by hand on a grid of 4 mm."""

import numpy as np
import pytest
import scipy.ndimage as ndi

from dss_inference.lungs.view import Flags
from dss_inference.lungs.wall import Way, bone_in, is_noisy, outside_ml, outward

SPACING_MM = (4.0, 4.0, 4.0)
SHAPE = (60, 50, 40)
RIBS = {Way.BACK: 42, Way.FRONT: 8, Way.LEFT: 33, Way.RIGHT: 7}


def lung() -> Flags:
    """A block, 200 mm high, 4 mm inside of the ribs on each side."""
    flags = np.zeros(SHAPE, bool)
    flags[5:55, 10:41, 9:32] = True
    return flags


def ribs(every: int = 6) -> Flags:
    """A shell around the lung, with a rib in every ``every``-th slice."""
    flags = np.zeros(SHAPE, bool)
    flags[::every, [RIBS[Way.FRONT], RIBS[Way.BACK]], 7:34] = True
    flags[::every, 8:43, RIBS[Way.RIGHT]] = True
    flags[::every, 8:43, RIBS[Way.LEFT]] = True
    return flags


def air() -> Flags:
    flags = np.ones(SHAPE, bool)
    flags[:, 4:47, 3:38] = False
    return flags


def ml(of: Flags, way: Way, bone: Flags | None = None) -> float:
    return outside_ml(of, ribs() if bone is None else bone, air(), SPACING_MM, way)


@pytest.mark.parametrize("way", list(Way))
def test_lung_that_reaches_the_ribs_leaves_nothing_outside(way: Way) -> None:
    assert ml(lung(), way) == 0.0


@pytest.mark.parametrize(
    ("way", "lost"),
    [
        (Way.BACK, np.s_[10:30, 30:, :]),
        (Way.FRONT, np.s_[30:45, :20, :]),
        (Way.LEFT, np.s_[20:40, :, 22:]),
        (Way.RIGHT, np.s_[20:40, :, :19]),
    ],
)
def test_what_is_lost_at_the_wall_lies_outside(way: Way, lost: tuple[slice, ...]) -> None:
    whole, part = lung(), lung()
    part[lost] = False
    lost_ml = float((whole & ~part).sum()) * 0.064

    assert 0.5 * lost_ml < ml(part, way) < 1.5 * lost_ml


def test_a_whole_layer_that_is_lost_lies_outside() -> None:
    part = lung()
    part[:, 18:] = False

    assert ml(part, Way.BACK) > 500


def test_the_whole_front_that_is_lost_lies_outside_however_thick_it_is() -> None:
    part = lung()
    part[:, :33] = False

    assert ml(part, Way.FRONT) > 500


def test_what_lies_behind_lung_at_the_front_is_not_counted() -> None:
    """Liver: the lung reaches the ribs behind it higher up."""
    part = lung()
    part[5:15, 14:] = False

    assert ml(part, Way.BACK) == 0.0


def test_without_ribs_in_view_nothing_lies_outside_before_the_air() -> None:
    part = lung()
    part[10:30, 30:] = False

    assert ml(part, Way.BACK, np.zeros(SHAPE, bool)) == 0.0


def test_lung_that_reaches_the_border_of_the_view_leaves_nothing_outside() -> None:
    assert cut_ml(lung(), Way.BACK) == 0.0


@pytest.mark.parametrize(
    ("way", "lost"),
    [
        (Way.BACK, np.s_[30:50, 24:, :]),
        (Way.FRONT, np.s_[30:45, :20, :]),
        (Way.LEFT, np.s_[8:24, :, 18:]),
    ],
)
def test_what_is_lost_where_the_view_ends_before_the_ribs_lies_outside(
    way: Way, lost: tuple[slice, ...]
) -> None:
    part = lung()
    part[lost] = False

    assert cut_ml(part, way) > 50
    assert cut_ml(part, way, noisy=True) == 0.0


def test_shoulders_that_the_view_cuts_lie_beside_no_lung() -> None:
    part = lung()
    part[35:, :, 18:] = False

    assert cut_ml(part, Way.LEFT) == 0.0


def cut_ml(of: Flags, way: Way, *, noisy: bool = False) -> float:
    """In a view that ends within the lung on every side."""
    box = np.s_[:, 12:36, 11:28]
    return outside_ml(of[box], ribs()[box], air()[box], SPACING_MM, way, noisy=noisy)


def test_air_outside_the_body_ends_the_search_for_ribs() -> None:
    part, arm = lung(), np.zeros(SHAPE, bool)
    part[10:30, 30:] = False
    arm[:, 48] = True

    assert ml(part, Way.BACK, arm) == 0.0


@pytest.mark.parametrize(("noise_hu", "rib_hu"), [(10.0, 250), (120.0, 500)])
def test_bone_is_found_in_noise(noise_hu: float, rib_hu: int) -> None:
    rng = np.random.default_rng(1)
    clean = np.full((12, 40, 40), 45.0)
    clean[:, 20:23] = rib_hu
    hu = (clean + rng.normal(0, noise_hu, clean.shape)).astype(np.int16)
    smooth = np.asarray(ndi.uniform_filter(hu.astype(np.float32), 3))
    noisy = is_noisy(hu, smooth)
    bone = bone_in(hu, noisy=noisy)

    assert noisy == (noise_hu > 60)
    assert bone[:, 21].mean() > 0.9
    assert bone[:, :15].mean() < 0.05


def test_a_thin_rib_is_found_in_noise() -> None:
    rng = np.random.default_rng(2)
    clean = np.full((12, 40, 40), 45.0)
    clean[6, 20] = 500
    bone = bone_in((clean + rng.normal(0, 80, clean.shape)).astype(np.int16), noisy=True)

    assert bone[6, 20].mean() > 0.9
    assert bone[:, :15].mean() < 0.05


@pytest.mark.parametrize(("column", "way"), [(-1, Way.LEFT), (0, Way.RIGHT)])
def test_the_side_with_air_is_outward_and_that_with_cut_lung_is_not(column: int, way: Way) -> None:
    hu = np.full((4, 10, 10), 40, np.int16)
    hu[:, :5, column] = -1000
    hu[:, :, -1 - column] = -850
    lungs = np.zeros(hu.shape, bool)
    lungs[:, :, -1 - column] = True

    assert outward(hu, lungs) == way


def test_in_front_of_a_lung_that_is_all_apex_no_tissue_is_counted() -> None:
    part = np.zeros(SHAPE, bool)
    part[0, 20:41, 9:32] = True

    assert ml(part, Way.FRONT) == 0.0
