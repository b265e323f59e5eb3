"""Air inside and outside of bodies that are drawn by hand, on a grid of 4 mm."""

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.air import enclosed_air
from dss_inference.lungs.view import Flags, View

SHAPE = (60, 40, 40)
AIR_HU = -945
IN_FRONT = slice(0, 6)


def body(fill: Flags, values: npt.NDArray[np.float64], air: slice = slice(33, None)) -> View:
    """Flesh with a layer of air, at the places ``air`` from front to back, and ``values`` where ``fill`` is set."""
    hu = np.full(SHAPE, 40.0)
    hu[:, air] = AIR_HU
    hu[fill] = values[fill]
    noise = np.random.default_rng(2).normal(0, 15, SHAPE)
    return View(hu=(hu + noise).astype(np.int16), spacing_mm=(4.0, 4.0, 4.0))


def corner() -> Flags:
    """A quarter of an egg at the front right of the view, 600 ml."""
    z, y, x = np.indices(SHAPE)
    return np.asarray(((z - 30) / 28) ** 2 + (y / 19) ** 2 + (x / 19) ** 2 < 1, bool)


def vessels(share: float) -> npt.NDArray[np.float64]:
    """Values as dark as the air around, with vessels in ``share`` of them."""
    rough = ndi.gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 1.0)
    return np.where(rough > np.quantile(rough, 1 - share), -700.0, AIR_HU - 10.0).astype(np.float64)


def test_lung_as_dark_as_air_at_a_corner_of_the_view_is_inside() -> None:
    found = enclosed_air(body(corner(), vessels(0.25)))

    assert found.air[corner()].mean() > 0.95
    assert not found.air[:, 33:].any()


def test_even_air_at_a_corner_of_the_view_is_outside() -> None:
    found = enclosed_air(body(corner(), vessels(0.0)))

    assert not found.air[corner()].any()
    assert found.doubtful_ml == 0.0


def test_lung_too_small_to_be_told_from_air_is_doubtful() -> None:
    small = corner() & (np.indices(SHAPE)[0] > 38)

    found = enclosed_air(body(small, vessels(0.25)))

    assert not found.air[small].any()
    assert found.doubtful_ml > 50


def test_lungs_that_the_view_cuts_and_joins_at_the_back_are_inside() -> None:
    z, y, x = np.indices(SHAPE)
    lungs = (y >= 12) & (z >= 10) & (z < 50)
    lungs &= ~((y < 26) & (abs(x - 20) < 12))
    lungs &= ~((y < 34) & (abs(x - 20) < 6))
    lungs &= ~((abs(x - 20) < 6) & ((z < 20) | (z >= 38)))

    found = enclosed_air(body(lungs, vessels(0.25) + 40, IN_FRONT))

    assert found.air[lungs].mean() > 0.95


def test_foam_of_a_table_along_a_long_image_is_outside_however_large() -> None:
    _, y, x = np.indices(SHAPE)
    foam = (y > 30) & (x > 20)

    found = enclosed_air(body(foam, np.full(SHAPE, AIR_HU + 40.0), IN_FRONT))

    assert not found.air[foam].any()
