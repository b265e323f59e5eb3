# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""MONAI bundles made for tests, and an image for them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import torch

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
    (root / "configs" / "metadata.json").write_text(json.dumps(METADATA), encoding="utf-8")
    (root / "configs" / "inference.json").write_text(json.dumps(INFERENCE), encoding="utf-8")
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
