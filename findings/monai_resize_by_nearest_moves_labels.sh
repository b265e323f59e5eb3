#!/bin/bash
# Resized with mode=("area", "nearest") makes an image and its labels smaller together, and one expects them to stay on each other, since both get
# the same new affine, for which the outer edges of the field of view stay where they are.  PyTorch's "nearest", which MONAI uses for
# the labels, takes the first voxel of each block instead of the middle one: the labels move by half a block less half a voxel, here 1.5 voxels
# along each axis, so the mask of an organ slides off it, and its own affine says otherwise.  "area" and "trilinear" do not move.
# "nearest-exact" is within half a voxel.  Versions: monai 1.6.1, torch 2.13.0.  Source: this run; PyTorch's page on interpolate on the two modes.
# For a site: name "nearest-exact" for labels in Resized, or resample with Spacingd, and compare centres of mass once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q monai==1.6.1 torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Resized

centre, size = 70.0, 128
distance = np.linalg.norm(np.indices((size,) * 3) - centre, axis=0)
ball = torch.tensor(distance < 30, dtype=torch.float32)[None]


def centre_mm(part: MetaTensor) -> float:
    """Centre of mass along the first axis, in mm by the affine of ``part``."""
    weights = part[0].numpy().sum(axis=(1, 2))
    index = (weights * np.arange(len(weights))).sum() / weights.sum()
    return float(part.affine[0, 0] * index + part.affine[0, 3])


print(*(f"{name} {version(name)}" for name in ("monai", "torch")))
found = {}
for mode in ("nearest", "nearest-exact"):
    both = {name: MetaTensor(ball.clone(), affine=np.eye(4)) for name in ("image", "label")}
    small = Resized(keys=["image", "label"], spatial_size=(size // 4,) * 3, mode=("area", mode))(both)
    assert torch.equal(small["image"].affine, small["label"].affine)
    found[mode] = {name: centre_mm(small[name]) - centre for name in ("image", "label")}
    print(f"{mode}: " + ", ".join(f"{name} {moved:+.2f} mm off" for name, moved in found[mode].items()) + " with voxels of 1 mm")
images = max(abs(moved["image"]) for moved in found.values())
ok = images < 0.1 and found["nearest"]["label"] > 1.4 and abs(found["nearest-exact"]["label"]) < 0.6
sys.exit(0 if ok else "The behaviour has changed.")
PY
