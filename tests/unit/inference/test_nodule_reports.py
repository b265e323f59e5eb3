# mypy: allow-untyped-calls
"""Where a nodule is said to be, and what the user reads of it."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.bundle import BundleOutcome
from dss_inference.device.runner import Runner
from dss_inference.nodules.bundle import NOT_SEARCHED, NoduleDetection
from dss_phantom.chest import Phantom, PhantomSpec, make_phantom
from support.builders import grid_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodular(runner: Runner) -> Phantom:
    spec = PhantomSpec(
        size=(100, 130, 110),
        spacing_mm=(2.0, 2.4, 2.0),
        orientation="PIR",
        oblique_deg=12,
        seed=4,
        nodules=6,
    )
    return make_phantom(spec, runner)


def outcome_on(image: sitk.Image, folder: Path, runner: Runner) -> BundleOutcome:
    sitk.WriteImage(image, folder / "ct.nii.gz")
    bundle = NoduleDetection(runner)
    return bundle.run(folder / "ct.nii.gz", folder, {}, lambda *_: None, lambda: False)


@pytest.fixture(scope="module")
def outcome(
    nodular: Phantom, runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> BundleOutcome:
    return outcome_on(nodular.ct, tmp_path_factory.mktemp("nodules"), runner)


def told_mm(outcome: BundleOutcome) -> list[npt.NDArray[np.float64]]:
    """LPS positions from the notes, in the order of the candidates."""
    told = re.findall(r"centre (\S+), (\S+), (\S+) mm", " ".join(n.text for n in outcome.notes))
    return [np.array([float(word) for word in words]) for words in told]


def test_the_position_that_is_told_is_that_of_a_nodule(
    nodular: Phantom, outcome: BundleOutcome
) -> None:
    centres = [nodule.centre_mm for nodule in nodular.nodules]

    away = [float(np.linalg.norm(a - b)) for a in told_mm(outcome) for b in centres]

    assert min(away) < 1.5


def test_every_candidate_has_its_voxels_in_the_grid_of_the_image(
    nodular: Phantom, outcome: BundleOutcome
) -> None:
    written = sitk.ReadImage(outcome.segmentation)

    assert grid_of(written).size == grid_of(nodular.ct).size
    values = np.unique(sitk.GetArrayFromImage(written))
    assert values.tolist() == [0, *(label.value for label in outcome.labels)]


def test_a_label_tells_diameter_and_score(outcome: BundleOutcome) -> None:
    assert re.fullmatch(r"candidate 1, \d+ mm, score [01]\.\d\d", outcome.labels[0].name)


def test_a_candidate_is_drawn_where_it_is_told_to_be(outcome: BundleOutcome) -> None:
    segmentation = sitk.ReadImage(outcome.segmentation)
    index = np.argwhere(sitk.GetArrayFromImage(segmentation) == 1).mean(axis=0)[::-1]

    drawn_mm = segmentation.TransformContinuousIndexToPhysicalPoint(index.tolist())

    assert np.linalg.norm(np.array(drawn_mm) - told_mm(outcome)[0]) < 2


def test_an_image_without_lungs_has_no_candidates(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    outcome = outcome_on(chest.ct[:, :, :8], tmp_path, runner)

    assert (outcome.labels, [note.text for note in outcome.notes]) == ((), [NOT_SEARCHED])


def test_thick_slices_are_warned_of(chest: Phantom, runner: Runner, tmp_path: Path) -> None:
    outcome = outcome_on(chest.ct[:, :, 40:50], tmp_path, runner)

    (thick,) = [note for note in outcome.notes if "up to 4 mm long" in note.text]
    assert thick.level == "warning"


def test_the_findings_are_listed_for_people_and_programs(outcome: BundleOutcome) -> None:
    table, tree, *_ = (report.path for report in outcome.reports)

    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    listed = json.loads(tree.read_text(encoding="utf-8"))["findings"]

    assert [row["number"] for row in rows] == [str(label.value) for label in outcome.labels]
    assert [f["centre_mm"] for f in listed] == [list(m.position_mm) for m in outcome.landmarks]


def test_a_landmark_lies_in_its_label_and_has_its_name(outcome: BundleOutcome) -> None:
    segmentation = sitk.ReadImage(outcome.segmentation)

    for landmark, label in zip(outcome.landmarks, outcome.labels, strict=True):
        index = segmentation.TransformPhysicalPointToIndex(landmark.position_mm)
        assert segmentation[index] == label.value
        assert (landmark.text, landmark.rgb) == (label.name, label.rgb)
