#!/bin/bash
# A CT with a tilted gantry is sheared, as an image after an affine registration is, and NIfTI's sform says so.  TorchIO reads such a file
# with the right affine (ITK refuses it, so nibabel is taken), and one expects labels that are saved with that affine to lie on
# the image.  ITK writes the file and replaces the shear by the nearest rotation with other spacings: exit status 0, one line on
# stderr, and the ends of the volume move by centimetres.  As NRRD the same labels stay where they are.
# Versions: torchio 1.2.1, torch 2.13.0, SimpleITK 2.5.7, nibabel 5.4.2.  Source: this run.
# For a site: save the labels with nibabel, or resample a sheared image to a straight grid before anything else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchio==1.2.1 torch==2.13.0 simpleitk==2.5.7 nibabel==5.4.2 pynrrd==1.1.3 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from importlib.metadata import version
from itertools import product

import nibabel as nib
import nrrd
import numpy as np
import torch
import torchio as tio

folder, shape = sys.argv[1], (40, 40, 50)
affine = np.diag([5.0, 5.0, 5.0, 1.0])
affine[1, 2] = 5 * np.tan(np.deg2rad(15))  # each slice lies 1.3 mm further to the front than the one below
nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), affine), f"{folder}/image.nii.gz")
image = tio.ScalarImage(f"{folder}/image.nii.gz")
labels = tio.LabelMap(tensor=torch.ones(1, *shape, dtype=torch.uint8), affine=image.affine)
labels.save(f"{folder}/labels.nii.gz")
labels.save(f"{folder}/labels.nrrd")
_, header = nrrd.read(f"{folder}/labels.nrrd")
as_nrrd = np.eye(4)
as_nrrd[:3, :3], as_nrrd[:3, 3] = np.array(header["space directions"]).T, header["space origin"]
corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in shape))]).T


def moved(other: np.ndarray) -> float:
    """Largest distance of a corner voxel from its place in the image, in mm."""
    return float(np.linalg.norm(((other - affine) @ corners)[:3], axis=0).max())


found = {
    "the image, read by TorchIO": moved(image.affine),
    "labels.nrrd": moved(np.diag([-1, -1, 1, 1]) @ as_nrrd),
    "labels.nii.gz": moved(nib.load(f"{folder}/labels.nii.gz").affine),
}
print(*(f"{name} {version(name)}" for name in ("torchio", "torch", "simpleitk", "nibabel")))
for name, distance in found.items():
    print(f"{name}: corners up to {distance:.1f} mm off")
near, also_near, far = found.values()
sys.exit(0 if max(near, also_near) < 0.1 and far > 10 else "The behaviour has changed.")
PY
