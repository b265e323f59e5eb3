"""The signs that are measured in lungs that are drawn by hand, on a grid of 4 mm."""

from dataclasses import replace

import numpy as np
import pytest

from dss_inference.lungs.doubts import MOST_POCKET
from dss_inference.lungs.segmented_chest import SegmentedChest
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED, Sides
from dss_inference.lungs.signs import Signs, signs_of
from dss_inference.lungs.unexplained import left_out_ml, other_air_ml
from dss_inference.lungs.view import View, open_to_side

SHAPE = (50, 40, 80)
HEIGHT = (10, 40)


def chest(tilt: float = 0.0) -> Sides:
    """Two columns, as high as each other along an axis that leans by ``tilt`` voxels for each one across."""
    z, y, x = np.indices(SHAPE)
    height = z + tilt * (x - SHAPE[2] / 2)
    there = (height >= HEIGHT[0]) & (height < HEIGHT[1]) & (y > 8) & (y < 32)
    left, right = there & (x > 44) & (x < 66), there & (x > 14) & (x < 39)
    return np.select([left, right], [np.uint8(LEFT), np.uint8(RIGHT)], np.uint8(0))


def segmented(sides: Sides, hu: int = -850, texture_hu: float = 60.0) -> SegmentedChest:
    values = np.random.default_rng(1).normal(hu, texture_hu, SHAPE)
    view = View(hu=np.where(sides > 0, values, 40).astype(np.int16), spacing_mm=(4.0, 4.0, 4.0))
    return SegmentedChest(view=view, sides=sides, air=sides > 0, clear_hu=-1000.0)


def signs(of: SegmentedChest) -> Signs:
    """Where there is no air but the lungs'."""
    return signs_of(of, gas_ml=0.0)


@pytest.mark.parametrize("tilt", [0.0, 0.27, -0.7])
def test_even_lungs_of_a_patient_who_leans_are_even(tilt: float) -> None:
    uneven = signs(segmented(chest(tilt))).uneven

    assert uneven is not None
    assert uneven < 0.06


def test_a_lung_that_lost_its_lower_half_is_uneven() -> None:
    sides = chest()
    sides[:25][sides[:25] == LEFT] = 0

    uneven = signs(segmented(sides)).uneven

    assert uneven is not None
    assert uneven > 0.12


def test_air_without_vessels_is_empty_and_lung_as_dark_is_not() -> None:
    even, textured = (segmented(chest(), -1000, texture_hu) for texture_hu in (5.0, 80.0))

    assert signs(even).empty > 0.3
    assert signs(textured).empty == 0.0


@pytest.mark.parametrize("noise_hu", [5.0, 150.0])
def test_air_within_a_lung_is_a_pocket_in_any_noise(noise_hu: float) -> None:
    whole = segmented(chest(), -850, noise_hu)
    air = segmented(chest(), -990, noise_hu).view.hu
    some = np.where(np.arange(SHAPE[1])[:, None] < 18, air, whole.view.hu)
    burst = replace(whole, view=View(hu=some, spacing_mm=(4.0, 4.0, 4.0)))

    assert signs(whole).pocket < 0.01
    assert signs(burst).pocket > MOST_POCKET


def test_lungs_that_are_dark_throughout_have_no_pocket() -> None:
    assert signs(segmented(chest(), -960)).pocket == 0.0


def test_lungs_that_grow_darker_towards_the_front_have_no_pocket() -> None:
    sides = chest()
    slope = (np.arange(SHAPE[1])[:, None] - 8) * 9
    hu = np.where(sides > 0, -985 + slope, 40).astype(np.int16)
    darker = replace(segmented(sides), view=View(hu=hu, spacing_mm=(4.0, 4.0, 4.0)))

    assert signs(darker).pocket < 0.03


