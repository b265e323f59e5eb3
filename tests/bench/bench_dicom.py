# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A DICOM series of 500 slices: our reading against SimpleITK's own series reader, side by side.

``python tests/bench/bench_dicom.py``: each reading is a process of its own, the two sides take turns, and
imports do not count.  Memory is the growth of the process's peak beyond what it had before it began to read, in
images.  SimpleITK looks for the files of the series and reads them; it judges nothing.  Files lie in a temporary
folder, and are read once before, so that the disk does not count either.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.dicom_series import SERIES, Plane, write, write_enhanced

MOST_TIME = 1.5
MOST_MEMORY = 1.3


@dataclass(frozen=True, kw_only=True)
class Reading:
    """``images`` is the growth of memory; ``steps`` how often progress was told."""

    seconds: float
    images: float
    steps: int


def bench(
    slices: Annotated[int, typer.Option(min=4)] = 500,
    size: Annotated[int, typer.Option(min=16)] = 512,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    enhanced: Annotated[
        bool, typer.Option("--enhanced/--plain", help="One file of frames too.")
    ] = True,
) -> None:
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name:
        planes = _planes(slices, size)
        plain = write(Path(name) / "plain", planes)
        _compare("plain files", plain, rounds)
        if enhanced:
            _compare("one enhanced file", write_enhanced(Path(name) / "enhanced", planes), rounds)


def _planes(slices: int, size: int) -> list[Plane]:
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 4096, (size, size)).astype(np.int16)
    first = Plane(position=(0.0, 0.0, 0.0), spacing=(0.7, 0.7), stored=stored, intercept=-1024.0)
    return [
        replace(
            first,
            position=(0.0, 0.0, 0.7 * k),
            number=k + 1,
            name=f"CT.{k + 1:04d}.dcm",
            stored=np.roll(stored, k),
        )
        for k in range(slices)
    ]


def _compare(kind: str, folder: Path, rounds: int) -> None:
    for path in folder.iterdir():
        path.read_bytes()
    pairs = [(_read("ours", folder), _read("theirs", folder)) for _ in range(rounds)]
    ratios = [ours.seconds / theirs.seconds for ours, theirs in pairs]
    typer.echo(f"\n{kind:<20}{'seconds':>9}{'memory':>9}   (memory in images, beyond the start)")
    for side, readings in zip(("ours", "SimpleITK"), zip(*pairs, strict=True), strict=True):
        seconds = statistics.median(r.seconds for r in readings)
        typer.echo(f"{side:<20}{seconds:>9.2f}{max(r.images for r in readings):>9.2f}")
    memory, steps = max(ours.images for ours, _ in pairs), pairs[0][0].steps
    verdict = "ok" if statistics.median(ratios) < MOST_TIME and memory < MOST_MEMORY else "TOO MUCH"
    typer.echo(
        f"ratio of the times: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to "
        f"{max(ratios):.2f}; progress told {steps} times: {verdict}"
    )


def _read(side: str, folder: Path) -> Reading:
    done = subprocess.run(
        [sys.executable, __file__, "--as", side, str(folder)],
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    return Reading(**json.loads(done.stdout))


def _child(side: str, folder: Path) -> None:
    import SimpleITK as sitk  # noqa: PLC0415, N813  (slow to load)

    from dss_images.dicom.reading import read  # noqa: PLC0415  (slow to load)

    steps: list[float] = []
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    watch = _Peak()
    began_s = time.perf_counter()
    if side == "ours":
        image = read(folder, progress=steps.append).image
    else:
        files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), SERIES)
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        image = reader.Execute()
    seconds = time.perf_counter() - began_s
    size_bytes = np.prod(image.GetSize()) * image.GetSizeOfPixelComponent()
    found = {"seconds": seconds, "images": watch.stop() / float(size_bytes), "steps": len(steps)}
    sys.stdout.write(json.dumps(found))


class _Peak(threading.Thread):
    """Looks every 2 ms at how much memory the process has."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self._before = self._most = _resident_bytes()
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.002):
            self._most = max(self._most, _resident_bytes())

    def stop(self) -> int:
        self._ended.set()
        return max(self._most, _resident_bytes()) - self._before


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        _child(sys.argv[2], Path(sys.argv[3]))
    else:
        typer.run(bench)
