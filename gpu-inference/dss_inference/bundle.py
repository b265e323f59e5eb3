"""What a bundle is to the programs that run it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from dss_broker.messages import Label, Landmark, Note
from dss_inference.device.compute_thread import ComputeThread
from dss_inference.errors import Cancelled

T = TypeVar("T")
WAITING = "waiting for the device"
"""The stage of those who wait for others; no part of the work's own time."""

Progress: TypeAlias = Callable[[float, str], None]
"""Told how far the work is (0..1) and what is done now; may be called as often as one likes."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A file beside the segmentation, on disk and fsynced, that the user is given with the ticket's log."""

    path: Path
    description: str
    mime_type: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``segmentation`` is on disk, fsynced, in the image's exact grid; its values are those of ``labels``.

    ``peak_memory_bytes`` of the device (a CPU's: of the whole process), while it was at work; 0: unknown.
    """

    segmentation: Path
    labels: tuple[Label, ...]
    notes: tuple[Note, ...]
    stage_seconds: dict[str, float]
    peak_memory_bytes: int = 0
    landmarks: tuple[Landmark, ...] = ()
    reports: tuple[Report, ...] = ()


class Bundle(Protocol):
    """An algorithm that makes a segmentation of an image."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str:
        """What does the work, for a person: ``cpu``, or a GPU and its name."""

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> Outcome:
        """Segment the image.  ``output_dir`` exists, and twice is the same as once.

        Raises InferenceError (a sentence for the user), Cancelled soon after ``cancelled()`` becomes
        true, MemoryError, OSError.
        """


class Stages:
    """The stages of one run: passes progress on, takes their time, ends the run when it is cancelled."""

    def __init__(self, progress: Progress, cancelled: Callable[[], bool]) -> None:
        self._progress = progress
        self._cancelled = cancelled
        self._starts: list[tuple[str, float]] = []
        self._fraction = 0.0
        self.peak_memory_bytes = 0

    def enter(self, fraction: float, stage: str) -> None:
        """What was in hand is done; ``stage`` begins.  Raises Cancelled."""
        if self._cancelled():
            raise Cancelled
        self._fraction = fraction
        self._starts.append((stage, time.monotonic()))
        self._progress(fraction, stage)

    def alone(self, device: ComputeThread, work: Callable[[], T]) -> T:
        """``work`` in the device's thread, when its turn has come.  Raises Cancelled while waiting."""

        def measured() -> T:
            device.memory.begin()
            try:
                return work()
            finally:
                self.peak_memory_bytes = device.memory.peak_bytes()

        self.enter(self._fraction, WAITING)
        return device(measured, self._cancelled)

    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds by stage, the waiting left out; the last one ends now."""
        ends = [start for _, start in self._starts[1:]] + [time.monotonic()]
        spans = zip(self._starts, ends, strict=True)
        return {s: end - start for (s, start), end in spans if s != WAITING}
