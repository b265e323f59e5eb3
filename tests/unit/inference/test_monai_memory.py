# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""A network that is too large for the memory: fewer windows at once, then slabs, never a dead worker."""

import pytest
import torch
from monai.inferers.inferer import SimpleInferer, SlidingWindowInferer
from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Activationsd, AsDiscreted

from dss_inference.errors import Cancelled
from dss_inference.monai_bundles import window_inference
from dss_inference.monai_bundles.argmax_only import needs_only_argmax
from dss_inference.monai_bundles.window_inference import WindowInference

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
CPU = torch.device("cpu")
IMAGE = torch.randn(1, 1, 24, 24, 24)
OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


class Hungry(torch.nn.Module):
    """Two channels; fails with more than ``most`` windows, and in its first ``failures`` calls."""

    def __init__(
        self, *, most: int = 100, failures: int = 0, error: Exception = OUT_OF_MEMORY[0]
    ) -> None:
        super().__init__()
        self.given: list[int] = []
        self._most, self._failures, self._error = most, failures, error

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.given.append(len(windows))
        if len(windows) > self._most or len(self.given) <= self._failures:
            raise self._error
        return torch.cat([windows, -windows], 1)


@pytest.fixture(autouse=True)
def _many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU."""
    monkeypatch.setattr(window_inference, "MOST_ON_CPU", 8)


def inferring_with(
    network: Hungry, *, batch: int = 8, may_take_argmax: bool = True
) -> WindowInference:
    inferer = SlidingWindowInferer((16, 16, 16), sw_batch_size=batch, overlap=0.5)
    return WindowInference(inferer, network, CPU, channels=2, may_take_argmax=may_take_argmax)


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_the_batch_is_halved_until_it_fits_and_that_is_remembered(error: Exception) -> None:
    network = Hungry(most=2, error=error)
    infer = inferring_with(network)

    answer = infer(IMAGE)
    infer(IMAGE)

    assert network.given == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert not answer.is_argmax
    assert torch.allclose(answer.values[0], IMAGE[0, 0])


def test_when_no_batch_fits_the_image_is_worked_on_in_slabs() -> None:
    network = Hungry(failures=4)  # 8, 4, 2 and 1 window

    answer = inferring_with(network)(IMAGE)

    assert answer.is_argmax
    assert torch.allclose(answer.values[0], (IMAGE[0, 0] < 0).float())


def test_what_fits_in_no_way_is_a_memory_error_and_the_next_image_works() -> None:
    network = Hungry(failures=8)
    infer = inferring_with(network)

    with pytest.raises(MemoryError):
        infer(IMAGE)

    assert torch.allclose(infer(IMAGE).values[0], IMAGE[0, 0])


def test_channels_that_all_matter_are_never_settled() -> None:
    with pytest.raises(MemoryError):
        inferring_with(Hungry(failures=4), may_take_argmax=False)(IMAGE)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), Cancelled()])
def test_other_errors_are_not_tried_again(error: Exception) -> None:
    network = Hungry(failures=1, error=error)

    with pytest.raises(type(error)):
        inferring_with(network)(IMAGE)

    assert network.given == [8]


def test_an_inferer_without_windows_works_too() -> None:
    infer = WindowInference(SimpleInferer(), Hungry(), CPU, channels=2, may_take_argmax=True)

    assert torch.allclose(infer(IMAGE).values[0], IMAGE[0, 0])


def test_a_gpu_is_followed_by_its_host_and_then_by_the_cpu() -> None:
    gpu = torch.device("cuda:0")
    inferer = SlidingWindowInferer((16, 16, 16), sw_batch_size=1)
    infer = WindowInference(inferer, Hungry(), gpu, channels=2, may_take_argmax=True)

    tried = [(a.batch, a.device, a.sums_on) for a in infer.fallback.planned()]

    assert tried == [(4, gpu, gpu), (2, gpu, gpu), (1, gpu, gpu), (1, gpu, CPU), (1, CPU, CPU)]


def test_a_threshold_or_a_sigmoid_needs_every_channel() -> None:
    softmax = Activationsd("pred", softmax=True)
    argmax = AsDiscreted("pred", argmax=True)

    assert needs_only_argmax(Compose([softmax, argmax]))
    assert needs_only_argmax(Compose([]))
    assert not needs_only_argmax(Compose([Activationsd("pred", sigmoid=True), argmax]))
    assert not needs_only_argmax(Compose([AsDiscreted("pred", threshold=0.5)]))


def test_a_cpu_is_given_few_windows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    network = Hungry()

    inferring_with(network, batch=4)(IMAGE)

    assert set(network.given) == {2}
