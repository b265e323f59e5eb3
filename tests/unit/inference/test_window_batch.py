# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""As many windows at once as the memory allows: fewer when others need it, more when it is free again."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from monai.inferers.inferer import SlidingWindowInferer

from dss_inference.monai_bundles import window_inference
from dss_inference.monai_bundles.window_batch import WindowBatch
from dss_inference.monai_bundles.window_inference import WindowInference

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
WINDOW_BYTES = 100
IMAGE = torch.randn(1, 1, 24, 24, 24)


@dataclass
class Device:
    """A ``Memory`` that says what was really taken, and gives no more than it has."""

    total: int
    others: int = 0
    held: int = 50
    refusals: int = 0
    _peak: int = 0
    given: list[int] = field(default_factory=list)

    def begin(self) -> None:
        self._peak = self.held

    def peak_bytes(self) -> int:
        return self._peak

    def held_bytes(self) -> int:
        return self.held

    def free_bytes(self) -> int:
        return self.total - self.others - self.held

    def compute(self, windows: int) -> None:
        """Raises what torch raises when that is too much."""
        self.given.append(windows)
        if windows * WINDOW_BYTES > self.free_bytes():
            self._peak, self.refusals = self.total - self.others, self.refusals + 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self._peak = max(self._peak, self.held + windows * WINDOW_BYTES)


class Network(torch.nn.Module):
    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self._device.compute(len(windows))
        return torch.cat([windows, -windows], 1)


def run(batch: WindowBatch, device: Device) -> int:
    """One image, as ``WindowInference`` does it; with how many windows it was done."""
    device.begin()
    size, held = batch.choose(), device.held
    taken: int | None = 0
    while True:
        try:
            device.compute(size)
        except torch.OutOfMemoryError:
            batch.failed(size)
            size, taken = size // 2, None
        else:
            batch.fitted(size, None if taken is None else device.peak_bytes() - held)
            return size


def on(device: Device, *, first: int = 4, most: int = 16) -> Callable[[], int]:
    batch = WindowBatch(first=first, most=most, memory=device)
    return lambda: run(batch, device)


def test_it_grows_from_image_to_image_up_to_the_most() -> None:
    device = Device(total=10_000)
    image = on(device)

    assert [image() for _ in range(5)] == [4, 8, 16, 16, 16]
    assert device.refusals == 0


def test_it_stops_growing_before_memory_runs_out() -> None:
    device = Device(total=1_100)  # ten windows, and a share left for what is not foreseen
    image = on(device)

    assert [image() for _ in range(5)] == [4, 8, 8, 8, 8]
    assert device.refusals == 0


def test_it_makes_room_for_others_without_running_out_and_comes_back() -> None:
    device = Device(total=3_000)
    image = on(device)
    before = [image() for _ in range(3)]
    device.others = 2_300
    meanwhile = [image() for _ in range(3)]
    device.others = 0
    after = [image() for _ in range(3)]

    assert (before, meanwhile, after) == ([4, 8, 16], [4, 4, 4], [8, 16, 16])
    assert device.refusals == 0


def test_what_ran_out_of_memory_once_is_not_tried_for_every_image() -> None:
    device = Device(total=1_000)
    image = on(device, first=16)

    assert [image() for _ in range(4)] == [8, 8, 8, 8]
    assert device.refusals == 1


def test_it_is_tried_again_when_much_more_is_free() -> None:
    device = Device(total=3_000, others=2_000)
    image = on(device, first=16)
    assert image() == 8

    device.others = 0

    assert [image() for _ in range(3)][-1] == 16
    assert device.refusals == 1


def test_a_bundle_gets_back_to_its_own_batch_when_memory_is_free_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window_inference, "MOST_ON_CPU", 8)
    device = Device(total=2_000, others=1_600)
    inferer = SlidingWindowInferer((16, 16, 16), sw_batch_size=8, overlap=0.5)
    infer = WindowInference(
        inferer,
        Network(device),
        torch.device("cpu"),
        channels=2,
        may_take_argmax=True,
        memory=device,
    )
    sizes = []
    for others in (1_600, 1_600, 0, 0, 0, 0):
        device.others = others
        device.begin()
        infer(IMAGE)
        sizes.append(device.given[-1])

    assert sizes == [2, 2, 4, 8, 8, 8]
    assert device.refusals == 2
