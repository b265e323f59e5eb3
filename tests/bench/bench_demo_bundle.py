"""How well the DEMO bundle finds lungs, in the cases that its README tells of.

``python tests/bench/bench_demo_bundle.py [bundle]``: Dice and seconds on ten phantoms that it has not seen,
and on the real volumes of DSS_SHARED_DATA.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from dss_inference.bundle_catalogue import load
from dss_inference.device.runner import runner_for
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_phantom.files import write_phantom
from support.references import (
    BASES,
    BASES_REFERENCE,
    CHEST,
    CHEST_REFERENCE,
    Voxels,
    dice,
    lobes_as_sides,
    thirds_as_sides,
    voxels_of,
)

SHARED = Path(
    os.environ.get("DSS_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
SEEDS = range(1, 11)


def main() -> None:
    warnings.simplefilter("ignore")
    name = sys.argv[1] if len(sys.argv) > 1 else "lung-segmentation-demo"
    bundle = load(name, "cpu", 2)
    for case, image, truth in _cases():
        with tempfile.TemporaryDirectory() as folder:
            outcome = bundle.run(image, Path(folder), {}, lambda *_: None, lambda: False)
            score = dice(voxels_of(outcome.segmentation), truth)
        shown = "  ".join(f"{side} {value:.3f}" for side, value in score.items())
        typer.echo(f"{case:24} {shown}  {sum(outcome.stage_seconds.values()):5.1f} s")


def _cases() -> Iterator[tuple[str, Path, Voxels]]:
    if SHARED.is_dir():
        yield CHEST, SHARED / CHEST, thirds_as_sides(voxels_of(SHARED / CHEST_REFERENCE))
        yield BASES[-24:], SHARED / BASES, lobes_as_sides(voxels_of(SHARED / BASES_REFERENCE))
    runner = runner_for("cpu", 2)
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            write_phantom(make_phantom(PhantomSpec(seed=seed), runner), Path(folder))
            truth = voxels_of(Path(folder) / "truth.nii.gz")
            yield f"phantom {seed}", Path(folder) / "ct.nii.gz", truth


if __name__ == "__main__":
    main()
