"""Stops the build of a container image that has packages or libraries which its program must not have.

``contents.py PROGRAM DEVICE`` runs with the image's own Python and the standard library alone.
"""

import re
import sys
import sysconfig
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

TOOLS = frozenset({"pip", "setuptools", "wheel"})
FORBIDDEN = {
    "portal": TOOLS | {"torch", "monai", "simpleitk", "numpy", "scipy", "pydicom"},
    "dispatch": TOOLS | {"torch", "monai", "scipy", "quart", "tortoise-orm"},
    "inference": TOOLS - {"setuptools"}
    | {"quart", "tortoise-orm", "asyncpg"},  # torch needs setuptools
    "client": TOOLS | {"torch", "monai", "scipy", "quart", "tortoise-orm", "pika"},
    "imaging": TOOLS,
    "torch": frozenset[str](),
}

_CUDA = re.compile(r"lib(torch_cuda|cudart|cublas|cudnn|nccl|cufft|nvrtc)[^a-z].*so")


def problems(program: str, device: str, names: Iterable[str], files: Iterable[str]) -> list[str]:
    """A sentence for each of the distributions ``names`` and for CUDA libraries among ``files`` that an image of
    ``program`` for ``device`` (cpu or cuda) must not have.
    """
    wrong = sorted(FORBIDDEN[program] & {name.lower() for name in names})
    found = [f"The image of {program} must not hold {name}." for name in wrong]
    cuda = sorted({Path(file).name for file in files if _CUDA.match(Path(file).name)})
    if device == "cpu" and cuda:
        found.append(
            f"The image is for CPUs and holds {len(cuda)} libraries of CUDA, such as {cuda[0]}: "
            "name an index or a folder that has torch's build for CPUs (--build-arg TORCH_CPU=...)."
        )
    return found


def main(program: str, device: str) -> None:
    """Check the image in which this runs, and exit with its problems if it has any."""
    if device not in {"cpu", "cuda"}:
        sys.exit(f"DEVICE must be cpu or cuda, not '{device}'.")
    names = [distribution.metadata["Name"] for distribution in distributions()]
    found = problems(
        program, device, names, map(str, Path(sysconfig.get_path("purelib")).rglob("*.so*"))
    )
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
