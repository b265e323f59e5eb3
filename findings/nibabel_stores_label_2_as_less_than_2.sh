#!/bin/bash
# Labels are often computed from get_fdata(), which is double precision, and saved with the header of the image that they belong to.  One
# expects whole numbers to stay whole in an integer file.  For a floating array and an integer header nibabel stretches the values
# over all 65536 steps and stores scl_slope: of 105 labels, 2 comes back as 1.9995, and a program that cuts off the fraction (astype, or
# SimpleITK's Cast) sees label 1.  Half of the labels become their lower neighbour; the file still says int16, and nothing warns.
# Versions: nibabel 5.4.2, SimpleITK 2.5.7, numpy 2.4.6.  Source: this run; nibabel's issues 1001, 1069 and 1344 (open).
# For a site: convert labels to an integer type before Nifti1Image, and round, never cut, where foreign label maps are read.
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

folder, count = sys.argv[1], 105  # labels 0 ... 104, as TotalSegmentator has
nib.save(nib.Nifti1Image(np.arange(count, dtype=np.int16).repeat(8).reshape(count, 4, 2), np.eye(4)), f"{folder}/image.nii.gz")
image = nib.load(f"{folder}/image.nii.gz")
labels = np.clip(image.get_fdata(), 0, count)
print(f"nibabel {nib.__version__}, SimpleITK {sitk.Version.VersionString()}, numpy {np.__version__}")


def lost(array: np.ndarray) -> list[int]:
    """Labels whose voxels hold another number after the file was saved as ``array`` and read as integers."""
    nib.save(nib.Nifti1Image(array, image.affine, image.header), f"{folder}/labels.nii.gz")
    read = nib.load(f"{folder}/labels.nii.gz")
    print(f"{array.dtype} labels: stored as {read.get_data_dtype()}, slope {read.dataobj.slope}; 2 is read as {read.get_fdata()[2, 0, 0]!r}")
    return np.flatnonzero((read.get_fdata().astype(np.uint8) != labels.astype(np.uint8)).any(axis=(1, 2))).tolist()


of_floats = lost(labels)
by_itk = sitk.GetArrayFromImage(sitk.Cast(sitk.ReadImage(f"{folder}/labels.nii.gz"), sitk.sitkUInt8)).T
itk_lost = np.flatnonzero((by_itk != labels).any(axis=(1, 2))).tolist()
of_integers = lost(labels.astype(np.int16))
print(f"labels that became their lower neighbour: {len(of_floats)} of {count} ({of_floats[:6]} ...); by SimpleITK: {len(itk_lost)}")
print(f"after a conversion to int16 before they are saved: {of_integers}")
sys.exit(0 if len(of_floats) > 20 and len(itk_lost) > 20 and not of_integers else "The behaviour has changed.")
PY
