# mypy: allow-untyped-calls
"""How many nodules of phantoms are found, and how many false candidates come with them.

``python tests/bench/bench_nodules.py``: phantoms flatter, for they have few vessels and no disease.
The seeds 1 to 20 were looked at when the scores were made; so the default begins after them.
"""

import time
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import typer

from dss_inference.images import HIGHEST_HU, LOWEST_HU
from dss_inference.lungs.segment import segment_lungs
from dss_inference.nodules.candidates import candidates_in
from dss_inference.nodules.lungspace import lung_space
from dss_inference.phantom.chest import Phantom, PhantomSpec, make_phantom
from dss_inference.runner import Runner, runner_for

SCORES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9)
NEAREST_MM = 2.0
FALSE = -1


def bench(
    first: Annotated[int, typer.Option(help="The first seed.")] = 21,
    phantoms: Annotated[int, typer.Option(help="How many.", min=1)] = 20,
    nodules: Annotated[int, typer.Option(help="In each of them.", min=1)] = 5,
) -> None:
    runner = runner_for("auto", 2)
    scored: list[tuple[float, int, int]] = []
    total = 0
    for seed in range(first, first + phantoms):
        spec = PhantomSpec(
            size=(350, 260, 340), spacing_mm=(1.0, 1.0, 1.0), seed=seed, nodules=nodules
        )
        phantom = make_phantom(spec, runner)
        start = time.monotonic()
        scored += [(score, seed, hit) for score, hit in _judged(phantom, runner)]
        total += len(phantom.nodules)
        typer.echo(f"seed {seed}: {time.monotonic() - start:.1f} s", err=True)
    typer.echo("score  found  false candidates in each phantom")
    for least in SCORES:
        found = {(seed, hit) for s, seed, hit in scored if s >= least and hit != FALSE}
        wrong = sum(s >= least and hit == FALSE for s, _, hit in scored)
        typer.echo(f"{least:5.2f}  {len(found) / total:5.3f}  {wrong / phantoms:5.2f}")


def _judged(phantom: Phantom, runner: Runner) -> Iterator[tuple[float, int]]:
    """The score of each candidate, and the number of the nodule that it lies in, or FALSE."""
    hu = np.clip(sitk.GetArrayFromImage(phantom.ct), LOWEST_HU, HIGHEST_HU)
    spacing_mm = (1.0, 1.0, 1.0)
    lungs = segment_lungs(hu, spacing_mm, runner, lambda *_: None)
    space = lung_space(hu, lungs, spacing_mm, runner)
    for candidate in candidates_in(space, lambda *_: None):
        index = space.in_image(candidate.shape.centre)[::-1]
        place = phantom.ct.TransformContinuousIndexToPhysicalPoint(index.tolist())
        away = [float(np.linalg.norm(place - n.centre_mm)) for n in phantom.nodules]
        nearest = int(np.argmin(away))
        within_mm = max(NEAREST_MM, phantom.nodules[nearest].diameter_mm / 2)
        yield candidate.score, nearest if away[nearest] <= within_mm else FALSE


if __name__ == "__main__":
    typer.run(bench)
