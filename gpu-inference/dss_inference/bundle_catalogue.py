"""The bundles that a worker can serve.  Nothing is imported, and no torch loaded, before it is asked for."""

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dss_inference.bundle import Bundle
from dss_inference.bundle_cache import Shelf, ShelvedBundle
from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.bundle_checks import open_bundle, problems
from dss_inference.monai_bundles.folder import is_bundle
from dss_inference.monai_bundles.unusable_bundle import AbsentBundle
from dss_inference.settings import DEFAULT_BUNDLE_BYTES
from dss_inference.worker_metrics import loading

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from dss_inference.device.runner import Runner

DEMO_BUNDLES = Path(__file__).parent / "demo_bundles"
"""MONAI bundles that come with the program, to show how one is served; only on request."""


@cache
def _runner(device: str, threads: int) -> "Runner":
    """One for all bundles, since they share the device's thread."""
    from dss_inference.ct.reading import limit_threads  # noqa: PLC0415  (loads SimpleITK)
    from dss_inference.device.runner import runner_for  # noqa: PLC0415  (loads torch)

    limit_threads(threads)
    return runner_for(device, threads)


def _lung_segmentation(device: str, threads: int) -> Bundle:
    from dss_inference.lungs.bundle import LungSegmentation  # noqa: PLC0415  (loads torch)

    return LungSegmentation(_runner(device, threads))


def _nodule_detection(device: str, threads: int) -> Bundle:
    from dss_inference.nodules.bundle import NoduleDetection  # noqa: PLC0415  (loads torch)

    return NoduleDetection(_runner(device, threads))


BUNDLES: dict[str, Callable[[str, int], Bundle]] = {
    "lung-segmentation": _lung_segmentation,
    "nodule-detection": _nodule_detection,
}
"""By name: how to make it, given a device (``auto``, ``cpu``, ``cuda:N``) and a number of CPU threads."""


def installed_in(folder: Path | None) -> dict[str, Path]:
    """MONAI bundles by name: the subfolders of ``folder`` that are one, whether usable or not."""
    if folder is None:
        return {}
    if not folder.is_dir():
        log.warning("no folder of bundles", extra={"DSS_BUNDLES": str(folder)})
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if _is_installed(path)}


def _is_installed(path: Path) -> bool:
    """A folder that cannot be read, or whose name no queue can have, holds none of the others."""
    try:
        path.name.encode()
        return is_bundle(path)
    except (OSError, ValueError) as error:
        log.warning("folder among the bundles left out", extra={"reason": str(error)})
        return False


def monai_bundles(installed: Path | None) -> dict[str, Path]:
    """By name: those of the folder ``installed``, and the DEMO."""
    return installed_in(DEMO_BUNDLES) | installed_in(installed)


def load(
    name: str,
    device: str,
    threads: int,
    installed: Path | None = None,
    limit_bytes: int = DEFAULT_BUNDLE_BYTES,
) -> Bundle:
    """A built-in bundle, one of the folder ``installed``, or the MONAI bundle at the path ``name``.

    MONAI bundles that take more than ``limit_bytes`` together take turns in memory.
    Raises InferenceError if there is no such bundle, if it cannot be used, or if there is no such device.
    """
    if name in BUNDLES:
        with loading(name):
            return BUNDLES[name](device, threads)
    monai = monai_bundles(installed)
    root = monai.get(name, Path(name))
    if is_bundle(root):
        return _monai(root, device, threads, limit_bytes)
    known = ", ".join(sorted([*BUNDLES, *monai]))
    raise InferenceError(f"There is no bundle {name!r}; there is: {known}.")


def load_to_serve(
    name: str, device: str, threads: int, installed: Path | None, limit_bytes: int
) -> Bundle:
    """As ``load``; but an installed bundle that cannot be used gives one that says why to every request."""
    root = monai_bundles(installed).get(name)
    if root is None:
        return load(name, device, threads, installed, limit_bytes)
    _runner(device, threads)  # a device that is not there is nothing that a bundle could answer for
    try:
        if wrong := problems(root):
            return AbsentBundle(name, wrong)
        return _monai(root, device, threads, limit_bytes)
    except InferenceError as error:
        return AbsentBundle(name, [str(error)])
    except (
        Exception
    ) as error:  # its configuration runs code of others; the worker has other bundles, too
        log.exception("bundle not loaded", extra={"bundle": name})
        return AbsentBundle(name, [f"It could not be loaded: {type(error).__name__}: {error}."])


def _monai(root: Path, device: str, threads: int, limit_bytes: int) -> Bundle:
    from dss_inference.monai_bundles.detection import MonaiDetection  # noqa: PLC0415  (MONAI)
    from dss_inference.monai_bundles.segmentation import MonaiSegmentation  # noqa: PLC0415  (MONAI)

    runner = _runner(device, threads)
    folder = open_bundle(root)
    kind = MonaiDetection if folder.is_detection else MonaiSegmentation
    bundle = ShelvedBundle(
        folder.name,
        runner.device,
        _shelf(device, threads, limit_bytes),
        lambda: kind(folder, runner.device_name, runner.compute),
    )
    bundle.warm()  # what is wrong with it is to be known at the start
    return bundle


@cache
def _shelf(device: str, threads: int, limit_bytes: int) -> Shelf:
    """One for all bundles of a device."""
    runner = _runner(device, threads)
    return Shelf(runner.compute.memory, limit_bytes, runner.release)
