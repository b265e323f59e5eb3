"""How many nodules are found with how many false candidates, by slice thickness, disease, crop, turn and size.

``make bench-nodules``: phantoms of even seeds give thresholds for each thickness, those of odd seeds are reported.
Slices are means of thin ones (``averaged``), as a scanner makes them, or those of a phantom made in that grid
(``made``), which blurs in all directions.  Each kind of the lungs' sweep has its verdicts beside what is found, and
``silent``: cases that are ``good`` although a tenth of the true lung was not searched.  ``--minutes`` ends the work
early, after whole cases; the tables tell how many there were.  ``--json FILE`` holds the same for programs.
"""

import json
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from dss_inference.device.runner import Runner, runner_for
from dss_inference.lungs.quality import Verdict
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
from support.nodule_judging import FALSE, NONE, REFUSED, Searched, rates, searched, threshold

FALSE_A_SCAN = (0.5, 1, 2, 4, 8)
FITTED_FOR = (1, 4)
TOGETHER = {1.0: 1, 2.0: 2, 3.0: 3, 5.0: 5, 7.0: 7, 10.0: 10}
MADE_MM: tuple[Triple, ...] = (
    (0.5, 1.0, 1.0),
    (5.0, 1.0, 1.0),
    (7.0, 1.0, 1.0),
    (10.0, 1.0, 1.0),
)
QUICK_SLICES_MM = (2.0, 5.0, 6.0, 7.0, 10.0)
QUICK_MM = (1.5, 1.5)
KIND_TOGETHER = 3
LARGE_MM: Triple = (2.0, 1.5, 1.5)

Thick = tuple[float, str]
Scans = dict[Thick, list[Searched]]


def bench(
    phantoms: Annotated[int, typer.Option(help="Of even and of odd seeds, each.", min=0)] = 6,
    of_kinds: Annotated[int, typer.Option(help="Phantoms for each kind.", min=0)] = 2,
    of_large: Annotated[int, typer.Option(help="Phantoms with large nodules.", min=0)] = 2,
    minutes: Annotated[float, typer.Option(help="No new case after so long.")] = 600.0,
    as_json: Annotated[Path | None, typer.Option("--json", help="Where to write it.")] = None,
    *,
    quick: Annotated[
        bool, typer.Option(help="Only phantoms that are made in thick slices, of 1.5 mm in plane.")
    ] = False,
) -> None:
    sweep = _Sweep(runner=runner_for("auto", 2), minutes=minutes, quick=quick)
    fitted = sweep.by_thickness(range(2, 2 + 2 * phantoms, 2))
    reported = sweep.by_thickness(range(1, 1 + 2 * phantoms, 2))
    rows = [_row(thick, reported[thick], fitted[thick]) for thick in sorted(reported)]
    scans = sweep.by_kind(range(1, 1 + 2 * of_kinds, 2))
    by_kind = {kind: _kind_row(of) for kind, of in scans.items()}
    large = dict(sweep.by_size(range(1, 1 + 2 * of_large, 2)))
    _tell_rows(rows)
    _tell_kinds(by_kind)
    _tell_sizes(large)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    typer.echo(
        f"{sweep.cases} cases, {time.process_time() / max(1, sweep.cases):.1f} CPU s each; "
        f"{sweep.seconds:.0f} s, peak memory {peak_gb:.2f} GB"
    )
    if as_json is not None:
        facts = {"thickness": rows, "kinds": by_kind, "large": large, "cases": sweep.cases}
        as_json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


class _Sweep:
    """Searches case by case until its time is over.  ``cases`` counts them."""

    def __init__(self, runner: Runner, minutes: float, *, quick: bool) -> None:
        self._runner, self._quick = runner, quick
        self._began_s, self._most_s = time.monotonic(), 60 * minutes
        self.cases = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began_s

    @property
    def _is_over(self) -> bool:
        return self.seconds > self._most_s

    def _searched(self, name: str, case: Nodular, before: Nodular) -> Searched:
        scan = searched(case, in_view(case, before), self._runner)
        self.cases += 1
        typer.echo(f"{self.seconds:.0f} s: {name}", err=True)
        return scan

    def by_thickness(self, seeds: Iterable[int]) -> Scans:
        scans: Scans = defaultdict(list)
        for seed in seeds:
            for thick, case in _cases(seed, self._runner, quick=self._quick):
                if self._is_over:
                    return scans
                scans[thick].append(self._searched(f"seed {seed}, {thick}", case, case))
        return scans

    def by_kind(self, seeds: Iterable[int]) -> dict[str, list[Searched]]:
        scans: dict[str, list[Searched]] = defaultdict(list)
        for seed in seeds:
            if self._is_over:
                break
            base = _base(seed, self._runner, quick=self._quick)
            for kind, name, case in [("plain", "plain", base), *kinds(seed, base)]:
                if self._is_over:
                    break
                scans[kind].append(self._searched(f"seed {seed}, {kind}, {name}", case, base))
        return scans

    def by_size(self, seeds: Iterable[int]) -> Iterator[tuple[str, dict[str, object]]]:
        best: dict[str, list[float]] = defaultdict(list)
        for seed in seeds:
            for place in PLACES:
                for case in (
                    [] if self._is_over else with_large(seed, self._runner, LARGE_MM, place)
                ):
                    kind, diameter_mm = case.nodules[1]
                    name = f"{kind}, {diameter_mm:g} mm, {place}"
                    scan = self._searched(name, case, case)
                    scores = [score for score, hit in scan.shown(0.0) if hit != FALSE]
                    best[name].append(max(scores, default=0.0))
        for name, scores in best.items():
            found = sum(score >= LEAST_SCORE for score in scores)
            yield name, {"scans": len(scores), "found": found, "scores": scores}


