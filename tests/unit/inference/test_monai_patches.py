# mypy: allow-untyped-calls
"""MONAI is as ``monai_patches`` expects it; each test fails when MONAI changes the place that is patched."""

import inspect
import tomllib
from types import SimpleNamespace
from typing import Any

import monai
import torch
from monai.apps.detection.networks import retinanet_network
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.networks.blocks import backbone_fpn_utils
from monai.transforms.compose import Compose
from monai.transforms.post.dictionary import Invertd

from conftest import CHECKOUT
from dss_inference.monai_bundles.monai_patches import (
    CHECKED_AGAINST,
    forget_anchors,
    with_nearest_interpolation,
)


def test_the_patches_were_checked_against_the_version_that_is_installed() -> None:
    assert monai.__version__.startswith(f"{CHECKED_AGAINST}.")


def test_no_later_version_is_installed_by_the_metadata() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = (w for w in project["optional-dependencies"]["inference"] if "monai" in w)
    major, minor = map(int, CHECKED_AGAINST.split("."))

    assert wanted == f"monai>={major}.{minor},<{major}.{minor + 1}"


def test_the_feature_pyramid_calls_the_layer_getter_as_ours_is_called() -> None:
    call = (
        "torchvision_models._utils.IntermediateLayerGetter(backbone, return_layers=return_layers)"
    )

    assert call in inspect.getsource(backbone_fpn_utils.BackboneWithFPN.__init__)


def test_the_retinanet_counts_trainable_layers_as_ours_does() -> None:
    source = inspect.getsource(retinanet_network.resnet_fpn_feature_extractor)

    call = source.split("_validate_trainable_layers(")[1].split(")")[0]
    words = [word.strip() for word in call.split(",") if word.strip()]
    assert words[:2] == ["pretrained_backbone", "trainable_backbone_layers"]
    assert [word.partition("=")[0] for word in words[2:]] == ["max_value", "default_value"]


def test_a_detector_computes_anchors_again_once_they_are_forgotten() -> None:
    computed: list[torch.Tensor] = []

    def anchors_of(images: torch.Tensor, _: object) -> list[torch.Tensor]:
        computed.append(images)
        return [images]

    detector: Any = SimpleNamespace(anchors=None, cls_key="classes", anchor_generator=anchors_of)
    image, maps = torch.zeros(1, 1, 4, 4, 4), {"classes": [torch.zeros(1)]}
    for _ in range(2):
        RetinaNetDetector.generate_anchors(detector, image, maps)
    assert len(computed) == 1

    forget_anchors(detector)
    RetinaNetDetector.generate_anchors(detector, image, maps)

    assert len(computed) == 2


def test_an_inversion_takes_the_nearest_value_and_the_bundles_own_step_is_unchanged() -> None:
    step = Invertd(keys=["pred"], transform=Compose([]), orig_keys="image", nearest_interp=False)

    nearest = with_nearest_interpolation(step)

    assert nearest.nearest_interp == (True,)
    assert step.nearest_interp == (False,)
