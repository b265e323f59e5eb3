# mypy: allow-untyped-calls
# (MONAI ships no types)
"""Bundles that would end in success with a wrong segmentation give a right one, or are refused with a sentence."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import AsDiscreted, KeepLargestConnectedComponentd

from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.argmax_only import needs_only_argmax
from dss_inference.monai_bundles.bundle_checks import problems
from dss_inference.monai_bundles.output_channels import channels_of
from support.channel_bundles import (
    ARGMAX,
    BONE_ML,
    INVERT,
    SIGMOID,
    SOFTMAX,
    THRESHOLD,
    TISSUE_ML,
    Step,
    config,
    outcome_of,
    volumes_of,
    write_network,
)

# MONAI warns of its own future and of what it calls in torch.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

ONE = {"0": "background", "1": "bone"}
TWO = {"0": "background", "1": "body", "2": "bone"}
LAMBDA = {"_target_": "Lambdad", "keys": "pred"}
WITHOUT_FIRST = LAMBDA | {"func": "$lambda x: x[1:]"}
COARSER = {"_target_": "Spacingd", "keys": "image", "pixdim": [3, 3, 3]}
BONE_AT = 0.65
"""The scaled value of 300 HU."""


class Made(torch.nn.Module):
    """A network whose number of channels the configuration does not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))


class OneProbability(Made):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(40 * (images - BONE_AT))


class OneLogit(Made):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 40 * (images - BONE_AT)


class LabelTwo(Made):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2.0 * (images > BONE_AT)


class LabelNine(Made):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 9.0 * (images > BONE_AT)


