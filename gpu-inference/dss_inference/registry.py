"""The bundles that a worker can serve.  Nothing is imported, and no torch loaded, before it is asked for."""

from collections.abc import Callable

from dss_inference.bundle import Bundle
from dss_inference.errors import InferenceError


def _lung_segmentation(device: str, threads: int) -> Bundle:
    from dss_inference.images import limit_threads  # noqa: PLC0415  (loads SimpleITK)
    from dss_inference.lungs.bundle import LungSegmentation  # noqa: PLC0415  (loads torch)
    from dss_inference.runner import runner_for  # noqa: PLC0415  (loads torch)

    limit_threads(threads)
    return LungSegmentation(runner_for(device, threads))


def _nodule_detection(device: str, threads: int) -> Bundle:
    from dss_inference.images import limit_threads  # noqa: PLC0415  (loads SimpleITK)
    from dss_inference.nodules.bundle import NoduleDetection  # noqa: PLC0415  (loads torch)
    from dss_inference.runner import runner_for  # noqa: PLC0415  (loads torch)

    limit_threads(threads)
    return NoduleDetection(runner_for(device, threads))


BUNDLES: dict[str, Callable[[str, int], Bundle]] = {
    "lung-segmentation": _lung_segmentation,
    "nodule-detection": _nodule_detection,
}
"""By name: how to make it, given a device (``auto``, ``cpu``, ``cuda:N``) and a number of CPU threads."""


def load(name: str, device: str, threads: int) -> Bundle:
    """Raises InferenceError if there is no such bundle or no such device."""
    if name not in BUNDLES:
        known = ", ".join(sorted(BUNDLES))
        raise InferenceError(f"There is no bundle {name!r}; there is: {known}.")
    return BUNDLES[name](device, threads)
