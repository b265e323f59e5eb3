"""How lungs are found, and what the verdict says, over factors, crops, turns and diseases.

``python tests/bench/bench_lung_sweep.py``: 40 phantoms, 200 combinations, the real images (DSS_SHARED_DATA, and two
that pip fetches), and one that pip fetches and on which two limits alone were chosen.  Limits were fitted on even seeds
and the real images.  A kind reaches its goal if 95 % have a Dice of 0.95, or with a disease if none below 0.9 is good.  Tables, pictures (green is true, red is found)
and rows as JSON lie in ``--output``: each row as soon as it is known, the tables after each phantom.  A run that was
ended goes on where it stopped.  A folder is for the rules (the sources of ``dss_inference.lungs``) of its first run, and
for one run at a time.
"""

import fcntl
import hashlib
import json
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from dss_inference import lungs
from dss_inference.device.runner import Runner, runner_for
from support.kept_out import fetched, kept_out, looked_at
from support.lung_cases import Case, combined, factors, phantom, random_of, real, thick
from support.lung_disease import Chest
from support.lung_judging import NONE, REFUSED, Judged, judged

LEAST_ML = 100.0
"""Of lung in view; what shows less is left out."""
FAILED = (REFUSED, NONE)
VERDICTS = ("good", "look at it", *FAILED)
REAL, KEPT_OUT = 0, -1
"""Stand for the real images among the seeds."""
COMBINED_REAL = 20


@dataclass(frozen=True, kw_only=True)
class Row:
    kind: str
    name: str
    seed: int
    diseased: bool
    judged: Judged


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one process does with one seed."""

    seed: int
    combinations: int
    spacing_mm: float
    slices: bool
    one_each: bool
    data: Path | None
    kept: Path | None
    output: Path


def bench(
    phantoms: Annotated[int, typer.Option(help="How many.", min=1)] = 40,
    combinations: Annotated[int, typer.Option(help="Random ones of each phantom.", min=0)] = 5,
    spacing: Annotated[float, typer.Option(help="mm, unless slices are the factor.")] = 3.0,
    processes: Annotated[int, typer.Option(help="At once.", min=1)] = 2,
    *,
    slices: Annotated[bool, typer.Option(help="Thin and thick slices, too.")] = True,
    one_each: Annotated[bool, typer.Option(help="One case of each kind and phantom.")] = False,
    fetch: Annotated[bool, typer.Option(help="Three real chests, by pip.")] = True,
    output: Annotated[Path, typer.Option(help="Folder for tables and pictures.")] = Path("sweep"),
    shared_data: Annotated[Path | None, typer.Option(envvar="DSS_SHARED_DATA")] = None,
) -> None:
    with only_run_in(output):
        require_same_rules(output, rules_hash())
        kept = fetched(output) if fetch else None
        seeds = [
            *([REAL] if shared_data or kept else []),
            *([KEPT_OUT] if kept else []),
            *range(1, phantoms + 1),
        ]
        plans = [
            Plan(
                seed=seed,
                combinations=combinations,
                spacing_mm=spacing,
                slices=slices,
                one_each=one_each,
                data=shared_data,
                kept=kept,
                output=output,
            )
            for seed in seeds
        ]
        _run(plans, processes, output)


def _run(plans: Sequence[Plan], processes: int, output: Path) -> None:
    start = time.monotonic()
    rows: list[Row] = []
    with get_context("spawn").Pool(processes, maxtasksperchild=4) as pool:
        for plan, done in zip(plans, pool.imap(rows_of, plans), strict=True):
            rows += done
            _write(rows, output)
            typer.echo(f"seed {plan.seed}: {time.monotonic() - start:.0f} s", err=True)
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    typer.echo((output / "table.txt").read_text(encoding="utf-8"))
    typer.echo(f"{time.monotonic() - start:.0f} s, peak memory of a process {peak_gb:.2f} GB")


def rules_hash() -> str:
    """A hash of the names and texts of the rules' sources."""
    folder = Path(lungs.__path__[0])
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def require_same_rules(output: Path, rules: str) -> None:
    """Write the hash ``rules`` into the folder if it has no rows yet.  Raises SystemExit if its rows are of other rules."""
    path = output / "rules.txt"
    known = path.read_text(encoding="utf-8").strip() if path.exists() else "unknown rules"
    has_rows = any(file.stat().st_size for file in (output / "rows").glob("*.jsonl"))
    if has_rows and known != rules:
        raise SystemExit(
            f"The rows in {output} were made with other sources of the rules ({known[:13]}, now {rules[:13]}): please give "
            "another folder with --output, or remove its folder 'rows'."
        )
    path.write_text(rules + "\n", encoding="utf-8")


