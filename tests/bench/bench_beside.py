"""CPU seconds and peak memory of lungs and nodules at 512x512x300, beside those of an earlier commit.

``python tests/bench/bench_beside.py COMMIT``: checks that commit out into a folder of its own, and runs
``dss-inference bundle run`` of both on the same phantom by turns, in this environment, so that what else the machine
does hurts both.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

ROOT = Path(__file__).parents[2]
FOLDERS = ("broker", "gpu-inference", "observability")
BUNDLES = ("lung-segmentation", "nodule-detection")
PHANTOM = ("--spacing", "0.7", "0.7", "1.1", "--size")


@dataclass(frozen=True, kw_only=True)
class Run:
    """``cpu_s`` of the process from start to end, all that it imports included; ``peak_gb`` is its resident memory."""

    cpu_s: float
    peak_gb: float


def bench(
    commit: str,
    runs: Annotated[int, typer.Option(help="Of each, in turn.", min=1)] = 3,
    size: Annotated[tuple[int, int, int], typer.Option(help="Voxels.")] = (512, 512, 300),
) -> None:
    with tempfile.TemporaryDirectory() as name, _checked_out(commit, Path(name)) as earlier:
        folder = Path(name)
        _python(ROOT, "-m", "dss_phantom", name, *PHANTOM, *map(str, size))
        for bundle in BUNDLES:
            found: dict[str, list[Run]] = {commit: [], "now": []}
            for _ in range(runs):
                for title, root in ((commit, earlier), ("now", ROOT)):
                    found[title].append(_measured(root, bundle, folder))
            for title, of in found.items():
                typer.echo(
                    f"{bundle}, {title}: {median(r.cpu_s for r in of):.1f} CPU s "
                    f"({min(r.cpu_s for r in of):.1f} to {max(r.cpu_s for r in of):.1f}), "
                    f"peak {max(r.peak_gb for r in of):.2f} GB"
                )


@contextmanager
def _checked_out(commit: str, folder: Path) -> Iterator[Path]:
    root = folder / "earlier"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", "--quiet", str(root), commit], check=True)
    try:
        yield root
    finally:
        subprocess.run([*git, "remove", "--force", str(root)], check=True)


def _measured(root: Path, bundle: str, folder: Path) -> Run:
    command = ["-m", "dss_inference", "bundle", "run", bundle, str(folder / "ct.nii.gz")]
    used = _python(root, *command, "-o", str(folder / "out"))
    return Run(cpu_s=used.ru_utime + used.ru_stime, peak_gb=used.ru_maxrss / 1e6)


def _python(root: Path, *arguments: str) -> "os.struct_rusage":  # type: ignore[name-defined] # typeshed hides it
    """Run Python with the packages of ``root``, and return what it used."""
    path = os.pathsep.join(str(root / folder) for folder in FOLDERS)
    environment = {**os.environ, "PYTHONPATH": path, "DSS_DEVICE": "cpu"}
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return used


if __name__ == "__main__":
    typer.run(bench)