def _base(seed: int, runner: Runner, *, quick: bool) -> Nodular:
    """The chest that the kinds change."""
    if quick:
        return nodular(seed, runner, (float(KIND_TOGETHER), *QUICK_MM))
    return in_slices(nodular(seed, runner, (1.0, 1.0, 1.0)), KIND_TOGETHER)


def _cases(seed: int, runner: Runner, *, quick: bool) -> Iterator[tuple[Thick, Nodular]]:
    if quick:
        for thick_mm in QUICK_SLICES_MM:
            yield (thick_mm, "made"), nodular(seed, runner, (thick_mm, *QUICK_MM))
        return
    thin = nodular(seed, runner, (1.0, 1.0, 1.0))
    for thick_mm, together in TOGETHER.items():
        yield (thick_mm, "averaged"), in_slices(thin, together) if together > 1 else thin
    for spacing_mm in MADE_MM:
        yield (spacing_mm[0], "made"), nodular(seed, runner, spacing_mm)


def _row(thick: Thick, scans: list[Searched], fitted: list[Searched]) -> dict[str, object]:
    found, wrong = rates(scans, LEAST_SCORE)
    fit = {most: threshold(fitted, most) for most in FITTED_FOR if fitted}
    return {
        "slice_mm": thick[0],
        "slices": thick[1],
        "scans": len(scans),
        "nodules": sum(len(scan.nodules) for scan in scans),
        "found": found,
        "false": wrong,
        "best_false": max((s for scan in scans for s, h in scan.marks if h == FALSE), default=0.0),
        "most_false": max(sum(h == FALSE for _, h in scan.shown()) for scan in scans),
        "froc": {str(most): rates(scans, threshold(scans, most))[0] for most in FALSE_A_SCAN},
        "fitted": {str(most): (least, *rates(scans, least)) for most, least in fit.items()},
    }


def _kind_row(scans: list[Searched]) -> dict[str, object]:
    """Refused images count as scans in which nothing is found."""
    found, wrong = rates(scans, LEAST_SCORE)
    counts = Counter(scan.verdict for scan in scans)
    return {
        "scans": len(scans),
        "nodules": sum(len(scan.nodules) for scan in scans),
        "found": found,
        "false": wrong,
        "good": counts[Verdict.GOOD],
        "look": counts[Verdict.LOOK],
        "refused": counts[REFUSED] + counts[NONE],
        "silent": sum(scan.is_silent for scan in scans),
        "unsearched": max(scan.unsearched for scan in scans),
    }


def _tell_rows(rows: list[dict[str, object]]) -> None:
    most = "  ".join(f"{m:>4g}" for m in FALSE_A_SCAN)
    typer.echo(
        f"Odd seeds.  At the default score {LEAST_SCORE}; then found at so many false a scan;"
    )
    typer.echo("then found and false a scan at thresholds that leave 1 and 4 false on even seeds.")
    typer.echo(
        f"slice, mm  slices    scans nodules  found  false (most, best score)   {most}   fitted, 1     fitted, 4"
    )
    for row in rows:
        froc, fitted = row["froc"], row["fitted"]
        assert isinstance(froc, dict)
        assert isinstance(fitted, dict)
        shares = "  ".join(f"{share:4.2f}" for share in froc.values())
        fits = "   ".join(f"{f:4.2f} at {w:4.1f}" for _, f, w in fitted.values())
        typer.echo(
            f"{row['slice_mm']:9}  {row['slices']:8}  {row['scans']:5} {row['nodules']:7}  {row['found']:5.2f}  "
            f"{row['false']:5.1f} ({row['most_false']:4}, {row['best_false']:4.2f})   {shares}   {fits}"
        )


def _tell_kinds(by_kind: dict[str, dict[str, object]]) -> None:
    typer.echo(
        f"kind, slices of {KIND_TOGETHER} mm  scans nodules  found  false  good  look  refused  silent  "
        "most lung not searched"
    )
    for kind, row in by_kind.items():
        typer.echo(
            f"{kind:20}  {row['scans']:5} {row['nodules']:7}  {row['found']:5.2f}  {row['false']:5.1f}  "
            f"{row['good']:4}  {row['look']:4}  {row['refused']:7}  {row['silent']:6}  {row['unsearched']:5.0%}"
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
