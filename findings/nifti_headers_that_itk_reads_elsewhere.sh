#!/bin/bash
# A NIfTI header has two places for the position of its image, qform and sform, and may use both (scanner and template) or none.  One
# expects labels saved with the image's own affine, Nifti1Image(labels, image.affine), to lie on it.  nibabel takes the sform
# and ITK the qform, unless the sform's code is 1; with neither, nibabel centres the image with y to the front and ITK puts the
# corner at 0 with y to the back.  So in each ITK program the labels lie centimetres off, or turned front to back.
# Versions: nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4).  Source: this run; ITK's pull request 1868; nibabel's manual, "Choosing the image affine".
# For a site: save labels with the header of the image (header=image.header), or refuse images whose two readings differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q nibabel==5.4.2 simpleitk==2.5.7 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import nibabel as nib
import numpy as np
import SimpleITK as sitk

folder = sys.argv[1]
voxels = np.zeros((40, 50, 30), np.int16)
voxels[10:14, 40:46, 20:24] = 1  # a lesion near the end of the second axis
scanner, template = np.eye(4), np.eye(4)
scanner[:3, 3] = -20, -60, -15
turn = np.deg2rad(20)
template[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
template[:3, 3] = -5, -62, -30


def middle(path: str) -> np.ndarray:
    """Centre of the lesion by SimpleITK, in mm."""
    image = sitk.ReadImage(path)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(image > 0, sitk.sitkUInt8))
    return np.array(shape.GetCentroid(1))


def apart(qform_code: int, sform_code: int, header: bool) -> float:
    """Distance between the lesion and its own labels in ITK, in mm."""
    image = nib.Nifti1Image(voxels, None)
    image.header.set_zooms((1, 1, 1))
    image.set_qform(scanner if qform_code else None, qform_code)
    image.set_sform(template if sform_code else None, sform_code)
    nib.save(image, f"{folder}/image.nii.gz")
    read = nib.load(f"{folder}/image.nii.gz")
    labels = (np.asarray(read.dataobj) > 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, read.affine, read.header if header else None), f"{folder}/labels.nii.gz")
    return float(np.linalg.norm(middle(f"{folder}/image.nii.gz") - middle(f"{folder}/labels.nii.gz")))


print(f"nibabel {nib.__version__}, SimpleITK {sitk.Version.VersionString()}")
found = {codes: (apart(*codes, header=False), apart(*codes, header=True)) for codes in [(1, 1), (1, 2), (1, 4), (0, 0)]}
for codes, (plain, with_header) in found.items():
    print(f"qform code {codes[0]}, sform code {codes[1]}: labels {plain:.1f} mm off; saved with the image's header: {with_header:.1f} mm")
off = [round(plain) for plain, _ in found.values()]
headers_help = all(with_header < 0.1 for _, with_header in found.values())
sys.exit(0 if off[0] == 0 and min(off[1:]) > 10 and headers_help else "The behaviour has changed.")
PY