@contextmanager
def only_run_in(output: Path) -> Iterator[None]:
    """Keep other runs out of the folder, which is made, until the end.  Raises SystemExit if another run is in it."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(
                f"Another run writes into {output}: please wait for its end, or give another folder with --output."
            ) from None
        yield


def _write(rows: Sequence[Row], output: Path) -> None:
    text = "\n".join(_report(rows)) + "\n"
    (output / "table.txt").write_text(text, encoding="utf-8")
    text = "[\n" + ",\n".join(as_line(row).rstrip() for row in rows) + "\n]\n"
    (output / "rows.json").write_text(text, encoding="utf-8")


def rows_of(plan: Plan) -> list[Row]:
    """The rows of a seed; those that an earlier run wrote are read."""
    runner = runner_for("cpu", 1)
    path = plan.output / "rows" / f"{plan.seed}.jsonl"
    known = known_rows(path)
    rows: list[Row] = []
    with path.open("a", encoding="utf-8") as file:
        for case in _cases(plan, runner):
            row = known.get((case.seed, case.kind, case.name))
            if row is None:
                row = _row(case, runner, plan.output)
                file.write(as_line(row))
                file.flush()
            if rows and rows[-1].kind != row.kind:
                _tell(plan.seed, [r for r in rows if r.kind == rows[-1].kind])
            rows.append(row)
    return rows


def as_line(row: Row) -> str:
    """The row as a line of JSON; values of NumPy become numbers and truth values."""
    return json.dumps(asdict(row), default=lambda value: value.item()) + "\n"


def known_rows(path: Path) -> dict[tuple[int, str, str], Row]:
    """The rows in ``path`` by seed, kind and name.  A line that was broken off is removed from the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    path.write_text(whole, encoding="utf-8")
    read = [json.loads(line) for line in whole.splitlines()]
    rows = [Row(**{**row, "judged": _judged(row["judged"])}) for row in read]
    return {(row.seed, row.kind, row.name): row for row in rows}


def _judged(values: dict[str, Any]) -> Judged:
    return Judged(**{**values, "flags": tuple(values["flags"])})


def _tell(seed: int, rows: Sequence[Row]) -> None:
    least = min(row.judged.dice for row in rows)
    good = sum(row.judged.verdict == "good" for row in rows)
    typer.echo(f"seed {seed}, {rows[0].kind}: least Dice {least:.3f}, {good} of {len(rows)} good")


def _row(case: Case, runner: Runner, output: Path) -> Row:
    name = "".join(c if c.isalnum() else "-" for c in f"{case.seed} {case.kind} {case.name}")
    return Row(
        kind=case.kind,
        name=case.name,
        seed=case.seed,
        diseased=case.diseased,
        judged=judged(case.chest, runner, output / "pictures" / f"{name}.png"),
    )


def _cases(plan: Plan, runner: Runner) -> Iterator[Case]:
    return one_of_each(_all_cases(plan, runner)) if plan.one_each else _all_cases(plan, runner)


def one_of_each(cases: Iterable[Case]) -> Iterator[Case]:
    """One case of each kind, drawn at random by seed and kind, and all combinations.  Cases of a kind follow each
    other.
    """
    for kind, group in groupby(cases, lambda case: case.kind):
        if kind.startswith("combined"):
            yield from group
        else:
            of = list(group)
            yield of[random_of(of[0].seed, f"one of {kind}").integers(len(of))]


def _all_cases(plan: Plan, runner: Runner) -> Iterator[Case]:
    if plan.seed == REAL:
        if plan.data:
            yield from _changed(real(plan.data), REAL)
        if plan.kept:
            yield from _changed(looked_at(plan.kept, runner), REAL, COMBINED_REAL)
        return
    if plan.seed == KEPT_OUT:
        if plan.kept:
            yield from _changed(kept_out(plan.kept, runner), KEPT_OUT, COMBINED_REAL)
        return
    base = phantom(plan.seed, runner, (plan.spacing_mm,) * 3)
    yield from factors(plan.seed, base)
    for number in range(plan.combinations):
        yield combined(plan.seed * 1000 + number, base)
    if plan.slices:
        yield from thick(plan.seed, runner)


