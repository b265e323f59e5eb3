# mypy: allow-untyped-calls
"""How long, how much memory and how exact: lungs of a phantom as large as a clinical chest CT.

``python tests/bench/bench_lungs.py``: makes the phantom once, then starts ``dss-inference bundle run`` on it,
so that the seconds hold all that a user waits for.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import typer

PROGRAM = [sys.executable, "-m", "dss_inference"]


def bench(
    runs: Annotated[int, typer.Option(help="How often.", min=1)] = 3,
    size: Annotated[tuple[int, int, int], typer.Option(help="Voxels.")] = (512, 512, 300),
    spacing: Annotated[tuple[float, float, float], typer.Option(help="mm.")] = (0.7, 0.7, 1.0),
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = ["--size", *map(str, size), "--spacing", *map(str, spacing)]
        made = [sys.executable, "-m", "dss_phantom", str(folder), *grid]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        for number in range(1, runs + 1):
            seconds, said = _call(
                "bundle", "run", "lung-segmentation", str(folder / "ct.nii.gz"), "-o", name
            )
            typer.echo(f"run {number}: {seconds:.1f} s from start to end\n{said}")
        typer.echo(f"peak memory {_peak_gb():.2f} GB")
        for side, dice in _dice(folder).items():
            typer.echo(f"Dice of the {side} lung {dice:.4f}")


def _call(*arguments: str) -> tuple[float, str]:
    start = time.monotonic()
    done = subprocess.run(
        [*PROGRAM, *arguments], check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    return time.monotonic() - start, done.stdout


def _peak_gb() -> float:
    """Of the largest process that was started, the making of the phantom included."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def _dice(folder: Path) -> dict[str, float]:
    found, truth = (
        sitk.GetArrayFromImage(sitk.ReadImage(folder / f"{name}.nii.gz"))
        for name in ("segmentation", "truth")
    )
    return {
        side: 2
        * float(np.sum((found == value) & (truth == value)))
        / float(np.sum(found == value) + np.sum(truth == value))
        for side, value in (("left", 1), ("right", 2))
    }


if __name__ == "__main__":
    typer.run(bench)