class ThreeLogits(Made):
    """Channel 1 is the largest from -350 HU on, channel 2 from 300.  It takes images of any number of axes."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([0 * images + 13, 40 * images, 80 * images - 26], 1)


class ThreeInSlices(ThreeLogits):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.ndim != 4:
            raise ValueError("slices are needed")
        return super().forward(images)


class TwoLayers(ThreeLogits):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]  # returns two layers
        answer = super().forward(images)
        return answer, answer


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def write_made(
    root: Path,
    network: type[Made],
    names: dict[str, str],
    steps: list[Step],
    *preprocessing: Step,
    channels: int | None = None,
    inferer: Step | None = None,
) -> Path:
    """``channels`` is the number that the metadata tell."""
    write_network(root, names, [0.0], steps)
    path = root / "configs" / "inference.json"
    changed = json.loads(path.read_text(encoding="utf-8"))
    changed["network"] = {"_target_": f"{__name__}.{network.__name__}"}
    changed["preprocessing"]["transforms"] += preprocessing
    changed["inferer"] = inferer or changed["inferer"]
    path.write_text(json.dumps(changed), encoding="utf-8")
    if channels is not None:
        path = root / "configs" / "metadata.json"
        changed = json.loads(path.read_text(encoding="utf-8"))
        changed["network_data_format"]["outputs"]["pred"]["num_channels"] = channels
        path.write_text(json.dumps(changed), encoding="utf-8")
    torch.save({"unused": torch.zeros(1)}, root / "models" / "model.pt")
    return root


@pytest.mark.parametrize(
    ("network", "steps"),
    [
        (OneProbability, [INVERT, ARGMAX]),
        (OneLogit, [SOFTMAX, INVERT]),
        (OneLogit, [SOFTMAX, INVERT, THRESHOLD]),
    ],
)
def test_one_channel_that_is_compared_with_none_is_refused(
    network: type[Made], steps: list[Step], tmp_path: Path
) -> None:
    """The largest of one channel is number 0 everywhere; its softmax is 1 everywhere."""
    root = write_made(tmp_path / "b", network, ONE, steps)

    with pytest.raises(InferenceError, match=r"one channel, but its postprocessing compares"):
        outcome_of(root, tmp_path)


@pytest.mark.parametrize(
    "steps", [[INVERT, WITHOUT_FIRST], [SOFTMAX, INVERT, WITHOUT_FIRST, ARGMAX]]
)
def test_channels_that_are_left_out_do_not_shift_the_labels(
    steps: list[Step], tmp_path: Path
) -> None:
    root = write_made(tmp_path / "b", ThreeLogits, TWO, steps)

    with pytest.raises(InferenceError, match="leaves 2 of the network's 3 channels"):
        outcome_of(root, tmp_path)


def test_one_channel_of_several_is_not_taken_for_the_first_label(tmp_path: Path) -> None:
    steps = [SOFTMAX, INVERT, LAMBDA | {"func": "$lambda x: 0.9 * x[2:3]"}]
    root = write_made(tmp_path / "b", ThreeLogits, TWO, steps)

    with pytest.raises(InferenceError, match="no channel may be left out"):
        outcome_of(root, tmp_path)


def test_labels_that_a_network_gives_are_not_interpolated(tmp_path: Path) -> None:
    names = {"0": "background", "1": "never", "2": "bone"}
    steps = [INVERT | {"nearest_interp": False}]
    root = write_made(tmp_path / "b", LabelTwo, names, steps, COARSER, channels=1)

    volumes = volumes_of(outcome_of(root, tmp_path))

    assert volumes["never"] == 0.0
    assert volumes["bone"] > 0.5 * BONE_ML


def test_a_label_without_a_name_is_refused(tmp_path: Path) -> None:
    root = write_made(tmp_path / "b", LabelNine, TWO, [INVERT], channels=1)

    with pytest.raises(InferenceError, match="label 9, which its metadata do not name"):
        outcome_of(root, tmp_path)


CROPPED = {
    "_target_": "CropForegroundd",
    "keys": "image",
    "source_key": "image",
    "select_fn": "$lambda x: x > 0.3",
    "margin": 0,
}


@pytest.mark.parametrize(
    "steps", [[INVERT, SIGMOID, THRESHOLD], [INVERT, THRESHOLD | {"threshold": 0.0}]]
)
def test_what_a_crop_leaves_out_gets_no_label(steps: list[Step], tmp_path: Path) -> None:
    """Outside the crop an inversion writes 0, whose sigmoid is 0.5."""
    root = write_made(tmp_path / "b", OneLogit, ONE, steps, CROPPED, channels=1)

    outcome = outcome_of(root, tmp_path)

    assert volumes_of(outcome)["bone"] == pytest.approx(BONE_ML, abs=0.1)
    assert [note.level for note in outcome.notes] == ["info"]


def test_tissue_that_a_crop_leaves_out_is_told(tmp_path: Path) -> None:
    crop = {"_target_": "CenterSpatialCropd", "keys": "image", "roi_size": [32, 32, 16]}
    root = write_made(tmp_path / "b", ThreeLogits, TWO, [INVERT, ARGMAX], crop)

    warning = outcome_of(root, tmp_path).notes[0]

    assert warning.level == "warning"
    assert warning.text == (
        "The bundle looked at a part of the image only: 13 ml of tissue (20%) lie outside of it, and have no label."
    )


def test_an_empty_segmentation_is_told(tmp_path: Path) -> None:
    root = write_network(tmp_path / "b", {"0": "bone"}, [3000], [SIGMOID, INVERT, THRESHOLD])

    warning = outcome_of(root, tmp_path).notes[0]

    assert (warning.level, warning.text) == ("warning", "Nothing was found: no voxel has a label.")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_network_of_slices_finds_the_same_along_each_axis(axis: int, tmp_path: Path) -> None:
    inferer = {
        "_target_": "SliceInferer",
        "roi_size": [16, -1],
        "sw_batch_size": 4,
        "spatial_dim": axis,
    }
    root = write_made(tmp_path / "b", ThreeInSlices, TWO, [INVERT, ARGMAX], inferer=inferer)

    assert volumes_of(outcome_of(root, tmp_path)) == {
        "body": pytest.approx(TISSUE_ML - BONE_ML, abs=0.1),
        "bone": pytest.approx(BONE_ML, abs=0.1),
    }


def test_outputs_of_several_layers_are_refused(tmp_path: Path) -> None:
    root = write_made(tmp_path / "b", TwoLayers, TWO, [INVERT, ARGMAX])

    with pytest.raises(InferenceError, match="answers with 2 values; one tensor"):
        outcome_of(root, tmp_path)


def test_a_network_that_cannot_take_the_image_says_why(tmp_path: Path) -> None:
    root = write_made(tmp_path / "b", ThreeInSlices, TWO, [INVERT, ARGMAX])

    with pytest.raises(InferenceError, match="of 'b' fails with ValueError: slices are needed"):
        outcome_of(root, tmp_path)


@pytest.mark.parametrize(
    "step",
    [
        {"_target_": "MapLabelValued", "keys": "pred", "orig_labels": [1], "target_labels": [2]},
        {"_target_": "LabelToMaskd", "keys": "pred", "select_labels": [2]},
    ],
)
def test_names_are_not_given_to_labels_that_are_renumbered(step: Step) -> None:
    names = {0: "background", 1: "body", 2: "bone"}

    with pytest.raises(InferenceError, match="changes the values of its 2 labels"):
        channels_of(names, 3, config(ARGMAX, step))
    assert channels_of({0: "background", 1: "body"}, 2, config(ARGMAX, step)).labels == {1: "body"}


def test_channels_made_of_labels_are_kept_for_what_follows() -> None:
    as_channels = AsDiscreted(keys="pred", argmax=True, to_onehot=3)

    assert needs_only_argmax(Compose([as_channels]))
    assert not needs_only_argmax(
        Compose([as_channels, KeepLargestConnectedComponentd("pred", is_onehot=True)])
    )


def test_a_package_that_a_transform_imports_late_is_told_by_the_check(tmp_path: Path) -> None:
    largest = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred"}
    root = write_made(tmp_path / "b", ThreeLogits, TWO, [INVERT, ARGMAX, largest])
    sentence = (
        "It needs the Python package 'skimage', which is not installed: pip install scikit-image."
    )

    assert problems(root) == ([sentence] if find_spec("skimage") is None else [])
