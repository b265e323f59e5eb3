# mypy: allow-untyped-calls
# (MONAI annotates only a part of its functions)
"""All changes to MONAI's own modules, and all settings of attributes that MONAI does not document.

Checked against CHECKED_AGAINST; ``test_monai_patches.py`` fails when MONAI changes one of these places.  MONAI's
RetinaNet uses two small helpers of torchvision and none of its compiled operators, which are not built for every torch.
These two are implemented here, for installations without torchvision.
"""

import copy
from collections import OrderedDict
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch
from monai.apps.detection.networks import retinanet_network
from monai.networks.blocks import backbone_fpn_utils
from monai.transforms.post.dictionary import Invertd
from torch import nn

if TYPE_CHECKING:
    from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector

CHECKED_AGAINST = "1.6"
"""Minor version of MONAI that was checked; pyproject.toml allows no later one."""


def forget_anchors(detector: "RetinaNetDetector") -> None:
    """Make ``detector`` compute its anchors again; otherwise it would use those of the last image, on that image's
    device.
    """
    detector.anchors = None


def with_nearest_interpolation(step: Invertd) -> Invertd:
    """A copy of ``step`` that does not interpolate between labels."""
    nearest = copy.copy(step)
    nearest.nearest_interp = (True,) * len(step.keys)
    return nearest


class LayerOutputs(nn.ModuleDict):
    """Module that runs the layers of ``backbone`` up to the last one whose output is needed, and returns the needed
    outputs by name.  Replaces torchvision's IntermediateLayerGetter.

    Layers keep their names, which published weights use: ``feature_extractor.body.layer1...``.
    """

    def __init__(self, backbone: nn.Module, return_layers: dict[str, str]) -> None:
        """``return_layers``: the name of each needed output (value) by its layer (key).  Raises ValueError for an
        unknown layer.
        """
        layers = OrderedDict(backbone.named_children())
        missing = [name for name in return_layers if name not in layers]
        if missing:
            raise ValueError(f"the backbone has no layer {missing[0]!r}")
        last = max(list(layers).index(name) for name in return_layers)
        super().__init__(OrderedDict(list(layers.items())[: last + 1]))
        self._names = dict(return_layers)

    def forward(self, images: torch.Tensor) -> "OrderedDict[str, torch.Tensor]":
        found: OrderedDict[str, torch.Tensor] = OrderedDict()
        for name, layer in self.items():
            images = layer(images)
            if name in self._names:
                found[self._names[name]] = images
        return found


def valid_trainable_layers(
    is_trained: bool,  # noqa: FBT001  (MONAI passes it by position)
    trainable: int | None,
    max_value: int,
    default_value: int,
) -> int:
    """Number of layers to train: ``trainable``, or ``default_value`` if that is None; always ``max_value``, all layers,
    if the backbone is not pretrained.  Raises ValueError unless it is from 0 to ``max_value``.  Replaces torchvision's
    function.
    """
    if not is_trained:
        return max_value
    chosen = default_value if trainable is None else trainable
    if not 0 <= chosen <= max_value:
        raise ValueError(f"trainable layers must be from 0 to {max_value}")
    return chosen


def replace_torchvision() -> None:
    """Replace the two functions of torchvision that MONAI's RetinaNet uses.  Does nothing with torchvision installed."""
    if find_spec("torchvision") is not None:
        return
    helpers = SimpleNamespace(IntermediateLayerGetter=LayerOutputs)
    backbone_fpn_utils.torchvision_models = SimpleNamespace(_utils=helpers)
    retinanet_network._validate_trainable_layers = valid_trainable_layers  # noqa: SLF001  (the patch)
