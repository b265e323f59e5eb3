# mypy: allow-untyped-calls
# (SimpleITK and MONAI ship no types)
"""MONAI detection bundles: one made here that finds balls."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import torch

from dss_inference.bundle_catalogue import load
from dss_inference.errors import Cancelled, InferenceError
from dss_inference.monai_bundles.bundle_checks import open_bundle
from dss_inference.monai_bundles.detection import MonaiDetection
from support.builders import write_image
from support.detections import run
from support.detector_folders import (
    BALLS_MM,
    two_balls,
    write_ball_finder,
)

# MONAI warns of its own future and of what it calls in torch.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> MonaiDetection:
    """One for all, because a process can hold one package ``scripts`` only."""
    root = write_ball_finder(tmp_path_factory.mktemp("bundles") / "balls")
    return MonaiDetection(open_bundle(root), "cpu")


def middle_mm(labels: sitk.Image, value: int) -> np.ndarray:
    measured = sitk.LabelShapeStatisticsImageFilter()
    measured.Execute(labels)
    return np.array(measured.GetCentroid(value))


@pytest.mark.parametrize(
    ("orientation", "oblique_deg"),
    [("LPS", 0.0), ("RAS", 0.0), ("PIR", 0.0), ("ASL", 0.0), ("LPS", 12.0), ("RAS", 25.0)],
)
def test_what_is_found_lies_where_it_is(
    tmp_path: Path, finder: MonaiDetection, orientation: str, oblique_deg: float
) -> None:
    image = two_balls(orientation, oblique_deg)

    outcome, findings = run(finder, image, tmp_path / "out")

    found = sitk.ReadImage(str(outcome.segmentation))
    assert found.GetSize() == image.GetSize()
    assert found.GetSpacing() == pytest.approx(image.GetSpacing())
    assert [f["number"] for f in findings] == [1, 2]
    for finding, middle in zip(findings, BALLS_MM, strict=True):
        assert np.linalg.norm(np.array(finding["centre_mm"]) - middle) < 2.5
        assert np.linalg.norm(middle_mm(found, finding["number"]) - middle) < 2.5
        assert finding["diameter_mm"] == pytest.approx(16, abs=1)
    truth = sitk.GetArrayFromImage(image) > -1000
    inside = sitk.GetArrayFromImage(found) > 0
    assert 2 * (truth & inside).sum() / (truth.sum() + inside.sum()) > 0.8


def test_each_finding_is_a_label_a_line_and_a_row(tmp_path: Path, finder: MonaiDetection) -> None:
    outcome, findings = run(finder, two_balls("LPS"), tmp_path)

    first = findings[0]
    title = f"ball 1, 16 mm, score {first['score']:.2f}"
    assert outcome.labels[0].name == title
    assert outcome.labels[0].volume_ml == pytest.approx(4 / 3 * np.pi * 0.8**3, rel=0.1)
    assert outcome.notes[0].text.startswith(f"Ball 1{title[6:]}, centre -")
    assert outcome.notes[-1].text == "Found by the MONAI bundle 'Balls' 0.1."
    (row, _) = list(
        csv.DictReader((tmp_path / "findings.csv").read_text(encoding="utf-8").splitlines())
    )
    assert float(row["z_mm"]) == pytest.approx(first["centre_mm"][2], abs=0.01)


def test_a_service_says_how_sure_and_how_many(tmp_path: Path, finder: MonaiDetection) -> None:
    image = two_balls("LPS")

    assert len(run(finder, image, tmp_path, most="1")[1]) == 1
    assert run(finder, image, tmp_path, least_score="1")[1] == []
    with pytest.raises(InferenceError, match="least_score is 'high'; it must be from 0 to 1"):
        run(finder, image, tmp_path, least_score="high")


def test_findings_beyond_the_most_are_told(tmp_path: Path, finder: MonaiDetection) -> None:
    outcome, findings = run(finder, two_balls("LPS"), tmp_path, most="1")

    assert len(findings) == 1
    assert (outcome.notes[0].level, outcome.notes[0].text) == (
        "warning",
        "2 findings reach the score; the 1 with the highest scores are shown.",
    )
    assert run(finder, two_balls("LPS"), tmp_path, most="2")[0].notes[0].level == "info"


def test_nothing_found_is_an_empty_segmentation_that_says_so(
    tmp_path: Path, finder: MonaiDetection
) -> None:
    air = two_balls("LPS") * 0 - 1000
    air[0, 0, 0] = 0

    outcome, findings = run(finder, air, tmp_path)

    assert (outcome.labels, findings) == ((), [])
    assert outcome.notes[0].text == "Nothing was found with a score of 0.5 or more."
    assert not sitk.GetArrayFromImage(sitk.ReadImage(str(outcome.segmentation))).any()


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_detector_that_answers_no_numbers_is_an_error(
    tmp_path: Path, finder: MonaiDetection, odd: float
) -> None:
    bias = finder._network.state_dict()["match.bias"]
    usual = bias.clone()
    bias.fill_(odd)

    try:
        with pytest.raises(InferenceError, match="answered with values that are not numbers"):
            run(finder, two_balls("LPS"), tmp_path)
    finally:
        bias.copy_(usual)


def test_a_withdrawn_ticket_stops_between_two_windows(
    tmp_path: Path, finder: MonaiDetection
) -> None:
    image = write_image(tmp_path / "ct.nii.gz", two_balls("LPS"))
    told: list[float] = []

    with pytest.raises(Cancelled):
        finder.run(image, tmp_path, {}, lambda f, _: told.append(f), lambda: len(told) > 5)

    assert told == sorted(told)
    assert len(told) == 6


def test_a_second_bundle_with_code_of_its_own_needs_another_process(
    tmp_path: Path, finder: MonaiDetection
) -> None:
    assert finder.name == "balls"

    with pytest.raises(InferenceError, match="serve --bundle more-balls"):
        load(str(write_ball_finder(tmp_path / "more-balls")), "cpu", 1)


def test_torchscript_needs_no_network_in_the_configuration(
    tmp_path: Path, finder: MonaiDetection
) -> None:
    """Its attributes are not those of the network, so the detector is told them."""
    root = write_ball_finder(tmp_path / "scripted")
    config = json.loads((root / "configs" / "inference.json").read_text(encoding="utf-8"))
    config["network"] = {"_target_": "nothing.that.is.There"}
    config["detector"] |= {"spatial_dims": 3, "num_classes": 1, "size_divisible": 1}
    (root / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    shutil.rmtree(root / "scripts")
    (root / "models" / "model.pt").unlink()
    script = torch.jit.script(finder._network)
    script.save(root / "models" / "model.ts")
    image = two_balls("RAS", 12.0)

    bundle = MonaiDetection(open_bundle(root), "cpu")
    _, found = run(bundle, image, tmp_path / "one")

    assert found == run(finder, image, tmp_path / "other")[1]
    assert len(found) == 2
