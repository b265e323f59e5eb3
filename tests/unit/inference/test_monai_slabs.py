# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""The slab-wise way finds what MONAI's own inferer finds, in less memory."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from monai.inferers.inferer import SlidingWindowInferer

from dss_inference.monai_bundles.slab_argmax import slab_argmax

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.slow,
]
CPU = torch.device("cpu")


def network(channels: int) -> torch.nn.Module:
    """Sees its neighbourhood, so that overlapping windows disagree."""
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv3d(1, 4, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv3d(4, channels, 3, padding=1),
    ).eval()


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((40, 33, 61), {"roi_size": (16, 16, 16), "overlap": 0.25, "mode": "gaussian"}),
        ((61, 33, 40), {"roi_size": (16, 20, 24), "overlap": 0.5, "mode": "constant"}),
        ((33, 64, 16), {"roi_size": (16, 16, 16), "overlap": (0.0, 0.75, 0.5), "mode": "gaussian"}),
        ((10, 33, 13), {"roi_size": (16, 16, 16), "padding_mode": "replicate", "mode": "gaussian"}),
        ((10, 12, 13), {"roi_size": (16, 16, 16), "cval": 2.0, "mode": "gaussian"}),
        ((20, 24, 28), {"roi_size": (-1, 16, 16), "overlap": 0.9}),
    ],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_winners_are_those_of_monai(
    size: tuple[int, ...], settings: dict[str, Any], batch: int
) -> None:
    image, asked = torch.randn(1, 1, *size), network(7)
    inferer = SlidingWindowInferer(sw_batch_size=2, **settings)

    with torch.inference_mode():
        expected = inferer(image, asked)
        found = slab_argmax(image, asked, inferer, batch=batch, device=CPU, sums_on=CPU)

    assert isinstance(expected, torch.Tensor)
    assert found.shape == expected.shape[2:]
    assert (found == expected[0].argmax(0)).float().mean() >= 0.9999
    assert found.unique().numel() == 7


MEASURE = """
import resource, sys, torch
from monai.inferers.inferer import SlidingWindowInferer
from dss_inference.monai_bundles.slab_argmax import slab_argmax

torch.set_num_threads(1)
network = torch.nn.Conv3d(1, 105, 1)
inferer = SlidingWindowInferer(roi_size=(24, 24, 24), overlap=0.25, mode="gaussian")
cpu = torch.device("cpu")

def run(size):
    with torch.inference_mode():
        slab_argmax(torch.randn(1, 1, *size), network, inferer, batch=1, device=cpu, sums_on=cpu)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = run((24, 24, 24))
print(run((128, 128, 150)) - before)
"""


def test_105_classes_need_a_slab_and_not_the_image() -> None:
    """A quarter of 512 x 512 x 600 in each direction: all channels together are 1032 MB, a slab is 165 MB.

    Sixty-four times what is measured here has to stay under 16 GB.
    """
    measured = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    assert int(measured.stdout) < 16e9 / 64
