# mypy: allow-untyped-calls
"""How many nodules of phantoms are found with how many false candidates, and how large they are read.

``python tests/bench/bench_nodules.py``: phantoms flatter, for they have few vessels and no disease.
The seeds 1 to 20 were looked at when the scores were made; so the default begins after them.
``--full`` measures seconds and memory at 512x512x300 instead.  With DSS_SHARED_DATA set the real slab has a line.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import typer

from dss_inference.bundle_catalogue import load
from dss_inference.ct.reading import HIGHEST_HU, LOWEST_HU
from dss_inference.device.runner import Runner, runner_for
from dss_inference.lungs.segment import lungs_in
from dss_inference.nodules.candidates import LEAST_SCORE, candidates_in
from dss_inference.nodules.lungspace import lung_space
from dss_inference.nodules.outline import outline_of
from dss_phantom.chest import Phantom, PhantomSpec, make_phantom
from dss_phantom.nodules import Nodule

FALSE_A_SCAN = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
CLASSES_MM = ((3, 6), (6, 10), (10, 15), (15, 25))
NEAREST_MM = 2.0
FALSE = -1
SPACING_MM = (1.0, 1.0, 1.0)
FULL = ("--size", "512", "512", "300", "--spacing", "0.7", "0.7", "1.1")
NODULE_STAGES = ("enlarging the lungs", "looking for bright spots", "measuring their shape")


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A candidate; ``hit`` is the number of the nodule of phantom ``seed`` that it lies in, or FALSE."""

    seed: int
    score: float
    hit: int
    read_mm: float
    true_mm: float


def bench(
    first: Annotated[int, typer.Option(help="The first seed.")] = 21,
    phantoms: Annotated[int, typer.Option(help="How many.", min=1)] = 20,
    nodules: Annotated[int, typer.Option(help="In each of them.", min=1)] = 5,
    *,
    full: Annotated[bool, typer.Option(help="Seconds and memory of a clinical size.")] = False,
    shared_data: Annotated[Path | None, typer.Option(envvar="DSS_SHARED_DATA")] = None,
) -> None:
    if full:
        _tell_full()
        return
    runner = runner_for("auto", 2)
    marked: list[Marked] = []
    total = 0
    for seed in range(first, first + phantoms):
        spec = PhantomSpec(size=(350, 260, 340), spacing_mm=SPACING_MM, seed=seed, nodules=nodules)
        phantom = make_phantom(spec, runner)
        start = time.monotonic()
        marked += _judged(phantom, seed, runner)
        total += len(phantom.nodules)
        typer.echo(f"seed {seed}: {time.monotonic() - start:.1f} s", err=True)
    _tell_froc(marked, total, phantoms)
    _tell_diameters(marked)
    if shared_data is not None:
        _tell_slab(shared_data / "lidc")


def _judged(phantom: Phantom, seed: int, runner: Runner) -> Iterator[Marked]:
    """Down to scores that nobody is shown."""
    hu = np.clip(sitk.GetArrayFromImage(phantom.ct), LOWEST_HU, HIGHEST_HU)
    lungs = lungs_in(hu, SPACING_MM, runner, lambda *_: None).sides
    space = lung_space(hu, lungs, SPACING_MM, runner)
    for candidate in candidates_in(space, lambda *_: None, most=100, least=0.02):
        index = space.in_image(candidate.shape.centre)[::-1]
        place = phantom.ct.TransformContinuousIndexToPhysicalPoint(index.tolist())
        away = [float(np.linalg.norm(place - n.centre_mm)) for n in phantom.nodules]
        nearest = int(np.argmin(away))
        nodule = phantom.nodules[nearest]
        yield Marked(
            seed=seed,
            score=candidate.score,
            hit=nearest if away[nearest] <= max(NEAREST_MM, nodule.diameter_mm / 2) else FALSE,
            read_mm=outline_of(candidate.shape, space, hu, SPACING_MM).diameter_mm,
            true_mm=_true_mm(nodule, phantom),
        )


def _true_mm(nodule: Nodule, phantom: Phantom) -> float:
    """Longest in any axial slice of what was painted, bumps and all, without what the chest wall hides."""
    steps = np.arange(-0.7 * nodule.diameter_mm, 0.7 * nodule.diameter_mm, 0.4)
    z, y, x = np.meshgrid(steps, steps, steps, indexing="ij")
    points = np.stack([x, y, z], -1) + nodule.centre_mm
    within = (nodule.depth_mm(points) > 0) & _in_lung(points, phantom.truth)
    return max(_farthest_mm(np.argwhere(row) * 0.4) + 0.4 for row in within if row.any())


