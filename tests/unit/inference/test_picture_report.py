"""The worker's picture: beside each segmentation, in the colours that were asked for, and never in its way."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.label_colours import PARAMETER
from dss_broker.messages import Label
from dss_inference import pictures
from dss_inference.ct.reading import Ct, read_ct
from dss_inference.device.runner import Runner
from dss_inference.errors import InferenceError
from dss_inference.lungs.bundle import LungSegmentation
from dss_inference.pictures import picture_report
from dss_phantom.chest import Phantom

pytestmark = pytest.mark.slow

LEFT = Label(value=1, name="left lung", rgb=(84, 155, 224), volume_ml=1.0)


@pytest.fixture
def ct(chest: Phantom, tmp_path: Path) -> Ct:
    sitk.WriteImage(chest.ct, tmp_path / "ct.nii.gz")
    return read_ct(tmp_path / "ct.nii.gz")


def _colours(path: Path) -> set[tuple[int, ...]]:
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(path))
    return {
        tuple(int(part) for part in colour) for colour in np.unique(pixels.reshape(-1, 3), axis=0)
    }


def test_a_segmentation_comes_with_a_picture_in_the_colours_of_its_labels(
    chest: Phantom, runner: Runner, tmp_path: Path
) -> None:
    sitk.WriteImage(chest.ct, tmp_path / "ct.nii.gz")

    outcome = LungSegmentation(runner).run(
        tmp_path / "ct.nii.gz", tmp_path, {}, lambda *_: None, lambda: False
    )

    (picture,) = [r for r in outcome.reports if r.mime_type == "image/png"]
    assert {label.rgb for label in outcome.labels} <= _colours(picture.path)


def test_the_colours_that_a_service_asks_for_go_first(ct: Ct, tmp_path: Path) -> None:
    found = np.zeros(ct.hu.shape, np.uint8)
    found[20:40, 20:40, 20:40] = 1

    (picture,) = picture_report(ct, found, [LEFT], tmp_path, {PARAMETER: "1=9,200,7"})

    assert (9, 200, 7) in _colours(picture.path)
    assert LEFT.rgb not in _colours(picture.path)


@pytest.mark.parametrize("text", ["red", "1=256,0,0", "1=1,2", "=1,2,3", "1:1,2,3"])
def test_a_colour_that_is_none_is_refused(ct: Ct, tmp_path: Path, text: str) -> None:
    with pytest.raises(InferenceError, match="it must be like"):
        picture_report(ct, ct.hu.astype(np.uint8), [LEFT], tmp_path, {PARAMETER: text})


def test_a_picture_that_cannot_be_drawn_costs_no_segmentation(
    ct: Ct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> bytes:
        raise ValueError

    monkeypatch.setattr(pictures, "picture_of_arrays", fails)

    assert picture_report(ct, ct.hu.astype(np.uint8), [LEFT], tmp_path, {}) == ()
