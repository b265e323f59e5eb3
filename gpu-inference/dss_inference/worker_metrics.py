"""Metrics of bundles and of the device.  Torch is imported only for a GPU, through the runner."""

import logging
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

from dss_observability import metrics

log = logging.getLogger(__name__)

OUTCOMES = ("finished", "repeated", "refused", "cancelled", "put_off", "failed")


class MeasuredBundle(Protocol):
    """The part of a bundle that the metrics use."""

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> str: ...


def measure(bundles: Iterable[MeasuredBundle]) -> None:
    """Create each metric series of the worker with value 0, because Prometheus does not count the first increase of a
    new series; the series of a device has the value 1, and a GPU is measured at each scrape.
    """
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
    """A context that measures its duration as the loading time of ``bundle``."""
    return metrics.BUNDLE_LOAD_SECONDS.labels(bundle).time()


def note_unloaded(bundle: str) -> None:
    """Count an eviction of ``bundle``.  The next request loads it again."""
    metrics.BUNDLES_UNLOADED.labels(bundle).inc()


def note_out_of_memory(device: str) -> None:
    """Count that a network ran out of memory on a device of the type ``device`` (``cuda`` or ``cpu``)."""
    metrics.MEMORY_RETRIES.labels(device).inc()


def note_batch(bundle: str, windows: int) -> None:
    """Record that the network of ``bundle`` ran with ``windows`` windows at once."""
    metrics.INFERENCE_BATCH_WINDOWS.labels(bundle).observe(windows)


def _measure_device(device: str) -> None:
    """Create the gauges of a bundle's ``device``.  A GPU is measured at each scrape."""
    metrics.DEVICE_INFO.labels(device).set(1)
    if not device.startswith("cuda"):
        return
    from dss_inference.device import runner  # noqa: PLC0415 - torch, which others need not load

    gpu = device.split(maxsplit=1)[0]
    for kind in ("total", "free", "peak"):
        read = partial(runner.gpu_memory_bytes, gpu, kind)
        metrics.GPU_MEMORY_BYTES.labels(kind).set_function(_nan_on_error(read))
    metrics.GPU_UTILISATION.set_function(_nan_on_error(partial(runner.gpu_utilisation, gpu)))


def _nan_on_error(read: Callable[[], float]) -> Callable[[], float]:
    """``read``, with NaN instead of an error: a driver may lack one value, and the other metrics must be exported."""

    def tolerant() -> float:
        try:
            return read()
        except Exception:
            log.debug("GPU not measured", exc_info=True)
            return math.nan

    return tolerant
