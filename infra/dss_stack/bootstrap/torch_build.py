"""Chooses the build of torch to install: with CUDA only if there is an NVIDIA GPU."""

import os
from collections.abc import Sequence
from pathlib import Path

from dss_stack.errors import StackError

SETTING = "DSS_TORCH_CPU"
"""Variable with the address of a package index, or a folder of wheels, that has torch's build for CPUs."""

_GPU_SIGNS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""Files that exist if there is a GPU: of NVIDIA's driver on Linux, and of the GPU that Windows gives to its Linux."""


def has_gpu(signs: Sequence[Path] = _GPU_SIGNS) -> bool:
    """True if this machine has an NVIDIA GPU that processes can use: one of the files ``signs`` exists."""
    return any(sign.exists() for sign in signs)


def cpu_source(*, gpu: bool) -> list[str]:
    """Options with which pip installs only torch, from the package index or the folder in DSS_TORCH_CPU.

    Empty if there is a GPU or the setting is blank.  Raises StackError if the setting is neither an address nor a
    folder.
    """
    place = os.environ.get(SETTING, "").strip()
    if gpu or not place:
        return []
    if "://" in place:
        return ["--no-deps", "--index-url", place]
    if not Path(place).is_dir():
        raise StackError(
            f"{SETTING} is '{place}', which is no folder here; it needs the address of a package index "
            "or a folder of wheels with torch's build for CPUs."
        )
    return ["--no-deps", "--no-index", "--find-links", str(Path(place).absolute())]


def advice(cuda_bytes: int) -> str:
    """A sentence for a machine without a GPU onto which CUDA's libraries would be downloaded."""
    return (
        f"This machine has no NVIDIA GPU, and {cuda_bytes / 1e9:.1f} GB of this are CUDA libraries. To do "
        f"without them, press Ctrl-C, set {SETTING} to an index or a folder of wheels that has torch's "
        "build for CPUs (torch's own installation page names the index), and call make again."
    )
