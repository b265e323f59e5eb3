# mypy: allow-untyped-calls
# (SimpleITK and MONAI ship no types)
"""MONAI bundles: a small one made here, and the official spleen configuration with random weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import torch
from monai.bundle.config_parser import ConfigParser
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from builders import write_image
from dss_inference.__main__ import main
from dss_inference.bundle import Outcome
from dss_inference.errors import Cancelled, InferenceError
from dss_inference.monai_bundles import inferring
from dss_inference.monai_bundles.folder import open_bundle, problems
from dss_inference.monai_bundles.segmentation import MonaiSegmentation, colour
from dss_inference.registry import load

# MONAI warns of its own future and of what it calls in torch.
pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"
)

METADATA: dict[str, Any] = {
    "name": "Threshold",
    "version": "1.2.3",
    "network_data_format": {
        "inputs": {"image": {"modality": "CT", "num_channels": 1}},
        "outputs": {"pred": {"channel_def": {"0": "background", "1": "soft tissue"}}},
    },
}
INFERENCE: dict[str, Any] = {
    "image_key": "image",
    "network": {
        "_target_": "torch.nn.Conv3d",
        "in_channels": 1,
        "out_channels": 2,
        "kernel_size": 1,
    },
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "@image_key"},
            {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
            {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "@image_key", "pixdim": [4, 4, 4]},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "@image_key",
                "a_min": -1000,
                "a_max": 1000,
                "b_min": 0,
                "b_max": 1,
            },
        ],
    },
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "sw_batch_size": 2},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "@image_key",
                "nearest_interp": False,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "SaveImaged", "keys": "pred"},
        ],
    },
}


def write_bundle(root: Path, *, weights: bool = True) -> Path:
    """Channel 1 wins above -350 HU, which is halfway between the air and the tissue of ``a_ball``."""
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "configs" / "metadata.json").write_text(json.dumps(METADATA))
    (root / "configs" / "inference.json").write_text(json.dumps(INFERENCE))
    if weights:
        state = {
            "weight": torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1),
            "bias": torch.tensor([0.325, 0.0]),
        }
        torch.save(state, root / "models" / "model.pt")
    return root


def a_ball(direction: tuple[float, ...], spacing_mm: tuple[float, float, float]) -> sitk.Image:
    """Soft tissue off the middle of air, so that every flip would be noticed."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in (40, 36, 32)), indexing="ij")
    inside = (x - 12) ** 2 + (y - 22) ** 2 + (z - 18) ** 2 < 8**2
    voxels = np.where(inside, 300, -1000).astype(np.int16)
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    image.SetSpacing(spacing_mm)
    image.SetOrigin((-33.5, 12.25, -700.0))
    image.SetDirection(direction)
    return image


def run(bundle: MonaiSegmentation, image: sitk.Image, folder: Path) -> Outcome:
    folder.mkdir(exist_ok=True)
    return bundle.run(
        write_image(folder / "ct.nii.gz", image), folder, {}, lambda *_: None, lambda: False
    )


@pytest.mark.parametrize(
    "direction",
    [
        (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0),
        (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0),
        (0, 0, 1.0, 1.0, 0, 0, 0, -1.0, 0),
        (0.96, 0.28, 0, -0.28, 0.96, 0, 0, 0, 1.0),
    ],
)
def test_what_a_bundle_finds_lies_where_it_is(tmp_path: Path, direction: tuple[float, ...]) -> None:
    image = a_ball(direction, (2.0, 2.5, 3.0))
    bundle = MonaiSegmentation(open_bundle(write_bundle(tmp_path / "threshold")), "cpu")

    outcome = run(bundle, image, tmp_path / "out")

    found = sitk.ReadImage(str(outcome.segmentation))
    assert found.GetSize() == image.GetSize()
    assert found.GetSpacing() == pytest.approx(image.GetSpacing(), abs=1e-6)
    truth = sitk.GetArrayFromImage(image) > 0
    inside = sitk.GetArrayFromImage(found) > 0
    assert 2 * (truth & inside).sum() / (truth.sum() + inside.sum()) > 0.95


def test_a_bundle_finds_the_same_in_slabs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = MonaiSegmentation(open_bundle(write_bundle(tmp_path / "threshold")), "cpu")
    ball = a_ball((0.96, 0.28, 0, -0.28, 0.96, 0, 0, 0, 1.0), (4.0, 4.0, 4.0))

    whole = run(bundle, ball, tmp_path / "whole")
    monkeypatch.setattr(inferring, "MOST_BYTES", 0)
    slabs = run(bundle, ball, tmp_path / "slabs")

    one, other = (sitk.GetArrayFromImage(sitk.ReadImage(o.segmentation)) for o in (whole, slabs))
    assert one.any()
    assert np.mean(one == other) > 0.995  # inverted by the nearest voxel instead of linearly


