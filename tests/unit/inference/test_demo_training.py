"""How the DEMO bundle learns: samples of phantoms, and a few steps."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dss_inference.bundle_catalogue import DEMO_BUNDLES
from dss_phantom.training.fitting import fit, save_half
from dss_phantom.training.variation import PATCH, Person, sample_of

# MONAI warns of its own future and of what it calls in torch.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.slow]

CONFIG = DEMO_BUNDLES / "lung-segmentation-demo" / "configs" / "inference.json"


@pytest.fixture(scope="module")
def person() -> Person:
    """Two boxes of lung in a block of flesh."""
    hu = np.full((80, 70, 90), -1000, np.float32)
    hu[:, 8:-8, 8:-8] = 40
    truth = np.zeros(hu.shape, np.uint8)
    truth[20:60, 20:50, 50:76], truth[20:60, 20:50, 14:40] = 1, 2
    hu[truth > 0] = -850
    return Person(hu=hu, truth=truth)


def test_samples_differ_but_lung_stays_darker_than_flesh(person: Person) -> None:
    rng = np.random.default_rng(3)
    samples = [sample_of(person, rng) for _ in range(6)]

    assert all(s.image.shape == s.truth.shape == (PATCH,) * 3 for s in samples)
    assert all(s.image.min() >= 0 and s.image.max() <= 1 for s in samples)
    assert len({float(s.image.mean()) for s in samples}) == 6
    for s in samples:
        bright = s.image[(s.truth == 0) & (s.image > 0.6)]
        assert not (s.truth > 0).any() or s.image[s.truth > 0].mean() < bright.mean()


def test_left_stays_on_the_side_where_x_is_greater(person: Person) -> None:
    rng = np.random.default_rng(4)
    for s in [sample_of(person, rng) for _ in range(8)]:
        left, right = np.argwhere(s.truth == 1), np.argwhere(s.truth == 2)
        if len(left) and len(right):
            assert left[:, 2].mean() > right[:, 2].mean()


def test_the_same_seed_gives_the_same_weights(person: Person, tmp_path: Path) -> None:
    losses: list[float] = []
    for name in ("one", "two"):
        network = fit(
            CONFIG, [person], steps=2, seed=5, on_step=lambda _, loss: losses.append(loss)
        )
        save_half(network, tmp_path / name / "model.pt")

    one, two = (torch.load(tmp_path / n / "model.pt", weights_only=True) for n in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert losses[:2] == losses[2:]
