"""What a worker tells about its device; knows torch only by asking the runner, and only on a GPU."""

from collections.abc import Iterable
from functools import partial

from dss_observability import metrics


def measure_device(devices: Iterable[str]) -> None:
    """``devices`` as bundles name theirs.  The memory of a GPU is looked at when somebody asks."""
    for device in set(devices):
        metrics.DEVICE_INFO.labels(device).set(1)
        if device.startswith("cuda"):
            _measure_memory(device.split()[0])


def _measure_memory(device: str) -> None:
    from dss_inference.runner import gpu_memory_bytes  # noqa: PLC0415 - torch, which others need not load

    for kind in ("total", "free", "peak"):
        read = partial(gpu_memory_bytes, device, kind)
        metrics.GPU_MEMORY_BYTES.labels(kind).set_function(read)
