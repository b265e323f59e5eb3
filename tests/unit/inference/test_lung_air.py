"""Air inside and outside of bodies that are drawn by hand, on a grid of 4 mm."""

import numpy as np
import numpy.typing as npt
import scipy.ndimage as ndi

from dss_inference.lungs.air import enclosed_air
from dss_inference.lungs.view import Flags, View

SHAPE = (60, 40, 40)
AIR_HU = -945


def body(fill: Flags, values: npt.NDArray[np.float64]) -> View:
    """Flesh with a layer of air behind it, and ``values`` where ``fill`` is set."""
    hu = np.full(SHAPE, 40.0)
    hu[:, 33:] = AIR_HU
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
