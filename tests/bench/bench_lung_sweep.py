"""How lungs are found, and what the verdict says, over factors, crops, turns and diseases.

``python tests/bench/bench_lung_sweep.py``: phantoms of seeds 1, 2, ... and the real images (DSS_SHARED_DATA).
Limits were fitted on even seeds and the real images; the table holds odd seeds, unless ``--fitted`` asks
for the even ones and the real images.  A kind reaches its goal if 95 % have a Dice of 0.95, or with a disease
if none below 0.9 is good.
"""

import resource
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from dss_inference.device.runner import Runner, runner_for
from support.lung_cases import Case, combined, factors, phantom, real, thick
from support.lung_judging import NONE, Judged, judged

LEAST_ML = 100.0
"""Of lung in view; what shows less is left out."""
VERDICTS = ("good", "look at it", "not usable", NONE)


@dataclass(frozen=True, kw_only=True)
class Row:
    case: Case
    judged: Judged


def bench(
    phantoms: Annotated[int, typer.Option(help="How many.", min=1)] = 20,
    combinations: Annotated[int, typer.Option(help="Random ones of each phantom.", min=0)] = 5,
    spacing: Annotated[float, typer.Option(help="mm, unless slices are the factor.")] = 3.0,
    *,
    fitted: Annotated[bool, typer.Option(help="What limits were fitted on.")] = False,
    slices: Annotated[bool, typer.Option(help="Thin and thick slices, too.")] = True,
    shared_data: Annotated[Path | None, typer.Option(envvar="DSS_SHARED_DATA")] = None,
) -> None:
    runner = runner_for("cpu", 2)
    start = time.monotonic()
    cases = _real(shared_data) if fitted and shared_data else iter(())
    rows = [Row(case=lean(c), judged=judged(c.chest, runner)) for c in cases]
    first = 2 if fitted else 1
    for seed in range(first, first + 2 * phantoms, 2):
        made = _made(seed, combinations, spacing, runner, slices=slices)
        rows += [Row(case=lean(c), judged=judged(c.chest, runner)) for c in made]
        typer.echo(f"seed {seed}: {time.monotonic() - start:.0f} s", err=True)
    _tell(rows)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    typer.echo(f"{time.monotonic() - start:.0f} s, peak memory {peak_gb:.2f} GB")


def lean(case: Case) -> Case:
    """Without its voxels."""
    empty = np.zeros((0, 0, 0), np.int16)
    return replace(case, chest=replace(case.chest, hu=empty, truth=empty.astype(np.uint8)))


def _real(folder: Path) -> Iterator[Case]:
    for name, chest in real(folder):
        for case in factors(0, chest):
            yield replace(case, name=f"{name} {case.name}")


def _made(
    seed: int, combinations: int, spacing: float, runner: Runner, *, slices: bool
) -> Iterator[Case]:
    base = phantom(seed, runner, (spacing, spacing, spacing))
    yield from factors(seed, base)
    for number in range(combinations):
        yield combined(seed * 1000 + number, base)
    if slices:
        yield from thick(seed, runner)


def _tell(rows: Sequence[Row]) -> None:
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.judged.true_ml >= LEAST_ML:
            kinds[row.case.kind].append(row)
    typer.echo(f"{'kind':20} cases  Dice: least  median  >=0.95   {'  '.join(VERDICTS)}   goal")
    for kind, of in kinds.items():
        scores = [r.judged.dice for r in of]
        high = sum(s >= 0.95 for s in scores) / len(of)
        counts = [sum(r.judged.verdict == v for r in of) for v in VERDICTS]
        said = "  ".join(f"{n:{len(v)}}" for n, v in zip(counts, VERDICTS, strict=True))
        typer.echo(
            f"{kind:20} {len(of):5}  {min(scores):11.3f}  {np.median(scores):6.3f}  {high:6.0%}   "
            f"{said}   {'reached' if _reached(of) else 'MISSED'}"
        )
    _tell_calibration([r for of in kinds.values() for r in of])


def _reached(rows: Sequence[Row]) -> bool:
    if any(r.judged.dice < 0.9 and r.judged.verdict == "good" for r in rows):
        return False
    if rows[0].case.diseased:
        return True
    return sum(r.judged.dice >= 0.95 for r in rows) >= 0.95 * len(rows)


def _tell_calibration(rows: Sequence[Row]) -> None:
    bad = [r for r in rows if r.judged.dice < 0.9]
    best = [r for r in rows if r.judged.dice > 0.97]
    good = [r for r in best if r.judged.verdict == "good"]
    wrong = [r for r in bad if r.judged.verdict == "good"]
    typer.echo(f"below 0.9: {len(bad)}, of these good: {len(wrong)}")
    typer.echo(f"above 0.97: {len(best)}, of these good: {len(good)}")
    crossed = sum(r.judged.wrong_side > 0.02 for r in rows)
    unknown = sum(r.judged.unknown_side for r in rows)
    typer.echo(f"{len(rows)} cases: wrong side {crossed}, side unknown {unknown}")
    for r in sorted(rows, key=lambda r: r.judged.dice)[:15]:
        case = r.case
        typer.echo(
            f"  {r.judged.dice:.3f} {r.judged.verdict:12} {case.kind}, {case.name}, seed {case.seed}"
        )


if __name__ == "__main__":
    typer.run(bench)
