"""Which flags a lung segmentation raises."""

import json
from pathlib import Path

import numpy as np
import pytest

from dss_broker.messages import Label
from dss_inference.lungs.judging import labels_of
from dss_inference.lungs.quality import Quality, Verdict, quality_of, quality_reports
from dss_inference.lungs.sides import LEFT, RIGHT, UNSIDED, Sides
from dss_inference.lungs.signs import Signs

VOXEL_ML = 1.0
NOTHING = Signs()


def lungs(left_ml: int = 20, right_ml: int = 22, *, first: int = 1, side: int = LEFT) -> Sides:
    """Two blocks of 10 x 10 voxels in each slice, so many slices high."""
    found = np.zeros((40, 12, 30), np.uint8)
    found[first : first + left_ml, 1:11, 16:26] = side
    found[first : first + right_ml, 1:11, 2:12] = RIGHT if side == LEFT else 0
    return found


def judged(found: Sides, hu: int = -820, signs: Signs = NOTHING) -> Quality:
    labels: tuple[Label, ...] = labels_of(found, VOXEL_ML)
    return quality_of(found, np.full(found.shape, hu, np.int16), labels, signs)


def codes(quality: Quality) -> list[str]:
    return [flag.code for flag in quality.flags]


def test_usual_lungs_raise_no_flag() -> None:
    assert judged(lungs()).flags == ()


@pytest.mark.parametrize(
    ("found", "hu", "code"),
    [
        (lungs(first=0), -820, "touches_border"),
        (lungs(0, 30), -820, "side_missing"),
        (lungs(side=UNSIDED), -820, "side_unknown"),
        (lungs(), -300, "values_unusual"),
    ],
)
def test_each_oddity_has_its_flag(found: Sides, hu: int, code: str) -> None:
    assert codes(judged(found, hu)) == [code]


@pytest.mark.parametrize(
    ("signs", "code"),
    [
        (Signs(empty=0.05), "dark_unusual"),
        (Signs(pocket=0.06), "dark_unusual"),
        (Signs(dense=0.3), "density_unusual"),
        (Signs(leaked=0.1), "open_to_side"),
        (Signs(open=0.6), "open_to_side"),
        (Signs(haze=0.1), "haze"),
        (Signs(gas=0.3), "air_unexplained"),
        (Signs(uneven=0.3), "uneven"),
        (Signs(uneven=0.07, cut_at_side=True), "uneven"),
        (Signs(uneven=0.05, behind=0.04), "uneven"),
        (Signs(uneven=0.15, heart_in_view=True), "uneven"),
        (Signs(behind=0.04), "tissue_at_wall"),
        (Signs(uneven=0.01, behind=0.05), "tissue_at_wall"),
        (Signs(before=0.04), "tissue_at_wall"),
        (Signs(beside=0.1), "tissue_at_wall"),
        (Signs(apart=0.42), "lungs_apart"),
        (Signs(apart=0.55, heart_in_view=True), "lungs_apart"),
        (Signs(interrupted=0.22), "interrupted"),
        (Signs(depth=0.45), "shallow"),
        (Signs(cut_by_padding=0.3), "view_narrow"),
        (Signs(uneven=0.05, apart=0.36, blunt=0.6), "several_near"),
        (Signs(blunt=0.8), "blunt_end"),
        (Signs(left=0.2), "ratio_unusual"),
        (Signs(fill=0.02), "volume_unusual"),
    ],
)
def test_each_sign_asks_for_a_look(signs: Signs, code: str) -> None:
    quality = judged(lungs(), signs=signs)

    assert (codes(quality), quality.verdict) == ([code], Verdict.LOOK)


def test_a_pocket_is_not_said_to_be_without_vessels() -> None:
    (pocket,), (empty,) = (
        judged(lungs(), signs=signs).flags for signs in (Signs(pocket=0.06), Signs(empty=0.05))
    )

    assert pocket.text.startswith("A place of 6% of the lungs, or more, is nearly as dark as air")
    assert empty.text.startswith("5% of the lungs, or more, is as dark as air and shows no vessels")


@pytest.mark.parametrize(
    "signs",
    [
        Signs(uneven=0.06),
        Signs(uneven=0.09, bases_alone=True),
        Signs(uneven=0.12, heart_in_view=True),
        Signs(uneven=0.01, behind=0.04),
        Signs(behind=0.02, before=0.01, beside=0.05),
        Signs(apart=0.35, interrupted=0.18),
        Signs(apart=0.48, heart_in_view=True),
        Signs(apart=0.42, bases_alone=True),
        Signs(blunt=0.6),
        Signs(depth=0.54),
        Signs(cut_by_padding=0.23),
        Signs(uneven=0.05, apart=0.34, blunt=0.45),
    ],
)
def test_what_healthy_lungs_show_asks_for_no_look(signs: Signs) -> None:
    assert judged(lungs(), signs=signs).verdict == Verdict.GOOD


def test_a_border_that_is_touched_switches_no_flag_off() -> None:
    signs = Signs(left=0.2, uneven=0.3)

    assert codes(judged(lungs(first=0), signs=signs)) == [
        "touches_border",
        "ratio_unusual",
        "uneven",
    ]


def test_lungs_as_small_as_an_infants_are_usual() -> None:
    found = lungs()
    labels = labels_of(found, 0.03)

    assert quality_of(found, np.full(found.shape, -820, np.int16), labels, NOTHING).flags == ()


def test_a_part_without_a_side_may_be_good_and_a_whole_view_without_one_is_not() -> None:
    found = lungs(side=UNSIDED)

    part, whole = (judged(found, signs=Signs(cut_at_side=cut)) for cut in (True, False))

    assert (codes(part), part.verdict) == (["side_of_part_unknown"], Verdict.GOOD)
    assert (codes(whole), whole.verdict) == (["side_unknown"], Verdict.LOOK)


def test_both_lungs_that_were_not_parted_in_a_cut_view_ask_for_a_look() -> None:
    both = judged(lungs(side=UNSIDED), signs=Signs(cut_at_side=True, beyond_gap=0.3))

    assert (codes(both), both.verdict) == (["side_unknown"], Verdict.LOOK)


def test_lungs_that_the_view_cuts_may_be_good() -> None:
    assert judged(lungs(first=0)).verdict == Verdict.GOOD


def test_more_than_lungs_can_hold_is_not_usable() -> None:
    found = lungs()
    labels = labels_of(found, 1000.0)

    quality = quality_of(found, np.full(found.shape, -820, np.int16), labels, NOTHING)

    assert quality.verdict == Verdict.UNUSABLE


def test_the_borders_are_named_as_a_reader_knows_them() -> None:
    assert judged(lungs(first=0)).borders == ("feet",)


def test_a_cropped_view_is_not_blamed_for_its_volume() -> None:
    assert "volume_unusual" not in codes(judged(lungs(3, 3, first=0), signs=Signs(fill=0.02)))


def test_the_report_tells_the_flags_to_people_and_programs(tmp_path: Path) -> None:
    quality = judged(lungs(), signs=Signs(left=0.2))

    text, tree = (report.path for report in quality_reports(quality, tmp_path))

    assert text.read_text(encoding="utf-8").startswith("Verdict: look at it")
    assert quality.flags[0].text in text.read_text(encoding="utf-8")
    assert json.loads(tree.read_text(encoding="utf-8"))["flags"][0]["code"] == "ratio_unusual"
