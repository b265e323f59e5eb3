# mypy: allow-untyped-calls
# (SimpleITK and MONAI ship no types)
"""Which label a voxel gets of a bundle's channels, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dss_inference.__main__ import main
from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.bundle_checks import problems
from dss_inference.monai_bundles.labelling import label_map
from dss_inference.monai_bundles.output_channels import Channels, Rule, channels_of
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


@pytest.mark.parametrize(
    ("names", "limits_hu"),
    [
        ({"0": "body", "1": "bone"}, [-350, 300]),
        ({"0": "bone", "1": "body"}, [300, -350]),
        ({"1": "body", "2": "bone"}, [-350, 300]),
        ({"0": "background", "1": "body", "2": "bone"}, [2000, -350, 300]),
    ],
)
@pytest.mark.parametrize("steps", [[SIGMOID, INVERT, THRESHOLD], [SIGMOID, INVERT]])
def test_of_labels_that_overlap_the_smaller_one_is_shown(
    tmp_path: Path, names: dict[str, str], limits_hu: list[float], steps: list[Step]
) -> None:
    root = write_network(tmp_path / "sigmoid", names, limits_hu, steps)

    outcome = outcome_of(root, tmp_path)

    assert volumes_of(outcome) == {
        "bone": pytest.approx(BONE_ML, abs=0.1),
        "body": pytest.approx(TISSUE_ML - BONE_ML, abs=0.1),
    }
    assert any(f"{BONE_ML:.1f} ml of 'body' lie in smaller labels" in n.text for n in outcome.notes)


def test_the_background_is_where_no_independent_channel_passes(tmp_path: Path) -> None:
    names = {"0": "background", "1": "body", "2": "bone"}
    root = write_network(tmp_path / "high", names, [-2000, -350, 300], [SIGMOID, INVERT, THRESHOLD])

    outcome = outcome_of(root, tmp_path)

    assert volumes_of(outcome)["bone"] == pytest.approx(BONE_ML, abs=0.1)


def test_nothing_is_said_of_labels_that_do_not_overlap(tmp_path: Path) -> None:
    names = {"0": "body", "1": "nothing so dense"}
    root = write_network(tmp_path / "apart", names, [-350, 2000], [SIGMOID, INVERT, THRESHOLD])

    outcome = outcome_of(root, tmp_path)

    assert volumes_of(outcome) == {
        "body": pytest.approx(TISSUE_ML, abs=0.1),
        "nothing so dense": 0.0,
    }
    assert len(outcome.notes) == 1


@pytest.mark.parametrize("names", [{"0": "background", "1": "bone"}, {"0": "bone"}, {"1": "bone"}])
def test_one_channel_with_a_sigmoid_is_one_label(tmp_path: Path, names: dict[str, str]) -> None:
    root = write_network(tmp_path / "one", names, [300], [SIGMOID, INVERT])

    assert volumes_of(outcome_of(root, tmp_path)) == {"bone": pytest.approx(BONE_ML, abs=0.1)}


@pytest.mark.parametrize("steps", [[SOFTMAX, INVERT, ARGMAX], [INVERT, ARGMAX], [SOFTMAX, INVERT]])
def test_with_a_softmax_the_largest_channel_wins(tmp_path: Path, steps: list[Step]) -> None:
    """Channel 1 is larger than channel 0 above the limits' difference."""
    root = write_network(tmp_path / "soft", {"0": "background", "1": "bone"}, [300, 300], steps)
    state = {
        "weight": torch.tensor([0.0, 40.0]).reshape(2, 1, 1, 1, 1),
        "bias": torch.tensor([26.0, 0.0]),
    }
    torch.save(state, root / "models" / "model.pt")

    assert volumes_of(outcome_of(root, tmp_path)) == {"bone": pytest.approx(BONE_ML, abs=0.1)}


