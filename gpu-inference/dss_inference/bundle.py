"""The interface between bundles, the algorithms that segment images, and the programs that run them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from dss_broker.messages import Label, Landmark, Note
from dss_inference.device.compute_thread import ComputeThread
from dss_inference.errors import Cancelled, IsCancelled

T = TypeVar("T")
WAITING = "waiting for the device"
"""The stage in which a request waits for other requests; ``Stages.seconds`` does not count it."""

Progress: TypeAlias = Callable[[float, str], None]
"""Function that a bundle calls with the finished fraction (0..1) and the current stage, any number of times."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A file that a bundle makes beside the segmentation and that is attached to the ticket's log; on disk and fsynced."""

    path: Path
    description: str
    mime_type: str


@dataclass(frozen=True, kw_only=True)
class BundleOutcome:
    """The result of ``Bundle.run``.  ``segmentation`` is a file on disk, fsynced, in the image's exact grid; its values
    are those of ``labels``.  ``stage_seconds`` is the wall-clock time by stage.

    ``peak_memory_bytes`` is the highest use during the work, of the device or, on a CPU, of the process; 0: unknown.
    ``verdict`` is the bundle's own judgement of the segmentation, such as ``good`` or ``look at it``; "" if it gives
    none.
    """

    segmentation: Path
    labels: tuple[Label, ...]
    notes: tuple[Note, ...]
    stage_seconds: dict[str, float]
    peak_memory_bytes: int = 0
    landmarks: tuple[Landmark, ...] = ()
    reports: tuple[Report, ...] = ()
    verdict: str = ""


class Bundle(Protocol):
    """An algorithm that makes a segmentation of an image; requests call it by its ``name``."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str:
        """The device as people know it: ``cpu``, or a GPU and its name."""

    def run(
        self,
        image_path: Path,
        output_dir: Path,
        parameters: dict[str, str],
        progress: Progress,
        cancelled: IsCancelled,
    ) -> BundleOutcome:
        """Segment the image and write the files of the result into ``output_dir``, which exists.  Idempotent.

        ``parameters`` are those of the service.  Raises InferenceError (a sentence for the user), Cancelled soon after
        ``cancelled()`` becomes True, MemoryError, OSError.
        """


class Stages:
    """The stages of one run of a bundle: reports progress, measures the time of each stage, and raises Cancelled if the
    run is cancelled.
    """

    def __init__(self, progress: Progress, cancelled: IsCancelled) -> None:
        self._progress = progress
        self._cancelled = cancelled
        self._starts: list[tuple[str, float]] = []
        self._fraction = 0.0
        self.peak_memory_bytes = 0

    def enter(self, fraction: float, stage: str) -> None:
        """End the current stage and begin ``stage``; ``fraction`` (0..1) of the run is finished.  Raises Cancelled."""
        if self._cancelled():
            raise Cancelled
        self._fraction = fraction
        self._starts.append((stage, time.monotonic()))
        self._progress(fraction, stage)

    def on_device(self, device: ComputeThread, work: Callable[[], T]) -> T:
        """Run ``work`` in the device's thread, after the work that was queued there before, and return its result.
        Until it enters a stage, the stage is WAITING.  Sets ``peak_memory_bytes``, also if ``work`` fails.  Raises
        Cancelled while waiting, and the errors of ``work``.
        """

        def measured() -> T:
            device.memory.begin()
            try:
                return work()
            finally:
                self.peak_memory_bytes = device.memory.peak_bytes()

        self.enter(self._fraction, WAITING)
        return device(measured, self._cancelled)

    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds of each stage except WAITING; the last stage counts up to the call.  At least one stage
        must have been entered; of a stage that was entered twice, only the last time counts.
        """
        ends = [start for _, start in self._starts[1:]] + [time.monotonic()]
        spans = zip(self._starts, ends, strict=True)
        return {s: end - start for (s, start), end in spans if s != WAITING}
