"""What is wrong with a bundle's folder, in plain words, and what a site may change."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from dss_inference.__main__ import main
from dss_inference.bundle_catalogue import load_to_serve
from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.bundle_checks import open_bundle, problems
from dss_inference.monai_bundles.config import read_config
from dss_inference.settings import DEFAULT_BUNDLE_BYTES
from support.bundle_folders import INFERENCE, write_bundle

# MONAI warns of its own future and of what it calls in torch.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

LARGE_FILES = """\
large_files:
- path: "models/model.pt"
  url: "https://models.example/x.pt"
  hash_val: "abc123"
  hash_type: "md5"
"""
FETCH = (
    "Its weights are not installed: fetch https://models.example/x.pt (md5 abc123) "
    "into models/model.pt."
)

NO_LIST = "Its 'preprocessing' has no list of transforms: write them as a list, or as '@NAME' if the entry NAME is that list."
UNKNOWN = (
    "Its 'preprocessing#transforms#1#keys' refers to '@imgae_key', which the configuration "
    "does not have."
)
MISSING = (
    "It needs the Python package 'a_package_of_nobody', which is not installed: "
    "pip install a_package_of_nobody."
)


def changed(root: Path, name: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """One of the bundle's files, with ``change`` made to what is in it."""
    path = root / "configs" / name
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return root


