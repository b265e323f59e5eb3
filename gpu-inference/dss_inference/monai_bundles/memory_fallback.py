"""Runs a MONAI bundle's network with fewer and fewer windows in a batch, and finally on the CPU, until it fits into the
memory.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from dss_inference.device.memory import Memory
from dss_inference.device.runner import is_out_of_memory
from dss_inference.monai_bundles.window_batch import WindowBatch
from dss_inference.worker_metrics import note_out_of_memory

log = logging.getLogger(__name__)

CPU = torch.device("cpu")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The plan of one attempt: ``batch`` windows at once on ``device``, with their outputs summed on ``sums_on``."""

    batch: int
    device: torch.device
    sums_on: torch.device


class MemoryFallback:
    """Runs a network in several attempts until one fits into memory.  ``batch`` remembers the number of windows that
    fitted, and begins with it for the next image.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        device: torch.device,
        batch: WindowBatch,
        memory: Memory,
        *,
        windowed: bool,
    ) -> None:
        """``memory`` is that of ``device``, which holds the network.  ``windowed``: the image is divided into windows,
        whose outputs are summed.
        """
        self._network = network
        self._device = device
        self._batch = batch
        self._memory = memory
        self._windowed = windowed

    def first_that_fits(self, work: Callable[[Attempt], T]) -> T | None:
        """The result of ``work``, which must not be None, in the first attempt that fits; None if none does.  Each
        attempt runs with the network on the attempt's device, in mixed precision on a GPU.  Raises other errors of
        ``work``.
        """
        held_bytes: int | None = self._memory.held_bytes()
        for attempt in self.planned():
            done = _unless_out_of_memory(lambda: self._on(attempt, work))  # noqa: B023 - called at once
            if done is not None:
                self._fitted(attempt, held_bytes)
                return done
            held_bytes = None  # unusable from here on: the peak includes earlier attempts
            self._failed(attempt)
        return None

    def planned(self) -> Iterator[Attempt]:
        """Attempts from the fastest to the one that needs least memory."""
        batch = self._batch.size
        while batch >= 1:
            yield Attempt(batch=batch, device=self._device, sums_on=self._device)
            batch //= 2
        if self._device.type != "cpu":
            if self._windowed:
                yield Attempt(batch=1, device=self._device, sums_on=CPU)
            yield Attempt(batch=1, device=CPU, sums_on=CPU)

    def _fitted(self, attempt: Attempt, held_bytes: int | None) -> None:
        taken = None if held_bytes is None else max(0, self._memory.peak_bytes() - held_bytes)
        self._batch.fitted(attempt.batch, taken)

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


def _unless_out_of_memory(work: Callable[[], T]) -> T | None:
    """The result of ``work``; None if memory ran out.  The error is dropped, because the frames in it would keep
    tensors alive.
    """
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None
