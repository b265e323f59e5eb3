# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A MONAI detection bundle that finds balls, and an image with two of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import torch

METADATA: dict[str, Any] = {
    "name": "Balls",
    "version": "0.1",
    "network_data_format": {
        "inputs": {"image": {"modality": "CT", "num_channels": 1}},
        "outputs": {"pred": {"type": "object", "format": "dict", "channel_def": {"0": "ball"}}},
    },
}
PREPROCESSING: dict[str, Any] = {
    "_target_": "Compose",
    "transforms": [
        {"_target_": "LoadImaged", "keys": "@image_key"},
        {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
        {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
        {"_target_": "Spacingd", "keys": "@image_key", "pixdim": [2, 2, 2]},
        {
            "_target_": "ScaleIntensityRanged",
            "keys": "@image_key",
            "a_min": -1000,
            "a_max": 0,
            "b_min": 0,
            "b_max": 1,
            "clip": True,
        },
    ],
}
DETECTOR: dict[str, Any] = {
    "_target_": "monai.apps.detection.networks.retinanet_detector.RetinaNetDetector",
    "network": "@network",
    "anchor_generator": {
        "_target_": "monai.apps.detection.utils.anchor_utils.AnchorGeneratorWithAnchorShape",
        "feature_map_scales": [1],
        "base_anchor_shapes": [[8, 8, 8]],
    },
}
DETECTOR_OPS = [
    "$@detector.set_target_keys(box_key='box', label_key='label')",
    "$@detector.set_box_selector_parameters(score_thresh=0.02, nms_thresh=0.1)",
    "$@detector.set_sliding_window_inferer(roi_size=[40, 40, 40], overlap=0.25, device='cpu')",
]
BALL_FINDER = '''
import torch


class BallFinder(torch.nn.Module):
    """Says of each voxel whether a ball of 16 mm lies round it; boxes are left as they are."""

    spatial_dims, num_classes, num_anchors, size_divisible = 3, 1, 1, 1

    def __init__(self):
        super().__init__()
        self.match = torch.nn.Conv3d(1, 1, 13, padding=6)

    def forward(self, images):
        likely = self.match(images)
        still = 0 * likely.repeat(1, 6, 1, 1, 1)
        return {"classification": [likely], "box_regression": [still]}
'''


def write_ball_finder(root: Path) -> Path:
    """Its weights are a template: bright within 8 mm, dark in the 4 mm around."""
    for name in ("configs", "models", "scripts"):
        (root / name).mkdir(parents=True)
    (root / "scripts" / "__init__.py").touch()
    (root / "scripts" / "ball_finder.py").write_text(BALL_FINDER, encoding="utf-8")
    config = {
        "image_key": "image",
        "network": {"_target_": "scripts.ball_finder.BallFinder"},
        "preprocessing": PREPROCESSING,
        "detector": DETECTOR,
        "detector_ops": DETECTOR_OPS,
    }
    (root / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    (root / "configs" / "metadata.json").write_text(json.dumps(METADATA), encoding="utf-8")
    away = np.linalg.norm(np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3)), axis=0)
    ball, shell = away <= 4, (away > 4) & (away <= 6)
    template = 20 * (ball / ball.sum() - shell / shell.sum())
    weight = torch.tensor(template, dtype=torch.float32)[None, None]
    state = {"match.weight": weight, "match.bias": torch.tensor([-8.0])}
    torch.save(state, root / "models" / "model.pt")
    return root


BALLS_MM = np.array([[-30.0, 14.0, 25.0], [22.0, -20.0, -18.0]])


def two_balls(orientation: str, oblique_deg: float = 0.0) -> sitk.Image:
    """Balls of 16 mm at BALLS_MM in the air, the second fainter."""
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.1 * oblique_deg, 0.0, np.radians(oblique_deg))
    cosines = sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(orientation)
    direction = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array(cosines).reshape(3, 3)
    size, spacing = np.array([64, 60, 56]), np.array([2.0, 2.2, 2.4])
    origin = -direction @ (spacing * (size - 1) / 2)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), -1)
    places = (index * spacing) @ direction.T + origin
    hu = np.full(tuple(size), -1000.0)
    for middle, value in zip(BALLS_MM, (0.0, -100.0), strict=True):
        hu[np.linalg.norm(places - middle, axis=-1) <= 8] = value
    image = sitk.GetImageFromArray(hu.astype(np.int16).transpose(2, 1, 0))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    return image