def _in_lung(points: npt.NDArray[np.float64], truth: sitk.Image) -> npt.NDArray[np.bool_]:
    """``truth`` has voxels of 1 mm and straight axes."""
    index = np.rint(points - truth.GetOrigin()).astype(int)[..., ::-1]
    voxels = sitk.GetArrayViewFromImage(truth)
    index = np.clip(index, 0, np.array(voxels.shape) - 1)
    return np.asarray(voxels[tuple(np.moveaxis(index, -1, 0))] > 0, bool)


def _farthest_mm(points_mm: npt.NDArray[np.floating]) -> float:
    angles = np.deg2rad(np.arange(0, 180, 5))
    return float(np.ptp(points_mm @ np.stack([np.sin(angles), np.cos(angles)]), axis=0).max())


def _tell_froc(marked: Sequence[Marked], total: int, phantoms: int) -> None:
    typer.echo(f"false candidates a scan  found of {total}  score at least")
    points = [(*_rates(marked, least, total, phantoms), least) for least in _scores(marked)]
    reached = []
    for most in FALSE_A_SCAN:
        found, least = max((f, s) for f, wrong, s in points if wrong <= most)
        reached.append(found)
        typer.echo(f"{most:23.3f}  {found:12.3f}  {least:14.2f}")
    typer.echo(f"mean of these: {np.mean(reached):.3f}")
    found, wrong = _rates(marked, LEAST_SCORE, total, phantoms)
    typer.echo(f"default, score {LEAST_SCORE}: {found:.3f} at {wrong:.2f} false a scan")


def _scores(marked: Sequence[Marked]) -> list[float]:
    return [2.0, *sorted({one.score for one in marked})]


def _rates(
    marked: Sequence[Marked], least: float, total: int, phantoms: int
) -> tuple[float, float]:
    """Share of the nodules found, and false candidates a phantom."""
    shown = [one for one in marked if one.score >= least]
    found = {(one.seed, one.hit) for one in shown if one.hit != FALSE}
    return len(found) / total, sum(one.hit == FALSE for one in shown) / phantoms


def _tell_diameters(marked: Sequence[Marked]) -> None:
    """Of nodules that are shown; the best candidate of each."""
    shown = [one for one in marked if one.hit != FALSE and one.score >= LEAST_SCORE]
    best = {(one.seed, one.hit): one for one in sorted(shown, key=lambda one: one.score)}
    typer.echo("longest in-plane diameter  nodules  bias, mm  SD, mm  median error, %")
    for low, high in CLASSES_MM:
        pairs = [(one.read_mm, one.true_mm) for one in best.values() if low <= one.true_mm < high]
        if pairs:
            read, true = np.array(pairs).T
            off, share = read - true, np.median(np.abs(read / true - 1)) * 100
            typer.echo(
                f"{low:19} - {high:2} mm  {len(pairs):7}  {off.mean():+8.2f}  {off.std():6.2f}  {share:15.0f}"
            )


def _tell_slab(folder: Path) -> None:
    known = json.loads((folder / "LIDC-IDRI-0003_nodules.json").read_text(encoding="utf-8"))
    nodule = next(nodule for nodule in known if nodule["in_slab"])
    with tempfile.TemporaryDirectory() as scratch:
        outcome = load("nodule-detection", "auto", 2).run(
            folder / "LIDC-IDRI-0003_slab.nii.gz",
            Path(scratch),
            {},
            lambda *_: None,
            lambda: False,
        )
    typer.echo(f"real slab, readers: {nodule['diameter_mm']} mm at {nodule['center_lps']}")
    for mark in outcome.landmarks:
        away_mm = np.linalg.norm(np.array(mark.position_mm) - nodule["center_lps"])
        typer.echo(f"real slab, marked: {mark.text}, {away_mm:.1f} mm away")


def _tell_full() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        made = [sys.executable, "-m", "dss_phantom", scratch, *FULL]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        bundle = load("nodule-detection", "cpu", 2)
        start = time.monotonic()
        outcome = bundle.run(
            Path(scratch) / "ct.nii.gz", Path(scratch), {}, lambda *_: None, lambda: False
        )
        whole_s = time.monotonic() - start
    for stage, seconds in outcome.stage_seconds.items():
        typer.echo(f"{seconds:6.1f} s  {stage}")
    more_s = sum(outcome.stage_seconds[stage] for stage in NODULE_STAGES)
    typer.echo(f"whole {whole_s:.1f} s, of these {more_s:.1f} s beyond the lungs' (goal: 20)")
    typer.echo(f"peak {outcome.peak_memory_bytes / 1e9:.2f} GB (goal: 2.5)")


if __name__ == "__main__":
    typer.run(bench)
