"""How a patient lies, on bodies that are drawn by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dss_inference.lungs.pose import Axes, pose_of, upright
from dss_inference.lungs.view import View

SHAPE = (80, 100, 120)
SPACING_MM = (4.0, 4.0, 4.0)


def axes_turned(z_deg: float, y_deg: float, x_deg: float) -> Axes:
    """Rows are the body's z, y and x."""
    return np.asarray(Rotation.from_euler("xyz", [z_deg, y_deg, x_deg], degrees=True).as_matrix().T)


def body(axes: Axes) -> View:
    """A column of flesh, wider than deep, longer than the view, in air."""
    grid = np.indices(SHAPE).reshape(3, -1) - (np.array(SHAPE)[:, None] - 1) / 2
    _, y, x = axes @ grid
    flesh = ((y / 25) ** 2 + (x / 40) ** 2 < 1).reshape(SHAPE)
    return View(hu=np.where(flesh, 40, -1000).astype(np.int16), spacing_mm=SPACING_MM)


def pose(view: View, *, shows_both_sides: bool = True) -> Axes | None:
    return pose_of(view, np.zeros(view.hu.shape, bool), shows_both_sides=shows_both_sides)


@pytest.mark.parametrize("turn", [(30, 0, 0), (0, 25, 0), (0, 0, -30), (20, -15, 15)])
def test_a_body_that_is_turned_shows_its_axes(turn: tuple[float, float, float]) -> None:
    found = pose(body(axes_turned(*turn)))

    assert found is not None
    assert off_deg(found, axes_turned(*turn)) < 4


def test_a_body_that_is_not_turned_stays_as_it_lies() -> None:
    assert pose(body(axes_turned(0, 0, 0))) is None
    assert pose(body(axes_turned(0, 0, 5))) is None


def test_a_view_without_skin_tells_nothing() -> None:
    assert pose(View(hu=np.full(SHAPE, 40, np.int16), spacing_mm=SPACING_MM)) is None


def test_a_windpipe_in_a_round_view_is_no_skin() -> None:
    """Its walls lie along a line that leans, and the view shows no skin."""
    z, y, x = (i - n / 2 for i, n in zip(np.indices(SHAPE), SHAPE, strict=True))
    view = View(hu=np.full(SHAPE, 40, np.int16), spacing_mm=SPACING_MM)
    view.hu[np.hypot(y - 0.35 * z, x) < 6] = -1000
    view.hu[np.hypot(y, x) > 48] = -1024

    assert pose(view) is None


def test_where_the_view_cuts_the_body_a_small_turn_is_not_believed() -> None:
    turned = body(axes_turned(0, 0, -15))

    assert pose(turned) is not None
    assert pose(turned, shows_both_sides=False) is None


def test_a_face_where_the_view_ends_is_no_skin() -> None:
    turned = axes_turned(0, 0, -30)
    view = body(turned)
    grid = np.indices(SHAPE).reshape(3, -1) - (np.array(SHAPE)[:, None] - 1) / 2
    leaning = np.array([0.9, 0.3, 0.3])
    view.hu[(np.abs(leaning @ grid) > 22).reshape(SHAPE)] = -1024

    found = pose(view)

    assert found is not None
    assert off_deg(found, turned) < 6


def test_what_is_turned_upright_lies_along_the_image() -> None:
    axes = axes_turned(20, -15, 15)
    turned = body(axes)

    straight = upright(turned.hu, SPACING_MM, axes, -1024)

    z, y, x = (n // 2 for n in straight.shape)
    flesh = straight[z - 20 : z + 20, y - 35 : y + 35, x - 50 : x + 50] > 0
    in_some_slices = flesh.any(axis=0) & ~flesh.all(axis=0)
    assert 0.3 < flesh.mean() < 0.95
    assert in_some_slices.mean() < 0.08


def off_deg(found: Axes, true: Axes) -> float:
    turn = float(np.trace(found @ true.T))
    return float(np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1))))