def image_of(metadata: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = metadata["network_data_format"]["inputs"]["image"]
    return found


def pred_of(metadata: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = metadata["network_data_format"]["outputs"]["pred"]
    return found


def test_a_good_bundle_has_no_problems(tmp_path: Path) -> None:
    assert problems(write_bundle(tmp_path / "threshold")) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda m: image_of(m).update(modality="MR"),
            "It takes MR images; only CT can be given.",
        ),
        (
            lambda m: image_of(m).update(num_channels=4),
            "It takes 4 channels; an image has one.",
        ),
        (
            lambda m: m["network_data_format"].pop("inputs"),
            "Its metadata do not say what image it takes (network_data_format.inputs.image).",
        ),
        (
            lambda m: pred_of(m)["channel_def"].update({"2": "bone"}),
            "Its network gives 2 channels, but its metadata name 3.",
        ),
        (
            lambda m: pred_of(m).update(num_channels=5),
            "Its metadata speak of 5 output channels, but name 2.",
        ),
    ],
)
def test_metadata_that_do_not_fit_are_told(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    root = changed(write_bundle(tmp_path / "b"), "metadata.json", change)

    assert problems(root) == [sentence]


def test_missing_names_of_labels_are_told_with_an_example(tmp_path: Path) -> None:
    root = changed(
        write_bundle(tmp_path / "b"), "metadata.json", lambda m: pred_of(m).pop("channel_def")
    )

    (sentence,) = problems(root)
    assert "channel_def is missing" in sentence
    assert '"1": "spleen"' in sentence


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda c: c.pop("inferer"),
            "Its inference configuration has no entry 'inferer'.",
        ),
        (
            lambda c: c["preprocessing"].update(transforms="none"),
            NO_LIST,
        ),
        (
            lambda c: c["preprocessing"]["transforms"][1].update(keys="@imgae_key"),
            UNKNOWN,
        ),
        (
            lambda c: c.update(imports=["$import a_package_of_nobody"]),
            MISSING,
        ),
        (
            lambda c: c["inferer"].update(_target_="scripts.inferer.Windows"),
            "It needs its own Python package 'scripts', which is not in its folder.",
        ),
    ],
)
def test_a_configuration_that_cannot_work_is_told(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    root = changed(write_bundle(tmp_path / "b"), "inference.json", change)

    assert problems(root) == [sentence]


def test_what_drives_a_bundle_may_refer_to_what_is_not_there(tmp_path: Path) -> None:
    """Dataset, evaluator and handlers are not used."""
    root = changed(
        write_bundle(tmp_path / "b"),
        "inference.json",
        lambda c: c.update(handlers=[{"_target_": "scripts.saver.Saver", "to": "@nowhere"}]),
    )

    assert problems(root) == []


def test_a_file_that_is_no_json_is_told_with_its_line(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "b")
    (root / "configs" / "inference.json").write_text('{"network": \n}', encoding="utf-8")

    (sentence,) = problems(root)
    assert sentence.startswith("Its configs/inference.json cannot be read: Expecting value: line 2")


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold", weights=False)
    (root / "configs" / "inference.json").unlink()
    changed(root, "metadata.json", lambda m: image_of(m).update(modality="MR"))
    changed(root, "metadata.json", lambda m: pred_of(m).pop("channel_def"))

    assert len(problems(root)) == 4


def test_missing_weights_are_told_with_where_to_get_them(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold", weights=False)
    (root / "large_files.yml").write_text(LARGE_FILES, encoding="utf-8")

    with pytest.raises(InferenceError) as refused:
        open_bundle(root)

    assert str(refused.value) == f"The bundle 'threshold' cannot be used. {FETCH}"


def test_a_bundle_without_weights_is_served_and_says_so_to_every_request(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold", weights=False)
    (root / "large_files.yml").write_text(LARGE_FILES, encoding="utf-8")

    bundle = load_to_serve("threshold", "cpu", 1, tmp_path, DEFAULT_BUNDLE_BYTES)

    assert (bundle.name, bundle.device) == ("threshold", "not installed")
    with pytest.raises(InferenceError) as refused:
        bundle.run(tmp_path / "ct.nii.gz", tmp_path, {}, lambda *_: None, lambda: False)
    assert str(refused.value) == f"The algorithm 'threshold' is not installed here. {FETCH}"


def test_a_configuration_in_yaml_is_the_same_as_in_json(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold")
    (root / "configs" / "inference.json").unlink()
    (root / "configs" / "inference.yaml").write_text(yaml.safe_dump(INFERENCE), encoding="utf-8")

    assert problems(root) == []
    assert read_config(root) == read_config(write_bundle(tmp_path / "other"))


def test_a_site_changes_values_by_their_path(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold")
    changes = {"preprocessing#transforms#3#pixdim": [3, 3, 3], "inferer#overlap": 0.5}
    (root / "configs" / "dss.json").write_text(json.dumps(changes), encoding="utf-8")

    config = read_config(root)

    assert config["preprocessing"]["transforms"][3]["pixdim"] == [3, 3, 3]
    assert config["inferer"]["overlap"] == 0.5
    assert problems(root) == []


@pytest.mark.parametrize("path", ["spacing", "inferers#overlap", "preprocessing#transforms#9#keys"])
def test_a_change_of_what_is_not_there_is_told(tmp_path: Path, path: str) -> None:
    root = write_bundle(tmp_path / "threshold")
    (root / "configs" / "dss.json").write_text(json.dumps({path: 1}), encoding="utf-8")

    assert problems(root) == [
        f"Its configs/dss.json changes '{path}', which the configuration does not have."
    ]


def check(*words: str, code: int) -> tuple[str, str]:
    answer = CliRunner().invoke(main, ["bundle", "check", *words])
    assert answer.exit_code == code, answer.output
    return answer.stdout, answer.stderr


def test_the_command_line_says_what_a_good_bundle_does(tmp_path: Path) -> None:
    said, _ = check(str(write_bundle(tmp_path / "good")), code=0)

    assert said == (
        "Threshold 1.2.3 can be served as 'good': soft tissue\n"
        "One label map: each voxel belongs to its largest channel, for its postprocessing takes the largest "
        "channel (argmax); channel 0 is the background.\n"
    )


def test_the_command_line_numbers_what_a_bad_bundle_lacks(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "bad", weights=False)
    changed(root, "metadata.json", lambda m: image_of(m).update(modality="MR"))

    _, said = check(str(root), code=1)

    assert said.splitlines() == [
        "1. It takes MR images; only CT can be given.",
        "2. Its weights are not installed: put them into models/model.pt.",
    ]


def test_what_only_a_trial_shows_is_told_in_a_sentence(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "bad")
    torch.save({"other": torch.zeros(3)}, root / "models" / "model.pt")
    odd = changed(
        write_bundle(tmp_path / "odd"),
        "inference.json",
        lambda c: c["inferer"].update(_target_="monai.inferers.NoSuchInferer"),
    )

    assert (
        "Its weights do not fit its network: 2 of its 2 tensors are" in check(str(root), code=2)[1]
    )
    assert "its 'inferer' fails with" in check(str(odd), code=2)[1]
    assert check(str(root), "--no-trial", code=0)
