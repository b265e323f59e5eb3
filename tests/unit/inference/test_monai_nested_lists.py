# mypy: allow-untyped-calls
# (SimpleITK and MONAI ship no types)
"""Transforms in nested lists and under names of their own count as those in the list itself, and an answer that MONAI
would resample when it saves it lies where it belongs.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import torch
from monai.transforms.compose import Compose
from monai.transforms.io.dictionary import LoadImaged, SaveImaged
from monai.transforms.post.dictionary import AsDiscreted
from monai.transforms.spatial.dictionary import Orientationd, Spacingd
from monai.transforms.utility.dictionary import EnsureChannelFirstd

from dss_inference.errors import InferenceError
from dss_inference.monai_bundles.bundle_checks import open_bundle, problems
from dss_inference.monai_bundles.output_channels import channels_of
from dss_inference.monai_bundles.segmentation import MonaiSegmentation
from support.builders import write_image
from support.bundle_folders import a_ball, write_bundle
from support.channel_bundles import (
    ARGMAX,
    BONE_ML,
    INVERT,
    SIGMOID,
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

NAMES = {"0": "body", "1": "bone"}
DIRECTIONS = [
    (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0),
    (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0),
    (0, 0, 1.0, 1.0, 0, 0, 0, -1.0, 0),
    (0.96, 0.28, 0, -0.28, 0.96, 0, 0, 0, 1.0),
]


def nested(*steps: Step) -> Step:
    return {"_target_": "Compose", "transforms": list(steps)}


def saved(**options: object) -> Step:
    return {"_target_": "SaveImaged", "keys": "pred", "output_dir": "/nowhere", **options}


def changed(root: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = root / "configs" / "inference.json"
    inference = json.loads(path.read_text(encoding="utf-8"))
    change(inference)
    path.write_text(json.dumps(inference), encoding="utf-8")
    return root


@pytest.mark.parametrize(
    "steps",
    [
        [nested(INVERT, SIGMOID), nested(nested(THRESHOLD, saved()))],
        [INVERT, nested(SIGMOID, THRESHOLD | {"_disabled_": "false"})],
        [nested(SIGMOID, INVERT), nested(ARGMAX) | {"_disabled_": True}],
    ],
)
def test_a_nested_list_is_read_as_its_transforms(steps: list[Step], tmp_path: Path) -> None:
    root = write_network(tmp_path / "b", NAMES, [-350, 300], steps)

    assert volumes_of(outcome_of(root, tmp_path)) == {
        "body": pytest.approx(TISSUE_ML - BONE_ML, abs=0.1),
        "bone": pytest.approx(BONE_ML, abs=0.1),
    }


def test_a_nested_argmax_makes_the_largest_channel_the_rule() -> None:
    names = {0: "background", 1: "a", 2: "b"}

    assert channels_of(names, 3, config(nested(nested(ARGMAX)))).rule == "largest"
    assert channels_of(names, 3, config(nested(SIGMOID, ARGMAX | {"_disabled_": True}))).rule == (
        "independent"
    )


def test_nested_preprocessing_is_inverted_and_reads_no_file(tmp_path: Path) -> None:
    def nest(inference: dict[str, Any]) -> None:
        steps = inference["preprocessing"]["transforms"]
        inference["preprocessing"]["transforms"] = [nested(*steps[:3]), nested(*steps[3:])]

    root = changed(write_bundle(tmp_path / "b"), nest)

    assert problems(root) == []
    assert _overlap(root, a_ball(DIRECTIONS[2], (2.0, 2.5, 3.0)), tmp_path) > 0.95


def _as_the_template(inference: dict[str, Any]) -> None:
    """Lists under names of their own, as in MONAI's segmentation_template and spleen_deepedit_annotation."""
    steps = inference["preprocessing"]["transforms"]
    inference |= {"first": steps[:2], "more": steps[2:], "invert": INVERT}
    inference["preprocessing"]["transforms"] = "$@first + @more"
    inference["post"] = inference["postprocessing"]
    inference["post"]["transforms"][0] = "@invert"
    inference["postprocessing"] = "$@post"


def test_lists_under_names_of_their_own_are_used(tmp_path: Path) -> None:
    root = changed(write_bundle(tmp_path / "b"), _as_the_template)

    assert problems(root) == []
    assert _overlap(root, a_ball(DIRECTIONS[1], (2.0, 2.5, 3.0)), tmp_path) > 0.95


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_answer_that_is_resampled_when_saved_lies_where_an_inverted_one_lies(
    direction: tuple[float, ...], tmp_path: Path
) -> None:
    root = _resampling(tmp_path / "b", saved(resample=True))
    inverted = _resampling(tmp_path / "inverted", INVERT)
    image = a_ball(direction, (2.0, 2.5, 3.0))

    found = _voxels(root, image, tmp_path / "found")

    assert problems(root) == []
    assert _dice(found > 0, _voxels(inverted, image, tmp_path / "out") > 0) > 0.999
    assert _dice(found > 0, sitk.GetArrayFromImage(image) > 0) > 0.91  # in voxels of 4 mm