def test_blood_with_contrast_agent_hides_no_ribs_behind_it() -> None:
    sides = chest()
    lost = np.zeros(SHAPE, bool)
    lost[24:36, 8:18] = True
    whole = segmented(sides).view.hu
    hu = np.where(lost & (sides > 0), 40, whole)
    hu[::4, 6:8, 12:68] = 400
    blood = np.s_[:, 10:18, 18:36]
    hu[blood] = np.where(lost[blood], 300, hu[blood])
    part = np.where(lost, 0, sides).astype(np.uint8)
    bright = replace(segmented(part), view=View(hu=hu.astype(np.int16), spacing_mm=(4.0, 4.0, 4.0)))

    assert not bright.thin_bone[28, 14, 26]
    assert bright.thin_bone[28, 6, 26]
    assert bright.bone[28, 14, 26]
    assert signs(bright).before > 0.05


def test_dark_voxels_of_noise_within_lungs_are_no_padding() -> None:
    assert not signs(segmented(chest(), -900, 150)).heart_in_view


def test_volumes_of_lungs_that_the_view_cuts_at_its_side_are_not_compared() -> None:
    found = signs(segmented(np.roll(chest(), 20, axis=2)))

    assert found.cut_at_side
    assert found.left is None


@pytest.mark.parametrize("least_x", [48, 51])
def test_a_lung_that_is_smaller_than_the_other_at_every_height_is_not_uneven(least_x: int) -> None:
    sides = chest()
    sides[:, :, 40:least_x] = 0

    uneven = signs(segmented(sides)).uneven

    assert uneven is not None
    assert uneven < 0.03


def test_a_view_that_ends_where_lungs_are_wide_shows_bases_alone() -> None:
    assert not signs(segmented(chest())).bases_alone
    assert signs(segmented(np.roll(chest(), SHAPE[0] - HEIGHT[1], axis=0))).bases_alone


def test_a_lung_without_a_side_is_not_compared() -> None:
    sides = np.where(chest() > 0, np.uint8(UNSIDED), np.uint8(0))

    assert signs(segmented(sides)).left is None


def test_air_around_a_body_lies_open_and_air_within_does_not() -> None:
    hu = np.full((3, 20, 20), -1000, np.int16)
    hu[:, 5:15, 5:15] = 40
    hu[:, 9:11, 9:11] = -1000

    is_open = open_to_side(View(hu=hu, spacing_mm=(4.0, 4.0, 4.0)))

    assert is_open[:, 2].all()
    assert not is_open[:, 9:11, 9:11].any()


def test_thick_parts_of_lungs_density_with_flesh_beside_them_may_be_lung() -> None:
    sides = chest()
    lost = segmented(sides)
    none_found = SegmentedChest(
        view=lost.view, sides=np.zeros_like(sides), air=sides < 0, clear_hu=-1000.0
    )

    assert left_out_ml(none_found) > 500
    assert left_out_ml(lost) == 0.0


def test_foam_of_a_table_is_no_lung() -> None:
    sides = np.zeros(SHAPE, np.uint8)
    view = segmented(sides).view
    view.hu[:, 20:] = -850
    foam = SegmentedChest(
        view=View(hu=view.hu, spacing_mm=view.spacing_mm),
        sides=sides,
        air=sides > 0,
        clear_hu=-1000.0,
    )
    view.hu[:, 18:20] = -1000

    assert left_out_ml(foam) == 0.0


@pytest.mark.parametrize(("hu", "least_ml", "most_ml"), [(-990, 0, 0), (-850, 50, 130)])
def test_air_between_the_breasts_is_no_air_in_the_body_and_lost_lung_is(
    hu: int, least_ml: int, most_ml: int
) -> None:
    """A groove in the front of the body, 20 mm wide, that opens into the air before it."""
    of = segmented(chest())
    values, air = of.view.hu.copy(), of.air.copy()
    values[:, :4], air[:, :4] = -1000, True
    values[:, 4:8, 40:45], air[:, 4:8, 40:45] = hu, True
    shown = replace(of, view=replace(of.view, hu=values), air=air)

    in_body_ml, _ = other_air_ml(shown)

    assert least_ml <= in_body_ml <= most_ml
