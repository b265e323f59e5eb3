"""Rows of the sweep over lungs outlive its run."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from bench.bench_lung_sweep import Row, known_rows, one_of_each
from support.lung_cases import Case
from support.lung_disease import Chest
from support.lung_judging import Judged


def row(name: str) -> Row:
    judged = Judged(
        dice=0.9,
        verdict="good",
        wrong_side=0.0,
        unknown_side=False,
        true_ml=1000.0,
        flags=("haze",),
        seconds=1.0,
    )
    return Row(kind="noise", name=name, seed=3, diseased=False, judged=judged)


def case(kind: str, seed: int) -> Case:
    empty = Chest(
        hu=np.zeros((1, 1, 1), np.int16), truth=np.zeros((1, 1, 1), np.uint8), spacing_mm=(1, 1, 1)
    )
    return Case(kind=kind, name=f"{kind} {seed}", seed=seed, chest=empty)


def test_rows_are_read_again_and_a_line_that_was_broken_off_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "rows" / "3.jsonl"
    path.parent.mkdir()
    lines = [json.dumps(asdict(row(name))) for name in ("40", "80")]
    path.write_text(f"{lines[0]}\n{lines[1][:20]}", encoding="utf-8")

    assert known_rows(path) == {(3, "noise", "40"): row("40")}
    assert path.read_text(encoding="utf-8") == f"{lines[0]}\n"


def test_a_new_folder_has_no_rows(tmp_path: Path) -> None:
    assert known_rows(tmp_path / "rows" / "3.jsonl") == {}


def test_one_of_each_keeps_one_case_of_a_kind_and_all_combinations() -> None:
    cases = [case("noise", 1), case("noise", 1), case("halves", 1), *[case("combined", 1001)] * 3]

    kinds = [c.kind for c in one_of_each(cases)]

    assert kinds == ["noise", "halves", "combined", "combined", "combined"]


def test_one_of_each_draws_every_case_of_a_kind_from_even_seeds_and_from_odd_ones() -> None:
    for parity in (0, 1):
        drawn = set()
        for seed in range(parity, 80, 2):
            cases = [replace(case("halves", seed), name=f"{number}") for number in range(4)]
            drawn |= {c.name for c in one_of_each(cases)}

        assert drawn == {"0", "1", "2", "3"}