def test_it_is_voxel_by_voxel_what_monai_writes(tmp_path: Path) -> None:
    image = a_ball(DIRECTIONS[3], (2.13, 2.71, 3.37))  # no voxel lies half-way between two
    source = write_image(tmp_path / "ct.nii.gz", image)
    root = _resampling(tmp_path / "b", saved(resample=True))
    state = {"weight": torch.tensor([0.0, 1.0]), "bias": torch.tensor([0.3601, 0.0])}
    state["weight"] = state["weight"].reshape(2, 1, 1, 1, 1)
    torch.save(state, root / "models" / "model.pt")  # channel 1 wins above -279.8 HU
    ours = _voxels(root, image, tmp_path / "ours")

    prepared = Compose(
        [
            LoadImaged(keys="image"),
            EnsureChannelFirstd(keys="image"),
            Orientationd(keys="image", axcodes="RAS"),
            Spacingd(keys="image", pixdim=[4, 4, 4]),
        ]
    )({"image": str(source)})["image"]
    pred = torch.cat([torch.full_like(prepared, -279.8), prepared])
    writer = SaveImaged(
        keys="pred", output_dir=tmp_path / "theirs", resample=True, separate_folder=False
    )
    Compose([AsDiscreted(keys="pred", argmax=True), writer])({"pred": pred})
    (written,) = (tmp_path / "theirs").iterdir()
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(written)))

    assert ours.any()
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("option", [{}, {"resample": False}, {"resample": True, "keys": "image"}])
def test_an_answer_that_is_not_resampled_is_refused(option: Step, tmp_path: Path) -> None:
    root = _resampling(tmp_path / "b", saved(**option))

    with pytest.raises(InferenceError, match="an Invertd, or a SaveImaged with resample true"):
        outcome_of(root, tmp_path)


def test_an_answer_for_a_part_of_the_image_is_not_spread_over_its_rest(tmp_path: Path) -> None:
    root = _resampling(tmp_path / "b", saved(resample=True))
    crop = {"_target_": "CenterSpatialCropd", "keys": "image", "roi_size": [8, 8, 8]}
    changed(root, lambda c: c["preprocessing"]["transforms"].append(crop))

    with pytest.raises(InferenceError, match="covers only a part of the image"):
        outcome_of(root, tmp_path)


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (nested() | {"_target_": "OneOf"}, "OneOf, which chooses transforms at random"),
        (nested(ARGMAX) | {"map_items": False}, "leave 'map_items' out"),
        (ARGMAX | {"_disabled_": "$not True"}, "write true or false for its '_disabled_'"),
        ({"_target_": "Compose", "transforms": "$make()"}, "#3' has no list of transforms"),
    ],
)
def test_what_is_not_known_before_it_runs_is_refused(
    step: Step, sentence: str, tmp_path: Path
) -> None:
    root = changed(
        write_bundle(tmp_path / "b"), lambda c: c["postprocessing"]["transforms"].append(step)
    )

    (told,) = problems(root)
    assert sentence in told
    assert "postprocessing#transforms#3" in told


def _resampling(root: Path, save: Step) -> Path:
    """The bundle of thresholds with ``save`` in place of the inversion."""
    return changed(
        write_bundle(root), lambda c: c["postprocessing"].update(transforms=[ARGMAX, save])
    )


def _voxels(root: Path, image: sitk.Image, folder: Path) -> np.ndarray:
    folder.mkdir(exist_ok=True)
    path = write_image(folder / "ct.nii.gz", image)
    bundle = MonaiSegmentation(open_bundle(root), "cpu")
    outcome = bundle.run(path, folder, {}, lambda *_: None, lambda: False)
    found = sitk.ReadImage(str(outcome.segmentation))
    assert found.GetOrigin() == pytest.approx(image.GetOrigin(), abs=1e-4)
    return sitk.GetArrayFromImage(found)


def _overlap(root: Path, image: sitk.Image, folder: Path) -> float:
    """The Dice coefficient of what ``root`` finds in ``image`` and the ball in it."""
    return _dice(_voxels(root, image, folder) > 0, sitk.GetArrayFromImage(image) > 0)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
