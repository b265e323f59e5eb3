# mypy: allow-untyped-calls
# (MONAI ships no types)
"""A bundle's inferer and network, run with the memory that there is."""

import copy
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import SlidingWindowInferer

from dss_inference.measuring import note_out_of_memory
from dss_inference.memory import Memory, ProcessMemory
from dss_inference.monai_bundles.batch import WindowBatch
from dss_inference.monai_bundles.slabs import winners
from dss_inference.runner import is_out_of_memory

log = logging.getLogger(__name__)

MOST_BYTES = 2 << 30
"""Channels of a whole image that are larger than that are settled slab by slab, where that is allowed."""

_GPU_BATCH, _MOST_ON_GPU = 4, 16
"""A GPU is given at least so many windows at once where they fit, and in time up to so many."""
MOST_ON_CPU = 2
"""Four at once took a tenth to a half more time for each (UNets of 72 and 96 voxels, two cores)."""

_CPU = torch.device("cpu")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """So many windows at once on ``device``; what comes of them is gathered on ``sums_on``."""

    batch: int
    device: torch.device
    sums_on: torch.device


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Channels (c, x, y, z) on the CPU; if ``settled``, one channel with the number of the largest."""

    values: torch.Tensor
    settled: bool


class Inferring:
    """What worked for one image is tried first for the next."""

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
        self._network = network
        self._device = device
        self._memory = memory or ProcessMemory()
        self._channels = channels
        self._windowed = isinstance(inferer, SlidingWindowInferer)
        self._may_settle = may_settle and self._windowed
        self.inferer = copy.copy(inferer)
        self._batch = self._batch_of(inferer)
        self._set_batch()

    def __call__(self, image: torch.Tensor) -> Answer:
        """``image`` is (1, c, x, y, z).  Raises MemoryError if nothing helps, and what the network raises."""
        image = image.as_tensor() if isinstance(image, MetaTensor) else image
        self._batch.choose()
        size_bytes = 4 * self._channels * math.prod(image.shape[2:])
        if not (self._may_settle and size_bytes > MOST_BYTES):
            values = self._first_that_fits(lambda attempt: self._channels_of(image, attempt))
            if values is not None:
                return Answer(values=values, settled=False)
        if self._may_settle:
            values = self._first_that_fits(lambda attempt: self._winners_of(image, attempt))
            if values is not None:
                return Answer(values=values, settled=True)
        raise MemoryError("no way to run the network fits into memory")

    def _batch_of(self, inferer: Any) -> WindowBatch:
        own = int(inferer.sw_batch_size) if self._windowed else 1
        if not self._windowed or self._device.type == "cpu":
            most = min(MOST_ON_CPU, own)
            return WindowBatch(first=most, most=most, memory=self._memory)
        most = max(_MOST_ON_GPU, own)
        return WindowBatch(first=max(_GPU_BATCH, own), most=most, memory=self._memory)

    def _set_batch(self) -> None:
        if self._windowed:
            self.inferer.sw_batch_size = self._batch.size

    def _attempts(self) -> Iterator[Attempt]:
        """From the quickest to the most frugal."""
        batch = self._batch.size
        while batch >= 1:
            yield Attempt(batch=batch, device=self._device, sums_on=self._device)
            batch //= 2
        if self._device.type != "cpu":
            if self._windowed:
                yield Attempt(batch=1, device=self._device, sums_on=_CPU)
            yield Attempt(batch=1, device=_CPU, sums_on=_CPU)

    def _first_that_fits(self, work: Callable[[Attempt], T]) -> T | None:
        held_bytes: int | None = self._memory.held_bytes()
        for attempt in self._attempts():
            done = _unless_out_of_memory(lambda: self._on(attempt, work))  # noqa: B023 - called at once
            if done is not None:
                self._fitted(attempt, held_bytes)
                return done
            held_bytes = None  # the peak is no longer that of one attempt
            self._failed(attempt)
        return None

    def _fitted(self, attempt: Attempt, held_bytes: int | None) -> None:
        taken = None if held_bytes is None else max(0, self._memory.peak_bytes() - held_bytes)
        self._batch.fitted(attempt.batch, taken)
        self._set_batch()

    def _failed(self, attempt: Attempt) -> None:
        note_out_of_memory(attempt.device.type)
        log.warning(
            "out of memory", extra={"windows": attempt.batch, "device": str(attempt.device)}
        )
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if attempt.device == self._device:
            self._batch.failed(attempt.batch)

    def _on(self, attempt: Attempt, work: Callable[[Attempt], T]) -> T:
        moved = attempt.device != self._device
        if moved:
            self._network.to(attempt.device)
        try:
            with torch.autocast(attempt.device.type, enabled=attempt.device.type == "cuda"):
                return work(attempt)
        finally:
            if moved:
                self._network.to(self._device)

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


def _unless_out_of_memory(work: Callable[[], T]) -> T | None:
    """None if memory ran out; the error, and with it what its frames hold, is gone by then."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None
