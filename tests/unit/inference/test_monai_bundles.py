# mypy: allow-untyped-calls
# (SimpleITK and MONAI ship no types)
"""MONAI bundles: a small one made here, and the official spleen configuration with random weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import torch
from monai.bundle.config_parser import ConfigParser
from prometheus_client import REGISTRY

from dss_images.default_colours import default_colour
from dss_inference.bundle import BundleOutcome
from dss_inference.bundle_catalogue import load
from dss_inference.errors import Cancelled, InferenceError
from dss_inference.monai_bundles import window_inference
from dss_inference.monai_bundles.bundle_checks import open_bundle
from dss_inference.monai_bundles.segmentation import MonaiSegmentation
from support.builders import write_image
from support.bundle_folders import a_ball, write_bundle

# MONAI warns of its own future and of what it calls in torch.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def run(bundle: MonaiSegmentation, image: sitk.Image, folder: Path) -> BundleOutcome:
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
    monkeypatch.setattr(window_inference, "MOST_BYTES", 0)
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
    with pytest.raises(InferenceError, match=r"there is: lung-segmentation, .*threshold"):
        load("nothing", "cpu", 1, installed=tmp_path)


def test_every_label_has_a_colour_of_its_own() -> None:
    assert len({default_colour(value) for value in range(1, 105)}) == 104


def test_torchscript_needs_no_network_in_the_configuration(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold")
    network = torch.nn.Conv3d(1, 2, 1)
    network.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True))
    (root / "models" / "model.pt").unlink()
    torch.jit.script(network).save(root / "models" / "model.ts")
    told: list[float] = []

    bundle = MonaiSegmentation(open_bundle(root), "cpu")
    image = a_ball((1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (4, 4, 4))
    path = write_image(tmp_path / "ct.nii.gz", image)
    outcome = bundle.run(path, tmp_path, {}, lambda f, _: told.append(f), lambda: False)

    found = sitk.GetArrayFromImage(sitk.ReadImage(str(outcome.segmentation)))
    truth = sitk.GetArrayFromImage(image) > 0
    assert 2 * (truth & (found > 0)).sum() / (truth.sum() + found.sum()) > 0.95
    assert len([f for f in told if 0.15 < f < 0.8]) > 3


def test_a_network_with_more_channels_than_names_is_refused(tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "threshold")
    config = json.loads((root / "configs" / "inference.json").read_text(encoding="utf-8"))
    config["network"] = "$torch.nn.Conv3d(1, 3, 1)"
    (root / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save(torch.nn.Conv3d(1, 3, 1).state_dict(), root / "models" / "model.pt")
    bundle = MonaiSegmentation(open_bundle(root), "cpu")

    with pytest.raises(InferenceError, match="gives 3 channels, but its metadata name 2"):
        run(bundle, a_ball((1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (4, 4, 4)), tmp_path / "out")


@pytest.mark.shared_data
@pytest.mark.slow
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
