# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What is said of the lung that was searched for nodules, and of what was not."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.bundle import BundleOutcome
from dss_inference.device.runner import Runner
from dss_inference.errors import InferenceError
from dss_inference.nodules.bundle import NOT_IN_BOX, NoduleDetection
from dss_inference.nodules.search import ChestPart, Search
from dss_inference.nodules.search_report import none_found, search_notes
from dss_phantom.chest import Phantom

pytestmark = pytest.mark.slow


def outcome_on(
    image: sitk.Image, folder: Path, runner: Runner, box: str | None = None
) -> BundleOutcome:
    sitk.WriteImage(image, folder / "ct.nii.gz")
    parameters = {} if box is None else {"crop_box": box}
    return NoduleDetection(runner).run(
        folder / "ct.nii.gz", folder, parameters, lambda *_: None, lambda: False
    )


@pytest.fixture(scope="module")
def effusion(chest: Phantom) -> sitk.Image:
    """Water where the lower half of the left lung was."""
    hu = sitk.GetArrayFromImage(chest.ct)
    left = sitk.GetArrayFromImage(chest.truth) == 1
    middle = int(np.argwhere(left).mean(axis=0)[0])
    left[middle:] = False
    hu[left] = 15
    image = sitk.GetImageFromArray(hu)
    image.CopyInformation(chest.ct)
    return image