def _changed(
    chests: Iterable[tuple[str, Chest]], seed: int, combinations: int = 0
) -> Iterator[Case]:
    for name, chest in chests:
        for case in factors(REAL, chest):
            yield replace(case, name=f"{name} {case.name}", seed=seed)
        for number in range(combinations):
            case = combined(number, chest)
            yield replace(case, name=f"{name} {number} {case.name}", seed=seed)


def _is_held_out(row: Row) -> bool:
    """Combinations have seeds of a thousand times their phantom's, and more; seeds of real images are below 1."""
    seed = row.seed // 1000 if row.seed >= 1000 else row.seed
    return seed > REAL and seed % 2 == 1


def _report(rows: Sequence[Row]) -> Iterator[str]:
    shown = [row for row in rows if row.judged.true_ml >= LEAST_ML]
    real_rows = [row for row in shown if row.seed == REAL]
    held_out = [row for row in shown if _is_held_out(row)]
    kept_rows = [row for row in shown if row.seed == KEPT_OUT]
    fitted = [row for row in shown if not _is_held_out(row) and row.seed > REAL]
    for title, of in (
        ("Odd seeds", held_out),
        ("Even seeds", fitted),
        ("Real", real_rows),
        ("Real, kept out", kept_rows),
    ):
        if of:
            yield from (f"\n{title}", *_table(of), *_calibration(of), *_worst(of))


def _table(rows: Sequence[Row]) -> Iterator[str]:
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[row.kind].append(row)
    yield f"{'kind':20} cases  Dice: least  median  >=0.95   {'  '.join(VERDICTS)}   s   goal"
    for kind, of in kinds.items():
        scores = [r.judged.dice for r in of]
        high = sum(map(_is_right, of)) / len(of)
        counts = [sum(r.judged.verdict == v for r in of) for v in VERDICTS]
        said = "  ".join(f"{n:{len(v)}}" for n, v in zip(counts, VERDICTS, strict=True))
        seconds = float(np.median([r.judged.seconds for r in of]))
        yield (
            f"{kind:20} {len(of):5}  {min(scores):11.3f}  {np.median(scores):6.3f}  {high:6.0%}   "
            f"{said}   {seconds:.1f}   {'reached' if _reached(of) else 'MISSED'}"
        )


def _reached(rows: Sequence[Row]) -> bool:
    if any(r.judged.dice < 0.9 and r.judged.verdict == "good" for r in rows):
        return False
    if rows[0].diseased:
        return True
    return sum(map(_is_right, rows)) >= 0.95 * len(rows)


def _is_right(row: Row) -> bool:
    return row.judged.dice >= 0.95 and row.judged.verdict not in FAILED


def _calibration(rows: Sequence[Row]) -> Iterator[str]:
    bad = [r for r in rows if r.judged.dice < 0.9]
    best = [r for r in rows if r.judged.dice > 0.97]
    yield f"below 0.9: {len(bad)}, of these good: {sum(map(_is_good, bad))}"
    for name, of in (("healthy", [r for r in best if not r.diseased]), ("all", best)):
        good = sum(map(_is_good, of))
        yield f"above 0.97, {name}: {len(of)}, of these good: {good} ({good / max(1, len(of)):.1%})"
    yield from _sides(rows)
    asked = chain.from_iterable(r.judged.flags for r in best if not _is_good(r))
    yield f"flags of those above 0.97 that are not good: {dict(Counter(asked))}"


def _is_good(row: Row) -> bool:
    return row.judged.verdict == "good"


def _sides(rows: Sequence[Row]) -> Iterator[str]:
    crossed = sum(r.judged.wrong_side > 0.02 for r in rows)
    paired = [r for r in rows if r.judged.is_paired]
    unknown, of_paired = (sum(r.judged.unknown_side for r in of) for of in (rows, paired))
    yield f"{len(rows)} cases: wrong side {crossed}, side unknown {unknown}"
    yield (
        f"{len(paired)} with both lungs and the spine in view: side unknown {of_paired} "
        f"({of_paired / max(1, len(paired)):.1%})"
    )


def _worst(rows: Sequence[Row]) -> Iterator[str]:
    for r in sorted(rows, key=lambda r: r.judged.dice)[:15]:
        yield f"  {r.judged.dice:.3f} {r.judged.verdict:12} {r.kind}, {r.name}, seed {r.seed}"


if __name__ == "__main__":
    typer.run(bench)
