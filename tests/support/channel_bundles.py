# mypy: allow-untyped-calls
# (SimpleITK and MONAI ship no types)
"""Bundles whose channels are thresholds of HU, with any postprocessing, and an image for them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)
import torch

from dss_inference.bundle import BundleOutcome
from dss_inference.monai_bundles.bundle_checks import open_bundle
from dss_inference.monai_bundles.segmentation import MonaiSegmentation
from support.builders import write_image
from support.bundle_folders import INFERENCE, METADATA

SIGMOID = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
SOFTMAX = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
THRESHOLD = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
ARGMAX = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
INVERT = INFERENCE["postprocessing"]["transforms"][0]
AIR, TISSUE, BONE = -1000, 0, 600
Step = dict[str, Any]


def write_network(
    root: Path, names: dict[str, str], limits_hu: list[float], steps: list[Step]
) -> Path:
    """Each channel's logit is above 0 where an image's HU are above the channel's limit."""
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    metadata = json.loads(json.dumps(METADATA))
    metadata["network_data_format"]["outputs"]["pred"] = {"channel_def": names}
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    network = INFERENCE["network"] | {"out_channels": len(limits_hu)}
    changes = {
        "network": network,
        "postprocessing": {"_target_": "Compose", "transforms": steps},
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                step
                for step in INFERENCE["preprocessing"]["transforms"]
                if step["_target_"] != "Spacingd"
            ],
        },
    }
    (root / "configs" / "inference.json").write_text(
        json.dumps(INFERENCE | changes), encoding="utf-8"
    )
    slope = 40.0
    given = [slope * -(hu + 1000) / 2000 for hu in limits_hu]
    weight = torch.full((len(limits_hu), 1, 1, 1, 1), slope)
    torch.save({"weight": weight, "bias": torch.tensor(given)}, root / "models" / "model.pt")
    return root


def a_body() -> sitk.Image:
    """A cube of 20 voxels of tissue, and a cube of 8 of bone in it; voxels of 2 mm."""
    voxels = np.full((32, 32, 32), AIR, np.int16)
    voxels[6:26, 6:26, 6:26] = TISSUE
    voxels[10:18, 10:18, 10:18] = BONE
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((2.0, 2.0, 2.0))
    return image


def outcome_of(root: Path, folder: Path) -> BundleOutcome:
    path = write_image(folder / "ct.nii.gz", a_body())
    bundle = MonaiSegmentation(open_bundle(root), "cpu")
    return bundle.run(path, folder, {}, lambda *_: None, lambda: False)


def volumes_of(outcome: BundleOutcome) -> dict[str, float]:
    return {label.name: label.volume_ml for label in outcome.labels}


BONE_ML = 8**3 * 0.008
TISSUE_ML = 20**3 * 0.008


def config(*steps: Step) -> dict[str, Any]:
    return {"postprocessing": {"transforms": list(steps)}, "least": 0.4}
