# mypy: allow-untyped-calls
"""From an image's own grid to LPS order, and exactly back."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_images.grid import Grid
from dss_images.patient_axes import lps_order
from support.builders import grid_of

CODES = ["LPS", "RAS", "PIR", "ASL", "SRP", "IAL"]


def ramp(code: str) -> sitk.Image:
    lps = sitk.GetImageFromArray(np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5))
    lps.SetSpacing((1.0, 2.0, 3.0))
    turned: sitk.Image = sitk.DICOMOrient(lps, code)
    return turned


@pytest.mark.parametrize("code", CODES)
def test_voxels_of_any_orientation_come_out_in_lps_order(code: str) -> None:
    image = ramp(code)

    order = lps_order(grid_of(image))

    expected = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    assert np.array_equal(order.apply(sitk.GetArrayFromImage(image)), expected)
    assert order.spacing_mm(grid_of(image)) == (3.0, 2.0, 1.0)


@pytest.mark.parametrize("code", CODES)
def test_the_way_back_is_exact(code: str) -> None:
    voxels = sitk.GetArrayFromImage(ramp(code))

    order = lps_order(grid_of(ramp(code)))

    assert np.array_equal(order.undo(order.apply(voxels)), voxels)


def test_an_oblique_grid_counts_as_its_nearest_axes() -> None:
    image = ramp("RAS")
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.2, -0.1, 0.4)
    tilted = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array(image.GetDirection()).reshape(3, 3)
    image.SetDirection(tilted.ravel().tolist())

    order = lps_order(grid_of(image))

    assert np.array_equal(order.apply(sitk.GetArrayFromImage(image)).ravel(), np.arange(60))


def grid(origin_x: float = 1.0, tilt: float = 0.0) -> Grid:
    return Grid(
        size=(2, 3, 4),
        spacing_mm=(1.0, 1.0, 1.0),
        origin_mm=(origin_x, 0.0, 0.0),
        direction=(1.0, tilt, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    )


def test_a_grid_whose_origin_moved_by_one_bit_is_another() -> None:
    assert not grid(float(np.nextafter(1.0, 2.0))).is_same_as(grid())


def test_a_direction_may_differ_by_rounding_only() -> None:
    assert grid(tilt=0.00009).is_same_as(grid())
    assert not grid(tilt=0.00011).is_same_as(grid())
