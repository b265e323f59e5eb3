# mypy: allow-untyped-calls
# (MONAI ships no types)
"""What MONAI's RetinaNet wants of torchvision, for where torchvision is not.

It needs two small helpers and none of torchvision's compiled operators, which are not built for every torch.
Layers keep the names that they have in published weights: ``feature_extractor.body.layer1...``.
"""

from collections import OrderedDict
from importlib.util import find_spec
from types import SimpleNamespace

import torch
from monai.apps.detection.networks import retinanet_network
from monai.networks.blocks import backbone_fpn_utils
from torch import nn


class NamedLayers(nn.ModuleDict):
    """The layers of ``backbone`` in their order, up to the last of those whose outputs are asked for."""

    def __init__(self, backbone: nn.Module, return_layers: dict[str, str]) -> None:
        """``return_layers``: under which name (value) the output of which layer (key) is given."""
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


def trainable_layers(
    is_trained: bool,  # noqa: FBT001  (as it is called)
    trainable: int | None,
    max_value: int,
    default_value: int,
) -> int:
    """How many layers may learn: all of a backbone that has learned nothing yet."""
    if not is_trained:
        return max_value
    chosen = default_value if trainable is None else trainable
    if not 0 <= chosen <= max_value:
        raise ValueError(f"trainable layers must be from 0 to {max_value}")
    return chosen


def stand_in_for_torchvision() -> None:
    """Give MONAI's detection networks the helpers, unless torchvision itself is there."""
    if find_spec("torchvision") is not None:
        return
    helpers = SimpleNamespace(IntermediateLayerGetter=NamedLayers)
    backbone_fpn_utils.torchvision_models = SimpleNamespace(_utils=helpers)
    retinanet_network._validate_trainable_layers = trainable_layers  # noqa: SLF001
