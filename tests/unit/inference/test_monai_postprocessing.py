# mypy: allow-untyped-calls
# (MONAI ships no types)
"""What a bundle's postprocessing does is what its labels mean, or the bundle is refused."""

import json
from pathlib import Path

import pytest
import torch
from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import AsDiscreted
from typer.testing import CliRunner

from dss_inference.__main__ import main
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


def test_an_answer_that_is_not_turned_back_is_refused(tmp_path: Path) -> None:
    names = {"0": "body", "1": "bone"}
    root = write_network(tmp_path / "turned", names, [-350, 300], [SIGMOID, THRESHOLD])

    with pytest.raises(InferenceError, match=r"does not lie in the grid .* Invertd"):
        outcome_of(root, tmp_path)
    assert "needs an Invertd" in CliRunner().invoke(main, ["bundle", "check", str(root)]).output


class Probabilities(torch.nn.Module):
    """A network that ends with a sigmoid."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.inner = torch.nn.Conv3d(1, out_channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.inner(images))


def write_probabilities(root: Path, names: dict[str, str], steps: list[Step]) -> Path:
    write_network(root, names, [2000.0, -350.0, 300.0][-len(names) :], steps)
    path = root / "configs" / "inference.json"
    changed = json.loads(path.read_text(encoding="utf-8"))
    changed["network"] = {"_target_": f"{__name__}.Probabilities", "out_channels": len(names)}
    path.write_text(json.dumps(changed), encoding="utf-8")
    state = torch.load(root / "models" / "model.pt")
    torch.save({f"inner.{name}": value for name, value in state.items()}, root / "models/model.pt")
    return root


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def test_a_second_sigmoid_is_refused(tmp_path: Path) -> None:
    root = write_probabilities(tmp_path / "b", {"0": "body", "1": "bone"}, [SIGMOID, INVERT])

    with pytest.raises(InferenceError, match="probabilities already"):
        outcome_of(root, tmp_path)


def test_a_threshold_on_a_network_that_ends_with_a_sigmoid_is_right(tmp_path: Path) -> None:
    root = write_probabilities(tmp_path / "b", {"0": "body", "1": "bone"}, [INVERT, THRESHOLD])

    assert volumes_of(outcome_of(root, tmp_path))["bone"] == pytest.approx(BONE_ML, abs=0.1)


def test_probabilities_that_overlap_without_a_rule_are_refused(tmp_path: Path) -> None:
    names = {"0": "background", "1": "body", "2": "bone"}
    root = write_probabilities(tmp_path / "b", names, [INVERT])

    with pytest.raises(InferenceError, match="overlap, so they are independent"):
        outcome_of(root, tmp_path)


LAMBDA = {"_target_": "Lambdad", "keys": "pred"}


@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        ([{"_target_": "Activationsd", "keys": "pred", "other": "$torch.sigmoid"}], "independent"),
        ([LAMBDA | {"func": "$lambda x: torch.sigmoid(x)"}], "independent"),
        ([LAMBDA | {"func": "$lambda x: x.argmax(0, keepdim=True)"}], "largest"),
        ([ARGMAX | {"keys": "label"}, SIGMOID], "independent"),
        ([SIGMOID | {"keys": ["label", "pred"], "sigmoid": [True, False]}], "largest"),
        ([THRESHOLD | {"keys": ["pred", "label"], "threshold": [0.5, None]}], "independent"),
        ([THRESHOLD | {"keys": ["$monai.utils.CommonKeys.PRED"]}], "independent"),
        ([ARGMAX | {"to_onehot": 3, "threshold": 0.5}], "largest"),
    ],
)
def test_the_rule_is_that_of_the_transforms_of_the_answer(steps: list[Step], rule: str) -> None:
    names = {0: "background", 1: "a", 2: "b"}

    assert channels_of(names, 3, config(*steps)).rule == rule


def test_a_function_that_nobody_knows_is_refused() -> None:
    step = {"_target_": "Activationsd", "keys": "pred", "other": "$scripts.squash"}

    with pytest.raises(InferenceError, match="neither called sigmoid nor softmax"):
        channels_of({0: "background", 1: "a"}, 2, config(step))


def test_channels_with_gaps_between_their_numbers_are_refused() -> None:
    with pytest.raises(InferenceError, match="number the channels 0, 2, 5"):
        channels_of({0: "background", 2: "a", 5: "b"}, 3, config(ARGMAX))


def test_three_channels_with_a_softmax_and_a_background_are_right(tmp_path: Path) -> None:
    """Channel 1 is the largest from -350 HU on, channel 2 from 300."""
    names = {"0": "background", "1": "body", "2": "bone"}
    root = write_network(tmp_path / "three", names, [0, 0, 0], [SOFTMAX, INVERT, ARGMAX])
    state = {
        "weight": torch.tensor([0.0, 40.0, 80.0]).reshape(3, 1, 1, 1, 1),
        "bias": torch.tensor([13.0, 0.0, -26.0]),
    }
    torch.save(state, root / "models" / "model.pt")

    assert volumes_of(outcome_of(root, tmp_path)) == {
        "body": pytest.approx(TISSUE_ML - BONE_ML, abs=0.1),
        "bone": pytest.approx(BONE_ML, abs=0.1),
    }


def test_no_label_lies_between_two_others_after_an_inversion(tmp_path: Path) -> None:
    """Half-way from 0 to 2 lies 1, if labels are interpolated."""
    names = {"0": "background", "1": "never", "2": "bone"}
    late = INVERT | {"nearest_interp": False}
    root = write_network(tmp_path / "late", names, [0, 0, 0], [ARGMAX, late])
    path = root / "configs" / "inference.json"
    changed = json.loads(path.read_text(encoding="utf-8"))
    step = {"_target_": "Spacingd", "keys": "image", "pixdim": [3, 3, 3]}
    changed["preprocessing"]["transforms"].append(step)
    path.write_text(json.dumps(changed), encoding="utf-8")
    state = {
        "weight": torch.tensor([0.0, 0.0, 40.0]).reshape(3, 1, 1, 1, 1),
        "bias": torch.tensor([26.0, -50.0, 0.0]),
    }
    torch.save(state, root / "models" / "model.pt")

    volumes = volumes_of(outcome_of(root, tmp_path))

    assert volumes["never"] == 0.0
    assert volumes["bone"] > 0.5 * BONE_ML


def test_a_step_for_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    names = {"0": "background", "1": "body", "2": "bone"}
    step = ARGMAX | {"keys": ["pred", "label"]}
    root = write_network(tmp_path / "b", names, [2000, -350, 300], [step, INVERT])

    with pytest.raises(InferenceError, match=r"asks for .*label"):
        outcome_of(root, tmp_path)


def test_a_number_of_channels_that_is_a_reference_is_compared(tmp_path: Path) -> None:
    names = {"0": "background", "1": "body", "2": "bone"}
    root = write_network(tmp_path / "b", names, [-350, 300], [ARGMAX, INVERT])
    path = root / "configs" / "inference.json"
    changed = json.loads(path.read_text(encoding="utf-8")) | {"classes": 2}
    changed["network"]["out_channels"] = "@classes"
    path.write_text(json.dumps(changed), encoding="utf-8")

    assert problems(root) == ["Its network gives 2 channels, but its metadata name 3."]


def test_a_threshold_on_labels_is_refused_if_there_are_several() -> None:
    names = {0: "background", 1: "a", 2: "b"}

    with pytest.raises(InferenceError, match="makes one label of all 2"):
        channels_of(names, 3, config(ARGMAX, THRESHOLD))
    assert channels_of({0: "background", 1: "a"}, 2, config(ARGMAX, THRESHOLD)).labels == {1: "a"}


def test_what_follows_the_argmax_is_left_out_of_no_image() -> None:
    largest = AsDiscreted(keys="pred", argmax=True)

    assert needs_only_argmax(Compose([largest]))
    assert not needs_only_argmax(Compose([largest, AsDiscreted(keys="pred", threshold=0.5)]))


def changed_preprocessing(root: Path, *steps: Step) -> Path:
    """The bundle with further steps."""
    path = root / "configs" / "inference.json"
    changed = json.loads(path.read_text(encoding="utf-8"))
    changed["preprocessing"]["transforms"] += steps
    path.write_text(json.dumps(changed), encoding="utf-8")
    return root


def test_labels_that_a_function_made_are_not_interpolated(tmp_path: Path) -> None:
    names = {"0": "background", "1": "never", "2": "bone"}
    largest = LAMBDA | {"func": "$lambda x: x.argmax(0, keepdim=True).float()"}
    steps = [largest, INVERT | {"nearest_interp": False}]
    root = write_network(tmp_path / "b", names, [-350, 2000, -350], steps)
    changed_preprocessing(root, {"_target_": "Spacingd", "keys": "image", "pixdim": [3, 3, 3]})
    state = {
        "weight": torch.tensor([0.0, 0.0, 40.0]).reshape(3, 1, 1, 1, 1),
        "bias": torch.tensor([26.0, -50.0, 0.0]),
    }
    torch.save(state, root / "models" / "model.pt")

    with pytest.raises(InferenceError, match="values between its labels"):
        outcome_of(root, tmp_path)


@pytest.mark.parametrize("option", [{"track_meta": False}, {"data_type": "numpy"}])
def test_an_image_that_loses_its_position_is_told(option: Step, tmp_path: Path) -> None:
    names = {"0": "background", "1": "bone"}
    root = write_network(tmp_path / "b", names, [2000, 300], [ARGMAX])
    changed_preprocessing(root, {"_target_": "EnsureTyped", "keys": "image", **option})

    with pytest.raises(InferenceError, match="without its position"):
        outcome_of(root, tmp_path)


def test_a_step_that_fails_is_told(tmp_path: Path) -> None:
    names = {"0": "background", "1": "bone"}
    step = LAMBDA | {"func": "$lambda x: x.reshape(7)"}
    root = write_network(tmp_path / "b", names, [2000, 300], [INVERT, ARGMAX, step])

    with pytest.raises(
        InferenceError, match="postprocessing of 'b' fails with RuntimeError: shape"
    ):
        outcome_of(root, tmp_path)


def test_memory_that_a_step_lacks_is_no_fault_of_the_bundle(tmp_path: Path) -> None:
    names = {"0": "background", "1": "bone"}
    step = LAMBDA | {"func": "$lambda x: torch.empty(1 << 58)"}
    root = write_network(tmp_path / "b", names, [2000, 300], [INVERT, ARGMAX, step])

    with pytest.raises(MemoryError):
        outcome_of(root, tmp_path)


def test_a_size_that_is_not_turned_back_asks_for_an_inversion(tmp_path: Path) -> None:
    names = {"0": "background", "1": "bone"}
    root = write_network(tmp_path / "b", names, [2000, 300], [ARGMAX])
    changed_preprocessing(
        root, {"_target_": "Resized", "keys": "image", "spatial_size": [16, 16, 16]}
    )

    with pytest.raises(InferenceError, match="needs an Invertd"):
        outcome_of(root, tmp_path)