def test_labels_are_named_by_the_metadata_and_measured(tmp_path: Path) -> None:
    bundle = MonaiSegmentation(open_bundle(write_bundle(tmp_path / "threshold")), "cpu")

    outcome = run(bundle, a_ball((1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (2, 2, 2)), tmp_path / "out")

    (label,) = outcome.labels
    assert (bundle.name, label.value, label.name) == ("threshold", 1, "soft tissue")
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(outcome.segmentation))).sum()
    assert label.volume_ml == pytest.approx(voxels * 0.008, abs=0.05)
    assert outcome.notes[0].text == "Segmented by the MONAI bundle 'Threshold' 1.2.3."


def test_progress_moves_with_the_windows_and_a_withdrawn_ticket_stops_between_two(
    tmp_path: Path,
) -> None:
    bundle = MonaiSegmentation(open_bundle(write_bundle(tmp_path / "threshold")), "cpu")
    image = write_image(
        tmp_path / "ct.nii.gz", a_ball((1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (4, 4, 4))
    )
    told: list[float] = []

    with pytest.raises(Cancelled):
        bundle.run(image, tmp_path, {}, lambda f, _: told.append(f), lambda: len(told) > 5)

    assert told == sorted(told)
    assert len(told) == 6


def test_the_windows_that_the_network_was_given_are_counted(tmp_path: Path) -> None:
    bundle = MonaiSegmentation(open_bundle(write_bundle(tmp_path / "counted")), "cpu")
    image = write_image(
        tmp_path / "ct.nii.gz", a_ball((1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (4, 4, 4))
    )

    bundle.run(image, tmp_path, {}, lambda *_: None, lambda: False)

    windows = REGISTRY.get_sample_value("dss_inference_batch_windows_sum", {"bundle": bundle.name})
    assert windows is not None
    assert windows > 1


def test_a_bundle_without_weights_says_where_to_get_them(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold", weights=False)
    (root / "large_files.yml").write_text(
        'large_files:\n- path: "models/model.pt"\n  url: "https://models.example/x.pt"\n'
        '  hash_val: "abc123"\n'
    )

    with pytest.raises(InferenceError, match=r"not installed: fetch https://models\.example/x\.pt"):
        open_bundle(root)


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold", weights=False)
    (root / "configs" / "inference.json").unlink()
    changed = json.loads(json.dumps(METADATA))
    changed["network_data_format"]["inputs"]["image"]["modality"] = "MR"
    changed["network_data_format"]["outputs"] = {}
    (root / "configs" / "metadata.json").write_text(json.dumps(changed))

    assert len(problems(root)) == 4


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold")
    torch.save({"other": torch.zeros(3)}, root / "models" / "model.pt")

    with pytest.raises(InferenceError, match="do not fit"):
        MonaiSegmentation(open_bundle(root), "cpu")


def test_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold")
    torch.save(Path, root / "models" / "model.pt")

    with pytest.raises(Exception, match=r"(?i)weights"):
        MonaiSegmentation(open_bundle(root), "cpu")


def test_a_folder_dropped_in_becomes_a_bundle_by_its_name(tmp_path: Path) -> None:
    write_bundle(tmp_path / "threshold")

    assert load("threshold", "cpu", 1, installed=tmp_path).name == "threshold"
    with pytest.raises(InferenceError, match=r"there is: lung-segmentation, nodule-det.*threshold"):
        load("nothing", "cpu", 1, installed=tmp_path)


def test_the_command_line_says_what_a_bundle_lacks(tmp_path: Path) -> None:
    good, bad = write_bundle(tmp_path / "good"), write_bundle(tmp_path / "bad", weights=False)

    fine = CliRunner().invoke(main, ["check", str(good)])
    poor = CliRunner().invoke(main, ["check", str(bad)])

    assert (fine.exit_code, fine.output) == (
        0,
        "Threshold 1.2.3 can be served as 'good': soft tissue\n",
    )
    assert poor.exit_code == 1
    assert "weights are not installed" in poor.output


def test_every_label_has_a_colour_of_its_own() -> None:
    assert len({colour(value) for value in range(1, 105)}) == 104


@pytest.mark.shared_data
def test_the_official_spleen_bundle_runs_with_weights_made_here(
    tmp_path: Path, shared_data: Path
) -> None:
    root = tmp_path / "spleen_ct_segmentation"
    shutil.copytree(shared_data / "bundles" / "spleen_ct_segmentation", root)
    for path in root.rglob("*"):
        path.chmod(0o755)
    root.chmod(0o755)
    (root / "models").mkdir()
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / "inference.json"))
    parser["device"] = "$torch.device('cpu')"
    torch.manual_seed(1)
    torch.save(parser.get_parsed_content("network").state_dict(), root / "models" / "model.pt")
    image = a_ball((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0), (3, 3, 3))

    bundle = MonaiSegmentation(open_bundle(root), "cpu")
    outcome = run(bundle, image, tmp_path / "out")

    assert [label.name for label in outcome.labels] == ["spleen"]
    assert sitk.ReadImage(str(outcome.segmentation)).GetSize() == image.GetSize()
