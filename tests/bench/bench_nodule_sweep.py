"""How many nodules are found with how many false candidates, by slice thickness, disease, crop, turn and size.

``make bench-nodules``: phantoms of even seeds give thresholds for each thickness, those of odd seeds are reported.
Slices are means of thin ones (``averaged``), as a scanner makes them, or those of a phantom made in that grid
(``made``), which blurs in all directions.  ``--json FILE`` holds the same for programs.
"""

import json
import resource
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from dss_inference.device.runner import Runner, runner_for
from dss_inference.errors import InferenceError
from dss_inference.nodules.candidates import LEAST_SCORE
from support.nodule_cases import (
    PLACES,
    Nodular,
    Triple,
    in_slices,
    in_view,
    kinds,
    nodular,
    with_large,
)
from support.nodule_judging import FALSE, Searched, rates, searched, threshold

FALSE_A_SCAN = (0.5, 1, 2, 4, 8)
FITTED_FOR = (1, 4)
TOGETHER = {1.0: 1, 2.0: 2, 3.0: 3, 5.0: 5, 7.0: 7}
MADE_MM: tuple[Triple, ...] = ((0.5, 1.0, 1.0), (5.0, 1.0, 1.0), (7.0, 1.0, 1.0))
KIND_TOGETHER = 3
LARGE_MM: Triple = (2.0, 1.5, 1.5)

Thick = tuple[float, str]
Scans = dict[Thick, list[Searched]]


def bench(
    phantoms: Annotated[int, typer.Option(help="Of even and of odd seeds, each.", min=1)] = 6,
    of_kinds: Annotated[int, typer.Option(help="Phantoms for each kind.", min=0)] = 2,
    of_large: Annotated[int, typer.Option(help="Phantoms with large nodules.", min=0)] = 2,
    as_json: Annotated[Path | None, typer.Option("--json", help="Where to write it.")] = None,
) -> None:
    start, runner = time.monotonic(), runner_for("auto", 2)
    fitted = _by_thickness(range(2, 2 + 2 * phantoms, 2), runner, start)
    reported = _by_thickness(range(1, 1 + 2 * phantoms, 2), runner, start)
    rows = [_row(thick, reported[thick], fitted[thick]) for thick in sorted(reported)]
    by_kind = dict(_by_kind(range(1, 1 + 2 * of_kinds, 2), runner))
    large = dict(_by_size(range(1, 1 + 2 * of_large, 2), runner))
    _tell_rows(rows)
    _tell_kinds(by_kind)
    _tell_sizes(large)
    seconds = time.monotonic() - start
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    typer.echo(f"{seconds:.0f} s, peak memory {peak_gb:.2f} GB")
    if as_json is not None:
        facts = {"thickness": rows, "kinds": by_kind, "large": large, "seconds": seconds}
        as_json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _by_thickness(seeds: Iterable[int], runner: Runner, start: float) -> Scans:
    scans: Scans = defaultdict(list)
    for seed in seeds:
        for thick, case in _cases(seed, runner):
            scans[thick].append(searched(case, in_view(case, case), runner))
        typer.echo(f"seed {seed}: {time.monotonic() - start:.0f} s", err=True)
    return scans


def _cases(seed: int, runner: Runner) -> Iterator[tuple[Thick, Nodular]]:
    thin = nodular(seed, runner, (1.0, 1.0, 1.0))
    for thick_mm, together in TOGETHER.items():
        yield (thick_mm, "averaged"), in_slices(thin, together) if together > 1 else thin
    for spacing_mm in MADE_MM:
        yield (spacing_mm[0], "made"), nodular(seed, runner, spacing_mm)


def _row(thick: Thick, scans: list[Searched], fitted: list[Searched]) -> dict[str, object]:
    found, wrong = rates(scans, LEAST_SCORE)
    fit = {most: threshold(fitted, most) for most in FITTED_FOR}
    return {
        "slice_mm": thick[0],
        "slices": thick[1],
        "scans": len(scans),
        "nodules": sum(len(scan.nodules) for scan in scans),
        "found": found,
        "false": wrong,
        "most_false": max(sum(h == FALSE for _, h in scan.shown()) for scan in scans),
        "froc": {str(most): rates(scans, threshold(scans, most))[0] for most in FALSE_A_SCAN},
        "fitted": {str(most): (least, *rates(scans, least)) for most, least in fit.items()},
    }


