"""Rows of the sweep over lungs outlive its run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.bench_lung_sweep import (
    Row,
    _calibration,
    _reached,
    as_line,
    known_rows,
    one_of_each,
    only_run_in,
    require_same_rules,
    rules_hash,
)
from support.lung_cases import Case
from support.lung_disease import Chest
from support.lung_judging import Judged


def row(name: str) -> Row:
    judged = Judged(
        dice=0.9,
        verdict="good",
        wrong_side=0.0,
        unknown_side=False,
        is_paired=True,
        true_ml=1000.0,
        flags=("haze",),
        seconds=1.0,
        signs={"empty": 0.25, "image": {"tall": None}},
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
    lines = [as_line(row(name)).rstrip() for name in ("40", "80")]
    path.write_text(f"{lines[0]}\n{lines[1][:20]}", encoding="utf-8")

    assert known_rows(path) == {(3, "noise", "40"): row("40")}
    assert path.read_text(encoding="utf-8") == f"{lines[0]}\n"


def test_a_new_folder_has_no_rows(tmp_path: Path) -> None:
    assert known_rows(tmp_path / "rows" / "3.jsonl") == {}


def test_values_of_numpy_are_written_as_numbers(tmp_path: Path) -> None:
    signs = {"cut_at_side": np.bool_(True), "gas": np.float32(0.5)}
    path = tmp_path / "3.jsonl"
    made = row("40")
    path.write_text(as_line(replace(made, judged=replace(made.judged, signs=signs))), "utf-8")

    assert known_rows(path)[3, "noise", "40"].judged.signs == {"cut_at_side": True, "gas": 0.5}


def test_rows_of_other_rules_are_refused_and_those_of_the_same_are_not(tmp_path: Path) -> None:
    require_same_rules(tmp_path, "one")
    require_same_rules(tmp_path, "two")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "3.jsonl").write_text(as_line(row("40")), encoding="utf-8")

    require_same_rules(tmp_path, "two")
    with pytest.raises(SystemExit, match="other sources of the rules"):
        require_same_rules(tmp_path, "three")


def test_rows_of_rules_that_nobody_wrote_down_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "3.jsonl").write_text(as_line(row("40")), encoding="utf-8")

    with pytest.raises(SystemExit, match="unknown rules"):
        require_same_rules(tmp_path, rules_hash())


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    first, second = only_run_in(tmp_path), only_run_in(tmp_path)
    with first, pytest.raises(SystemExit, match="Another run"), second:
        pass
    with only_run_in(tmp_path):
        pass


def test_a_refused_result_does_not_count_as_reached() -> None:
    made = row("40")
    right = replace(made, judged=replace(made.judged, dice=0.99))
    refused = replace(made, judged=replace(made.judged, dice=0.99, verdict="refused"))

    assert _reached([right])
    assert not _reached([refused])


def test_counts_are_of_the_healthy_and_of_all_and_of_views_that_tell_the_sides() -> None:
    made = row("40")
    good = replace(made, judged=replace(made.judged, dice=0.99))
    judged = replace(good.judged, verdict="look at it", unknown_side=True)
    sick = replace(good, diseased=True, judged=judged)
    part = replace(good, judged=replace(good.judged, is_paired=False, unknown_side=True))

    lines = list(_calibration([good, good, part, sick]))

    assert "above 0.97, healthy: 3, of these good: 3 (100.0%)" in lines
    assert "above 0.97, all: 4, of these good: 3 (75.0%)" in lines
    assert "3 with both lungs and the spine in view: side unknown 1 (33.3%)" in lines


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
