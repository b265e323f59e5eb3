#!/bin/bash
# NIfTI states the unit of its distances in xyzt_units: metres, millimetres or micrometres (used for specimens and small animals).  One
# expects readers to agree on the size of a voxel.  SimpleITK converts to mm, nibabel and MONAI's default reader hand out the bare
# number, so the same 50 micrometre voxel measures 0.05 mm or 50 mm, and 1.25e-4 mm3 or 1.25e5 mm3.  Labels saved with
# Nifti1Image(labels, image.affine) lose the unit, and lie in ITK a thousand times as large around a dot of an image.
# Versions: nibabel 5.4.2, SimpleITK 2.5.7, monai 1.6.1 with torch 2.13.0.  Source: this run; nibabel's pull request 567 (open).
# For a site: look at header.get_xyzt_units() before a spacing or volume is used, and save labels with the image's header.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q nibabel==5.4.2 simpleitk==2.5.7 numpy==2.4.6 monai==1.6.1 torch==2.13.0
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import monai
import nibabel as nib
import numpy as np
import SimpleITK as sitk
from monai.transforms import LoadImage

folder = sys.argv[1]
image = nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.diag([50, 50, 50, 1]))
image.header.set_xyzt_units("micron", "sec")
nib.save(image, f"{folder}/image.nii.gz")
read = nib.load(f"{folder}/image.nii.gz")
nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.uint8), read.affine), f"{folder}/labels.nii.gz")
found = {
    "nibabel, get_zooms": float(read.header.get_zooms()[0]),
    "MONAI, pixdim": float(LoadImage(image_only=True)(f"{folder}/image.nii.gz").pixdim[0]),
    "SimpleITK": sitk.ReadImage(f"{folder}/image.nii.gz").GetSpacing()[0],
    "SimpleITK, labels that nibabel saved": sitk.ReadImage(f"{folder}/labels.nii.gz").GetSpacing()[0],
}
print(f"nibabel {nib.__version__}, SimpleITK {sitk.Version.VersionString()}, monai {monai.__version__}; voxels of 50 micrometres")
for reader, spacing in found.items():
    print(f"{reader}: spacing {spacing:g}, volume of a voxel {spacing**3:.3g}")
same = np.allclose(list(found.values()), [50, 50, 0.05, 50])
sys.exit(0 if same else "The behaviour has changed.")
PY