def _by_kind(seeds: Iterable[int], runner: Runner) -> Iterator[tuple[str, dict[str, object]]]:
    """Refused images count as scans in which nothing is found."""
    scans: dict[str, list[Searched]] = defaultdict(list)
    refused: dict[str, int] = defaultdict(int)
    for seed in seeds:
        base = in_slices(nodular(seed, runner, (1.0, 1.0, 1.0)), KIND_TOGETHER)
        for kind, _, case in [("plain", "plain", base), *kinds(seed, base)]:
            places = in_view(case, base)
            try:
                scans[kind].append(searched(case, places, runner))
            except InferenceError:
                refused[kind] += 1
                scans[kind].append(Searched(nodules=tuple(places), marks=()))
        typer.echo(f"kinds, seed {seed}", err=True)
    for kind, of in scans.items():
        found, wrong = rates(of, LEAST_SCORE)
        nodules = sum(len(scan.nodules) for scan in of)
        yield (
            kind,
            {
                "scans": len(of),
                "nodules": nodules,
                "found": found,
                "false": wrong,
                "refused": refused[kind],
            },
        )


def _by_size(seeds: Iterable[int], runner: Runner) -> Iterator[tuple[str, dict[str, object]]]:
    best: dict[str, list[float]] = defaultdict(list)
    for seed in seeds:
        for place in PLACES:
            for case in with_large(seed, runner, LARGE_MM, place):
                (kind, diameter_mm), scan = (
                    case.nodules[1],
                    searched(case, in_view(case, case), runner),
                )
                scores = [score for score, hit in scan.shown(0.0) if hit != FALSE]
                best[f"{kind}, {diameter_mm:g} mm, {place}"].append(max(scores, default=0.0))
    for name, scores in best.items():
        found = sum(score >= LEAST_SCORE for score in scores)
        yield name, {"scans": len(scores), "found": found, "scores": scores}


def _tell_rows(rows: list[dict[str, object]]) -> None:
    most = "  ".join(f"{m:>4g}" for m in FALSE_A_SCAN)
    typer.echo(
        f"Odd seeds.  At the default score {LEAST_SCORE}; then found at so many false a scan;"
    )
    typer.echo("then found and false a scan at thresholds that leave 1 and 4 false on even seeds.")
    typer.echo(
        f"slice, mm  slices    scans nodules  found  false (most)   {most}   fitted, 1     fitted, 4"
    )
    for row in rows:
        froc, fitted = row["froc"], row["fitted"]
        assert isinstance(froc, dict)
        assert isinstance(fitted, dict)
        shares = "  ".join(f"{share:4.2f}" for share in froc.values())
        fits = "   ".join(f"{f:4.2f} at {w:4.1f}" for _, f, w in fitted.values())
        typer.echo(
            f"{row['slice_mm']:9}  {row['slices']:8}  {row['scans']:5} {row['nodules']:7}  {row['found']:5.2f}  "
            f"{row['false']:5.1f} ({row['most_false']:4})   {shares}   {fits}"
        )


def _tell_kinds(by_kind: dict[str, dict[str, object]]) -> None:
    typer.echo(f"kind, slices of {KIND_TOGETHER} mm  scans nodules  found  false  refused")
    for kind, row in by_kind.items():
        typer.echo(
            f"{kind:20}  {row['scans']:5} {row['nodules']:7}  {row['found']:5.2f}  {row['false']:5.1f}  {row['refused']:7}"
        )


def _tell_sizes(large: dict[str, dict[str, object]]) -> None:
    typer.echo("large nodules                 scans  found  scores")
    for name, row in large.items():
        scores = row["scores"]
        assert isinstance(scores, list)
        told = ", ".join(f"{score:.2f}" for score in scores)
        typer.echo(f"{name:28}  {row['scans']:5}  {row['found']:5}  {told}")


if __name__ == "__main__":
    typer.run(bench)
