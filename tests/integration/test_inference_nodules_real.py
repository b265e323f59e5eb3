# mypy: allow-untyped-calls
"""The nodule of a real CT, as four radiologists drew it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage as ndi
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.bundle import BundleOutcome
from dss_inference.bundle_catalogue import load

pytestmark = pytest.mark.shared_data


@pytest.fixture(scope="module")
def known(shared_data: Path) -> dict[str, Any]:
    """What the readers drew."""
    drawn = json.loads(
        (shared_data / "lidc/LIDC-IDRI-0003_nodules.json").read_text(encoding="utf-8")
    )
    return dict(next(nodule for nodule in drawn if nodule["in_slab"]))


@pytest.fixture(scope="module")
def outcome(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> BundleOutcome:
    image = shared_data / "lidc/LIDC-IDRI-0003_slab.nii.gz"
    folder = tmp_path_factory.mktemp("slab")
    bundle = load("nodule-detection", "cpu", 2)
    return bundle.run(image, folder, {}, lambda *_: None, lambda: False)


def test_the_large_nodule_of_a_real_lung_is_the_first_candidate(
    known: dict[str, Any], outcome: BundleOutcome
) -> None:
    notes = " ".join(note.text for note in outcome.notes)
    told = re.search(r"centre (\S+), (\S+), (\S+) mm", notes)

    assert told is not None
    away = np.array(known["center_lps"]) - [float(word) for word in told.groups()]
    assert np.linalg.norm(away) < 5


def test_its_longest_diameter_is_that_of_the_readers(
    known: dict[str, Any], outcome: BundleOutcome
) -> None:
    listed = json.loads(outcome.reports[1].path.read_text(encoding="utf-8"))["findings"]

    assert listed[0]["diameter_mm"] == pytest.approx(known["diameter_mm"], rel=0.15)


def test_its_label_covers_what_is_as_dense_as_a_nodule(
    outcome: BundleOutcome, shared_data: Path
) -> None:
    ct = sitk.ReadImage(shared_data / "lidc/LIDC-IDRI-0003_slab.nii.gz")
    hu, labels = (
        sitk.GetArrayFromImage(image) for image in (ct, sitk.ReadImage(outcome.segmentation))
    )
    z, y, x = (slice(low, high + 1) for low, high in zip(*ends_of(labels == 1), strict=True))
    dense = ndi.binary_opening(hu[z, y, x] > -200)

    assert (labels[z, y, x] == 1)[dense].mean() > 0.95


def ends_of(flags: npt.NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """First and last index of what is set, axis by axis."""
    places = np.argwhere(flags)
    return places.min(axis=0).tolist(), places.max(axis=0).tolist()
