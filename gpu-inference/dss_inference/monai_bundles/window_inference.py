# mypy: allow-untyped-calls
# (MONAI ships no types)
"""A segmentation bundle's inferer and network, run with the memory that there is."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import SlidingWindowInferer

from dss_inference.device.memory import Memory, ProcessMemory
from dss_inference.monai_bundles.memory_fallback import Attempt, Attempts
from dss_inference.monai_bundles.slab_argmax import winners
from dss_inference.monai_bundles.window_batch import WindowBatch

MOST_BYTES = 2 << 30
"""Channels of a whole image that are larger than that are settled slab by slab, where that is allowed."""

_GPU_BATCH, _MOST_ON_GPU = 4, 16
"""A GPU is given at least so many windows at once where they fit, and in time up to so many."""
MOST_ON_CPU = 2
"""Four at once took a tenth to a half more time for each (UNets of 72 and 96 voxels, two cores)."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Channels (c, x, y, z) on the CPU; if ``settled``, one channel with the number of the largest."""

    values: torch.Tensor
    settled: bool


class Inferring:
    """``attempts`` says how."""

    def __init__(
        self,
        inferer: Any,
        network: torch.nn.Module,
        device: torch.device,
        *,
        channels: int,
        may_settle: bool,
        memory: Memory | None = None,
    ) -> None:
        """``may_settle`` if only the largest of ``channels`` matters to what follows.

        ``memory`` is that of ``device``; None is the process's.
        """
        memory = memory or ProcessMemory()
        self._network = network
        self._channels = channels
        self._windowed = isinstance(inferer, SlidingWindowInferer)
        self._may_settle = may_settle and self._windowed
        self.inferer = copy.copy(inferer)
        own = int(inferer.sw_batch_size) if self._windowed else None
        self._batch = _batch_of(own, device, memory)
        self.attempts = Attempts(network, device, self._batch, memory, windowed=self._windowed)
        self._set_batch()

    def __call__(self, image: torch.Tensor) -> Answer:
        """``image`` is (1, c, x, y, z).  Raises MemoryError if nothing helps, and what the network raises."""
        image = image.as_tensor() if isinstance(image, MetaTensor) else image
        self._batch.choose()
        answer = self._answer(image)
        self._set_batch()
        return answer

    def _answer(self, image: torch.Tensor) -> Answer:
        size_bytes = 4 * self._channels * math.prod(image.shape[2:])
        if not (self._may_settle and size_bytes > MOST_BYTES):
            values = self.attempts.first_that_fits(lambda each: self._channels_of(image, each))
            if values is not None:
                return Answer(values=values, settled=False)
        if self._may_settle:
            values = self.attempts.first_that_fits(lambda each: self._winners_of(image, each))
            if values is not None:
                return Answer(values=values, settled=True)
        raise MemoryError("no way to run the network fits into memory")

    def _set_batch(self) -> None:
        """As it is now, for whoever counts the batches of the next image."""
        if self._windowed:
            self.inferer.sw_batch_size = self._batch.size

    def _channels_of(self, image: torch.Tensor, attempt: Attempt) -> torch.Tensor:
        inferer = self.inferer
        if self._windowed:
            inferer = copy.copy(inferer)
            inferer.sw_batch_size = attempt.batch
            inferer.sw_device, inferer.device = attempt.device, attempt.sums_on
        answer: torch.Tensor = inferer(image.to(attempt.sums_on), self._network)
        return answer[0].float().cpu()

    def _winners_of(self, image: torch.Tensor, attempt: Attempt) -> torch.Tensor:
        return winners(
            image,
            self._network,
            self.inferer,
            batch=attempt.batch,
            device=attempt.device,
            sums_on=attempt.sums_on,
        )[None].float()  # as AsDiscreted answers


def _batch_of(own: int | None, device: torch.device, memory: Memory) -> WindowBatch:
    """``own`` is the bundle's; None without windows."""
    if own is None or device.type == "cpu":
        most = min(MOST_ON_CPU, own or 1)
        return WindowBatch(first=most, most=most, memory=memory)
    return WindowBatch(first=max(_GPU_BATCH, own), most=max(_MOST_ON_GPU, own), memory=memory)
