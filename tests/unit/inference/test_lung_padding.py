"""Padding with other values than -1024, and parts that lie apart from the lungs."""

import numpy as np
import pytest

from dss_inference.device.runner import Runner
from dss_inference.lungs.connection import detached
from dss_inference.lungs.padding import with_known_padding
from dss_inference.lungs.sides import LEFT, RIGHT
from dss_inference.lungs.view import View
from dss_phantom.chest import Phantom
from support.lung_cases import chest_of
from support.lung_changes import round_view
from support.lung_disease import Chest
from support.lung_judging import judged

RANDOM = np.random.default_rng(1)


@pytest.fixture(scope="module")
def whole(chest: Phantom) -> Chest:
    return chest_of(chest)


@pytest.mark.slow
def test_a_round_view_is_the_same_whatever_lies_outside_of_it(whole: Chest, runner: Runner) -> None:
    usual, other = (judged(round_view(0.75, hu)(whole, RANDOM), runner) for hu in (-1024, -850))

    assert other.dice == pytest.approx(usual.dice, abs=0.005)
    assert other.dice > 0.95
    assert (other.verdict, other.flags) == (usual.verdict, usual.flags)


def view(hu: int, noise_hu: float = 0.0) -> View:
    """Flesh with a frame of 8 voxels that has the value ``hu``, and the same value in its middle."""
    values = np.full((4, 40, 40), 40, np.int16)
    values[:, 15:25, 15:25] = hu
    frame = np.ones((4, 40, 40), bool)
    frame[:, 8:32, 8:32] = False
    noise = np.random.default_rng(1).normal(0, noise_hu, values.shape)
    return View(hu=np.where(frame, hu + noise, values).astype(np.int16), spacing_mm=(2.0, 2.0, 2.0))


def test_an_even_frame_is_padding_and_the_same_value_inside_is_not() -> None:
    known = with_known_padding(view(-900)).hu

    assert (known[:, :8] == -1024).all()
    assert (known[:, 15:25, 15:25] == -900).all()


@pytest.mark.parametrize("odd", [view(-900, noise_hu=5.0), view(0), view(-1024)])
def test_air_with_noise_tissue_and_usual_padding_stay_as_they_are(odd: View) -> None:
    assert with_known_padding(odd) is odd


def test_a_part_beyond_the_chest_wall_is_detached_and_a_lung_is_not() -> None:
    sides = np.zeros((20, 40, 60), np.uint8)
    sides[:, 10:30, 5:25], sides[:, 10:30, 35:55] = RIGHT, LEFT

    assert detached(sides) == 0
    sides[:, 34:, 5:25] = RIGHT
    assert detached(sides) == pytest.approx(6 / 46)
