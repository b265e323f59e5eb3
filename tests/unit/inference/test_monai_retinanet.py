# mypy: allow-untyped-calls
# (SimpleITK and MONAI ship no types)
"""MONAI detection bundles: a small RetinaNet, and the official configuration."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import torch
import yaml
from monai.bundle.config_parser import ConfigParser

from dss_inference.bundle_catalogue import load
from dss_inference.monai_bundles.boxes import DetectedBox, ellipsoids, sure_boxes
from dss_inference.monai_bundles.bundle_checks import open_bundle, problems
from dss_inference.monai_bundles.detection import MonaiDetection
from dss_inference.monai_bundles.monai_patches import LayerOutputs, replace_torchvision
from support.detections import run
from support.detector_folders import (
    BALLS_MM,
    DETECTOR,
    DETECTOR_OPS,
    METADATA,
    PREPROCESSING,
    two_balls,
)

# MONAI warns of its own future and of what it calls in torch.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.slow,
]


def test_of_two_ellipsoids_the_better_covers_the_other_and_none_is_lost() -> None:
    def box(low: float, high: float, score: float) -> DetectedBox:
        return DetectedBox(low=np.full(3, low), high=np.full(3, high), score=score, label=0)

    ranked = sure_boxes([box(2, 6, 0.6), box(4.1, 4.2, 0.9), box(3, 9, 0.1), box(5, 5, 1.0)], 0.5)
    found = ellipsoids(ranked, np.eye(4), (10, 10, 10))

    assert [b.score for b in ranked] == [0.9, 0.6]
    assert found[4, 4, 4] == 1
    assert (found == 1).sum() == 1
    assert (found == 2).sum() == 32  # the other voxels of a ball with a radius of 2
    assert found[6, 4, 4] == 2


def test_layers_keep_the_names_that_they_have_in_published_weights() -> None:
    backbone = torch.nn.Sequential()
    for name in ("conv1", "layer1", "layer2", "fc"):
        backbone.add_module(name, torch.nn.Conv3d(1, 1, 1))

    layers = LayerOutputs(backbone, {"layer1": "0", "layer2": "1"})

    assert list(layers(torch.zeros(1, 1, 2, 2, 2))) == ["0", "1"]
    assert list(layers.state_dict())[:2] == ["conv1.weight", "conv1.bias"]
    assert not any(name.startswith("fc") for name in layers.state_dict())
    with pytest.raises(ValueError, match="no layer 'layer9'"):
        LayerOutputs(backbone, {"layer9": "0"})


ANY_THREE = {"least_score": "0", "most": "3"}


def coarse(image: sitk.Image) -> sitk.Image:
    """Small enough for one pass of the network."""
    image.SetSpacing([1.0, 1.0, 1.0])
    return image


def write_weights(root: Path) -> Path:
    """Random ones, for the network that the configuration names."""
    replace_torchvision()
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / "inference.json"))
    parser["device"] = "$torch.device('cpu')"
    torch.manual_seed(1)
    (root / "models").mkdir(exist_ok=True)
    torch.save(parser.get_parsed_content("network").state_dict(), root / "models" / "model.pt")
    return root


def write_retinanet(root: Path) -> Path:
    """As the official bundle is built, but with few channels."""
    resnet = "monai.networks.nets.resnet.ResNet"
    pyramid = "monai.apps.detection.networks.retinanet_network.resnet_fpn_feature_extractor"
    config = {
        "image_key": "image",
        "backbone": {
            "_target_": resnet,
            "block": "basic",
            "layers": [1, 1, 1, 1],
            "block_inplanes": [4, 8, 16, 32],
            "spatial_dims": 3,
            "n_input_channels": 1,
            "conv1_t_stride": [2, 2, 1],
            "conv1_t_size": [7, 7, 7],
        },
        "network": {
            "_target_": "RetinaNet",
            "spatial_dims": 3,
            "num_classes": 1,
            "num_anchors": 1,
            "feature_extractor": f"${pyramid}(@backbone, 3, False, [1, 2], None)",
            "size_divisible": [16, 16, 8],
        },
        "preprocessing": PREPROCESSING,
        "detector": DETECTOR | {"anchor_generator": ANCHORS},
        "detector_ops": DETECTOR_OPS,
    }
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    (root / "configs" / "metadata.json").write_text(json.dumps(METADATA), encoding="utf-8")
    return write_weights(root)


ANCHORS = DETECTOR["anchor_generator"] | {"feature_map_scales": [1, 2, 4]}


def test_a_retinanet_runs_without_torchvision(tmp_path: Path) -> None:
    bundle = load(str(write_retinanet(tmp_path / "retina")), "cpu", 1)

    outcome, findings = run(bundle, coarse(two_balls("RAS")), tmp_path / "out", **ANY_THREE)

    assert len(findings) == 3
    values = np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(outcome.segmentation))))
    assert set(values) <= set(range(4))
    assert len(outcome.labels) == 3


@pytest.mark.shared_data
def test_the_official_nodule_bundle_runs_with_weights_made_here(
    tmp_path: Path, shared_data: Path
) -> None:
    root = tmp_path / "lung_nodule_ct_detection"
    shutil.copytree(shared_data / "bundles" / root.name, root, copy_function=shutil.copyfile)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    large = yaml.safe_load((root / "large_files.yml").read_text(encoding="utf-8"))["large_files"][0]
    assert problems(root) == [
        f"Its weights are not installed: fetch {large['url']} (md5 {large['hash_val']}) into models/model.pt."
    ]
    bundle = MonaiDetection(open_bundle(write_weights(root)), "cpu")
    image = sitk.Resample(two_balls("LPS"), [48, 44, 20], sitk.Transform(), sitk.sitkLinear,
                          BALLS_MM[0] - 12, [0.6, 0.6, 1.5])  # fmt: skip

    outcome, findings = run(bundle, image, tmp_path / "out", **ANY_THREE)

    assert len(findings) == len(outcome.labels) == 3
    assert findings[0]["name"] == "finding"  # its metadata name no classes
    found = sitk.ReadImage(str(outcome.segmentation))
    assert found.GetSize() == image.GetSize()
    assert found.GetSpacing() == pytest.approx(image.GetSpacing())