@pytest.mark.parametrize(
    ("names", "count", "steps", "sentence"),
    [
        ({0: "body", 1: "bone"}, 2, [SIGMOID, ARGMAX], "call channel 0 'body'"),
        ({0: "body", 1: "bone"}, 2, [SOFTMAX], "call channel 0 'body'"),
        ({0: "body", 1: "bone"}, 2, [], "call channel 0 'body'"),
        ({0: "body"}, 1, [], "call channel 0 'body'"),
        ({1: "body", 2: "bone"}, 2, [ARGMAX], "none of them is the background"),
        ({1: "body", 2: "bone"}, None, [SIGMOID], "give num_channels, or name"),
        ({0: "background", 1: "a", 2: "b"}, 1, [SIGMOID], "name 2 labels"),
        ({0: "background", 1: "a"}, 1, [SOFTMAX], "nothing would ever be found"),
        ({0: "body", 1: "bone"}, 2, [SIGMOID, THRESHOLD, ARGMAX], "the first one wins"),
    ],
)
def test_what_can_be_read_in_several_ways_is_refused(
    names: dict[int, str], count: int | None, steps: list[Step], sentence: str
) -> None:
    with pytest.raises(InferenceError, match=sentence):
        channels_of(names, count, config(*steps))


@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        ([{"_target_": "monai.transforms.ActivationsDict", "sigmoid": [True]}], Rule.INDEPENDENT),
        ([{"_target_": "ActivationsD", "sigmoid": [False], "softmax": [True]}], Rule.LARGEST),
        ([{"_target_": "AsDiscreted", "threshold": "@least"}], Rule.INDEPENDENT),
        ([{"_target_": "AsDiscreted", "threshold": 0.0}], Rule.INDEPENDENT),
        ([SIGMOID | {"_disabled_": True}, ARGMAX], Rule.LARGEST),
        ([SIGMOID, ARGMAX], Rule.LARGEST),
        ([ARGMAX | {"to_onehot": 3}, THRESHOLD], Rule.LARGEST),
        ([], Rule.LARGEST),
    ],
)
def test_the_rule_is_that_of_the_postprocessing(steps: list[Step], rule: Rule) -> None:
    channels = channels_of({0: "Background", 1: "a", 2: "b"}, 3, config(*steps))

    assert (channels.rule, channels.count, [*channels.labels]) == (rule, 3, [1, 2])


def test_one_channel_without_a_threshold_holds_the_values() -> None:
    channels = channels_of({0: "background", 1: "a", 2: "b"}, 1, config())

    found = label_map(np.full((1, 2, 3, 4), 2.0), channels, 1, (4, 3, 2))

    assert channels.rule == Rule.VALUES
    assert np.unique(found.voxels).tolist() == [2]


INDEPENDENT: Channels = channels_of({0: "body", 1: "bone"}, 2, config(SIGMOID))


def test_values_that_are_no_probabilities_are_an_error() -> None:
    with pytest.raises(InferenceError, match=r"values from -7 to 9; .* probabilities"):
        label_map(np.array([-7.0, 9.0]).reshape(2, 1, 1, 1), INDEPENDENT, 2, (1, 1, 1))


def test_channels_that_a_bundle_merges_without_a_background_are_an_error() -> None:
    with pytest.raises(InferenceError, match="one channel of several"):
        label_map(np.ones((1, 1, 1, 1)), INDEPENDENT, 2, (1, 1, 1))


def test_of_two_labels_of_one_size_the_later_one_is_shown() -> None:
    found = label_map(np.ones((2, 1, 1, 1)), INDEPENDENT, 2, (1, 1, 1))

    assert (found.voxels.item(), found.hidden) == (2, {1: 1})


def said_of(root: Path) -> str:
    answer = CliRunner().invoke(main, ["bundle", "check", str(root)])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_check_says_which_rule_applies_and_why(tmp_path: Path) -> None:
    names = {"0": "body", "1": "bone"}
    root = write_network(tmp_path / "s", names, [-350, 300], [SIGMOID, INVERT, THRESHOLD])

    assert said_of(root).splitlines()[1] == (
        "One label map: the channels are independent, for its postprocessing has a threshold of 0.5; a voxel "
        "belongs to each label whose channel passes, where several do to the one that is smallest in this "
        "image, and where none does to the background."
    )


def test_check_refuses_what_can_be_read_in_several_ways(tmp_path: Path) -> None:
    names = {"0": "body", "1": "bone"}
    root = write_network(tmp_path / "s", names, [-350, 300], [SIGMOID, INVERT, ARGMAX])

    (sentence,) = problems(root)

    assert sentence.startswith("Its metadata call channel 0 'body', but its postprocessing takes")


def test_the_background_alone_is_no_label(tmp_path: Path) -> None:
    root = write_network(tmp_path / "s", {"0": "background"}, [300], [SIGMOID, INVERT])

    assert problems(root) == ["Its metadata name the background and no label (channel_def)."]
