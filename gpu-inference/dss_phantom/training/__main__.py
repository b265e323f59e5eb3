# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""``python -m dss_phantom.training``: makes the weights of the DEMO bundle anew, in about 20 CPU minutes."""

from pathlib import Path
from typing import Annotated

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import typer
from rich.progress import Progress

from dss_inference.device.runner import Runner, runner_for
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_phantom.training.fitting import fit, save_half
from dss_phantom.training.variation import STEP_MM, Person

FIRST_PERSON = 1000
"""First seed of the phantoms for training; tests use smaller seeds."""


def train(
    folder: Annotated[Path, typer.Argument(help="The bundle whose weights are to be made.")],
    *,
    people: Annotated[int, typer.Option(help="Phantoms to learn from.", min=1)] = 40,
    steps: Annotated[int, typer.Option(min=1)] = 1000,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Write models/model.pt of a bundle that marks the lungs, learned from phantoms alone."""
    runner = runner_for("cpu", threads)
    with Progress() as bar:
        line = bar.add_task("making people", total=people)
        known = []
        for number in range(FIRST_PERSON, FIRST_PERSON + people):
            known.append(_person(number, runner))
            bar.advance(line)
        line = bar.add_task("learning", total=steps)
        network = fit(
            folder / "configs" / "inference.json",
            known,
            steps=steps,
            seed=seed,
            on_step=lambda step, loss: bar.update(
                line, completed=step + 1, description=f"learning, loss {loss:.3f}"
            ),
        )
    save_half(network, folder / "models" / "model.pt")


def _person(seed: int, runner: Runner) -> Person:
    spec = PhantomSpec(size=(90, 80, 105), spacing_mm=(STEP_MM,) * 3, seed=seed)
    made = make_phantom(spec, runner)
    return Person(
        hu=sitk.GetArrayFromImage(made.ct).astype(np.float32),
        truth=sitk.GetArrayFromImage(made.truth),
    )


if __name__ == "__main__":
    typer.run(train)
