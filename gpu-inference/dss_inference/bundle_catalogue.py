"""The bundles that a worker can serve.  A bundle's modules, and torch, are imported when it is loaded."""

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dss_inference.bundle import Bundle
from dss_inference.bundle_cache import BundleCache, CachedBundle
from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.bundle_checks import open_bundle, problems
from dss_inference.monai_bundles.folder import is_bundle
from dss_inference.monai_bundles.unusable_bundle import UnusableBundle
from dss_inference.settings import DEFAULT_BUNDLE_BYTES
from dss_inference.worker_metrics import loading

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from dss_inference.device.runner import Runner

DEMO_BUNDLES = Path(__file__).parent / "demo_bundles"
"""Example MONAI bundles that come with the program; a worker serves one only if ``--bundle`` names it."""


@cache
def _runner(device: str, threads: int) -> "Runner":
    """The runner of all bundles on ``device``, made once, so that they share the device's thread."""
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
"""Functions that make the built-in bundles, by name; their arguments are a device (``auto``, ``cpu``, ``cuda:N``) and a
number of CPU threads.
"""


def installed_in(folder: Path | None) -> dict[str, Path]:
    """Folders of MONAI bundles by name: the subfolders of ``folder`` that hold a bundle, usable or not; {} if
    ``folder`` is None or missing.  Subfolders that cannot be read, or whose name is not UTF-8, are left out.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        log.warning("no folder of bundles", extra={"DSS_BUNDLES": str(folder)})
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if _is_installed(path)}


def _is_installed(path: Path) -> bool:
    """True if the folder holds a MONAI bundle.  False for a folder that cannot be read or whose name is not UTF-8; that
    is logged.
    """
    try:
        path.name.encode()
        return is_bundle(path)
    except (OSError, ValueError) as error:
        log.warning("folder among the bundles left out", extra={"reason": str(error)})
        return False


def monai_bundles(installed: Path | None) -> dict[str, Path]:
    """Folders of MONAI bundles by name: the example bundles, and those in the folder ``installed``, which replace
    example bundles of the same name.
    """
    return installed_in(DEMO_BUNDLES) | installed_in(installed)


def name_problem(name: str) -> str:
    """Why a MONAI bundle called ``name`` in the folder of installed bundles cannot be served; "" if its name is free."""
    if name not in BUNDLES:
        return ""
    return f"Its name {name!r} is that of a built-in bundle; rename its folder."


def _require_free_name(name: str, installed: Path | None) -> None:
    """Raises InferenceError if the folder ``installed`` has a bundle with the name of the built-in one ``name``."""
    if (problem := name_problem(name)) and name in installed_in(installed):
        raise InferenceError(f"A bundle in DSS_BUNDLES cannot be told from another. {problem}")


def load(
    name: str,
    device: str,
    threads: int,
    installed: Path | None = None,
    limit_bytes: int = DEFAULT_BUNDLE_BYTES,
) -> Bundle:
    """Load a bundle by its name.  The first of these is used: a built-in bundle, one in the folder ``installed``, an
    example bundle, the MONAI bundle at the path ``name``.

    MONAI bundles together keep at most ``limit_bytes`` of memory; see ``bundle_cache``.  Raises InferenceError if there
    is no such bundle, if it cannot be used, if a built-in and an installed bundle have that name, or if there is no
    such device, and other errors of a MONAI bundle's code.
    """
    _require_free_name(name, installed)
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
    """Load a bundle by its name, so that a worker serves it.  A MONAI bundle in the folder ``installed``, or an example
    bundle, that cannot be used becomes an UnusableBundle, which answers each request with the reason.  Without such a
    bundle, ``load`` finds a built-in one or that at the path ``name``.

    Raises InferenceError if there is no such bundle or device, if a built-in and an installed bundle have that name, or
    if the MONAI bundle at a path cannot be used.
    """
    _require_free_name(name, installed)
    root = monai_bundles(installed).get(name)
    if root is None:
        return load(name, device, threads, installed, limit_bytes)
    _runner(device, threads)  # raises here for a missing device, which is no fault of the bundle
    try:
        if wrong := problems(root):
            return UnusableBundle(name, wrong)
        return _monai(root, device, threads, limit_bytes)
    except InferenceError as error:
        return UnusableBundle(name, [str(error)])
    except Exception as error:  # the configuration runs foreign code, which must not stop the worker's other bundles
        log.exception("bundle not loaded", extra={"bundle": name})
        return UnusableBundle(name, [f"It could not be loaded: {type(error).__name__}: {error}."])


def _monai(root: Path, device: str, threads: int, limit_bytes: int) -> Bundle:
    from dss_inference.monai_bundles.detection import MonaiDetection  # noqa: PLC0415  (MONAI)
    from dss_inference.monai_bundles.segmentation import MonaiSegmentation  # noqa: PLC0415  (MONAI)

    runner = _runner(device, threads)
    folder = open_bundle(root)
    kind = MonaiDetection if folder.is_detection else MonaiSegmentation
    bundle = CachedBundle(
        folder.name,
        runner.device,
        _cache(device, threads, limit_bytes),
        lambda: kind(folder, runner.device_name, runner.compute),
    )
    bundle.load()  # so that a fault is found at the start, not by the first request
    return bundle


@cache
def _cache(device: str, threads: int, limit_bytes: int) -> BundleCache:
    """The cache that all MONAI bundles of a device share.  ``limit_bytes`` is its limit."""
    runner = _runner(device, threads)
    return BundleCache(runner.compute.memory, limit_bytes, runner.release)
