"""What a worker tells about its device; knows torch only by asking the runner, and only on a GPU."""

import logging
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

from dss_observability import metrics

log = logging.getLogger(__name__)

OUTCOMES = ("finished", "repeated", "refused", "cancelled", "put_off", "failed")


class Served(Protocol):
    """What is to be known of a bundle."""

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> str: ...


def measure(bundles: Iterable[Served]) -> None:
    """Every series of a worker exists from now on: one that appears with its first event hides that."""
    for kind in ("total", "free", "peak"):
        metrics.GPU_MEMORY_BYTES.labels(kind).set(0)
    for kind in ("cpu", "cuda"):
        metrics.MEMORY_RETRIES.labels(kind)
    for bundle in bundles:
        metrics.BUNDLES_UNLOADED.labels(bundle.name)
        metrics.INFERENCE_IN_HAND.labels(bundle.name)
        metrics.INFERENCE_BATCH_WINDOWS.labels(bundle.name)
        for outcome in OUTCOMES:
            metrics.INFERENCE_REQUESTS.labels(bundle.name, outcome)
        _measure_device(bundle.device)


def loading(bundle: str) -> AbstractContextManager[object]:
    """Takes the time of what is done within."""
    return metrics.BUNDLE_LOAD_SECONDS.labels(bundle).time()


def note_unloaded(bundle: str) -> None:
    """It was let go for others; the next request loads it again."""
    metrics.BUNDLES_UNLOADED.labels(bundle).inc()


def note_out_of_memory(device: str) -> None:
    """A network was too much for a ``device`` of that type, ``cuda`` or ``cpu``."""
    metrics.MEMORY_RETRIES.labels(device).inc()


def note_batch(bundle: str, windows: int) -> None:
    """A network is about to be given so many windows at once."""
    metrics.INFERENCE_BATCH_WINDOWS.labels(bundle).observe(windows)


def _measure_device(device: str) -> None:
    """``device`` as bundles name theirs.  A GPU is looked at whenever somebody asks."""
    metrics.DEVICE_INFO.labels(device).set(1)
    if not device.startswith("cuda"):
        return
    from dss_inference.device import runner  # noqa: PLC0415 - torch, which others need not load

    gpu = device.split(maxsplit=1)[0]
    for kind in ("total", "free", "peak"):
        read = partial(runner.gpu_memory_bytes, gpu, kind)
        metrics.GPU_MEMORY_BYTES.labels(kind).set_function(_or_nan(read))
    metrics.GPU_UTILISATION.set_function(_or_nan(partial(runner.gpu_utilisation, gpu)))


def _or_nan(read: Callable[[], float]) -> Callable[[], float]:
    """Not every driver answers every question; the other metrics must be told all the same."""

    def tolerant() -> float:
        try:
            return read()
        except Exception:
            log.debug("GPU not measured", exc_info=True)
            return math.nan

    return tolerant