@pytest.fixture(scope="module")
def outcome(
    effusion: sitk.Image, runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> BundleOutcome:
    return outcome_on(effusion, tmp_path_factory.mktemp("effusion"), runner)


def drowned_ml(chest: Phantom, effusion: sitk.Image) -> float:
    wet = sitk.GetArrayFromImage(effusion) != sitk.GetArrayFromImage(chest.ct)
    return float(wet.sum()) * float(np.prod(chest.ct.GetSpacing())) / 1000


def search_in(outcome: BundleOutcome) -> dict[str, float]:
    (tree,) = [r.path for r in outcome.reports if r.path.name == "findings.json"]
    parts = json.loads(tree.read_text(encoding="utf-8"))["search"]["parts"]
    return {part["code"]: part["volume_ml"] for part in parts}


def test_the_verdict_on_the_lungs_and_its_reasons_come_first(outcome: BundleOutcome) -> None:
    first, second, *_ = outcome.notes

    assert first.text.startswith("Verdict on the lungs: look at it")
    assert second.level == "warning"


def test_lung_that_one_side_lacks_is_told_in_ml_and_per_cent(
    chest: Phantom, effusion: sitk.Image, outcome: BundleOutcome
) -> None:
    missing_ml = search_in(outcome)["other_side"]

    assert 0.5 < missing_ml / drowned_ml(chest, effusion) <= 1.0
    (told,) = [note for note in outcome.notes if "one lung lacks" in note.text]
    assert f"Not searched: {missing_ml:.0f} ml (" in told.text
    assert told.level == "warning"


def test_what_was_searched_is_attached_as_text_and_as_a_table(outcome: BundleOutcome) -> None:
    text, table = (r.path for r in outcome.reports if r.path.name.startswith("search"))

    rows = {
        row["part"]: row for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    }

    assert "Verdict on the lungs: look at it" in text.read_text(encoding="utf-8")
    assert rows["searched"]["meaning"] == "Verdict on the lungs: look at it"
    assert {code: float(row["volume_ml"]) for code, row in rows.items() if code != "searched"} == (
        search_in(outcome)
    )


def test_a_whole_chest_lacks_little(chest: Phantom, runner: Runner, tmp_path: Path) -> None:
    outcome = outcome_on(chest.ct, tmp_path, runner)

    found = search_in(outcome)

    lung_ml = chest.left_ml + chest.right_ml
    assert found["other_side"] < 0.05 * lung_ml
    assert found["outside_box"] == 0
    assert not [n for n in outcome.notes if n.level == "warning" and "Not searched" in n.text]


def test_lung_outside_the_marked_box_is_told(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    x, y, z = chest.ct.GetSize()

    outcome = outcome_on(chest.ct, tmp_path, runner, f"{x // 2} 0 0 {x} {y} {z}")

    (told,) = [note.text for note in outcome.notes if "outside the marked box" in note.text]
    found_ml = search_in(outcome)["outside_box"]
    assert found_ml == pytest.approx(chest.right_ml, rel=0.1)
    assert f"{found_ml:.0f} ml" in told


def test_a_box_without_lung_says_that_nothing_was_searched(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    x, y, _ = chest.ct.GetSize()

    outcome = outcome_on(chest.ct, tmp_path, runner, f"0 0 0 {x} {y} 1")

    assert outcome.notes[0].text == NOT_IN_BOX
    assert outcome.labels == ()
    assert search_in(outcome)["outside_box"] > 1000


def test_lungs_that_are_not_usable_fail_the_ticket(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    image = sitk.Image(chest.ct)
    image.SetSpacing([3 * length for length in image.GetSpacing()])

    with pytest.raises(InferenceError, match="usable"):
        outcome_on(image, tmp_path, runner)


def test_lung_at_the_border_of_the_image_is_told(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    z = chest.ct.GetSize()[2]

    outcome = outcome_on(chest.ct[:, :, z // 2 :], tmp_path, runner)

    truth = sitk.GetArrayFromImage(chest.truth)[z // 2 :]
    rows = int(np.ceil(5 / chest.ct.GetSpacing()[2]))
    near_ml = float((truth[:rows] > 0).sum()) * float(np.prod(chest.ct.GetSpacing())) / 1000
    assert search_in(outcome)["cut_border"] == pytest.approx(near_ml, rel=0.15)


def test_a_view_of_one_side_does_not_say_that_the_other_lacks(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    x = chest.ct.GetSize()[0]

    outcome = outcome_on(chest.ct[: int(0.6 * x)], tmp_path, runner)

    assert search_in(outcome)["other_side"] == 0
    assert search_in(outcome)["cut_border"] > 50


def flooded(chest: Phantom, where: npt.NDArray[np.bool_]) -> sitk.Image:
    """Water in the lungs there."""
    hu = sitk.GetArrayFromImage(chest.ct)
    hu[where & (sitk.GetArrayFromImage(chest.truth) > 0)] = 15
    image = sitk.GetImageFromArray(hu)
    image.CopyInformation(chest.ct)
    return image


def one_lung_missing(chest: Phantom) -> sitk.Image:
    return flooded(chest, sitk.GetArrayFromImage(chest.truth) == 1)


def cut_in_height(chest: Phantom) -> sitk.Image:
    return sitk.Image(chest.ct[:, :, chest.ct.GetSize()[2] // 2 :])


def half_a_chest(chest: Phantom) -> sitk.Image:
    return sitk.Image(chest.ct[chest.ct.GetSize()[0] // 2 :])


def front_of_a_chest(chest: Phantom) -> sitk.Image:
    return sitk.Image(chest.ct[:, : chest.ct.GetSize()[1] // 2])


def effusion_on_one_side(chest: Phantom) -> sitk.Image:
    truth = sitk.GetArrayFromImage(chest.truth)
    low = np.zeros(truth.shape, bool)
    low[: int(np.argwhere(truth == 2).mean(axis=0)[0])] = True
    return flooded(chest, low & (truth == 2))


CAUSES: dict[str, Callable[[Phantom], sitk.Image]] = {
    "one lung missing": one_lung_missing,
    "cut in height": cut_in_height,
    "half a chest": half_a_chest,
    "front of a chest": front_of_a_chest,
    "effusion on one side": effusion_on_one_side,
}


@pytest.mark.parametrize("cause", CAUSES)
def test_lung_that_was_not_searched_is_never_good_and_never_plainly_empty(
    cause: str, chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    outcome = outcome_on(CAUSES[cause](chest), tmp_path, runner)

    warnings = [note.text for note in outcome.notes if note.level == "warning"]
    assert outcome.verdict == "look at it"
    assert any(re.search(r"Not searched: (\d+ ml \(\d+%\)|lung beyond)", text) for text in warnings)
    assert not [n for n in outcome.notes if n.level == "info" and "No candidate" in n.text]


def test_a_cut_says_where_lung_was_not_searched(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    outcome = outcome_on(cut_in_height(chest), tmp_path, runner)

    assert any("lung beyond the image's border (feet)" in note.text for note in outcome.notes)


def test_a_whole_chest_without_candidates_says_how_much_was_searched() -> None:
    whole = Search(
        verdict="good", reasons=(), lung_ml=4000.0, slices=90, of_slices=100, parts=(), borders=()
    )
    cut = replace(whole, borders=("feet",))

    assert (
        none_found(whole).text
        == "No candidate was found in the 4000 ml of lung that were searched."
    )
    assert (none_found(cut).level, cut.conclusion) == ("warning", "look at it")


def test_what_may_be_no_lung_is_not_called_lung() -> None:
    lacking = ChestPart(code="other_side", volume_ml=600.0, share=0.13)
    uneven = Search(
        verdict="good", reasons=(), lung_ml=4000.0, slices=90, of_slices=100, parts=(lacking,)
    )
    cut = replace(uneven, borders=("feet",))

    told = [next(iter(search_notes(search))).text for search in (uneven, cut)]

    assert told == [
        "Verdict on the search: look at it, since lung may have been left out.",
        "Verdict on the search: look at it, since lung was left out.",
    ]
    assert "other lung may have been left out" in none_found(uneven).text
