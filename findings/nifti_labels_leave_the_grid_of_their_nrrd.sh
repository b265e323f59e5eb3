#!/bin/bash
# A label map is written with the grid of its image, so one expects to combine the two.  NRRD keeps spacing and origin in double
# precision, NIfTI in single.  Saved as .nii.gz, the labels of an image whose origin is far from zero come back a fraction of a
# micrometre away; SimpleITK's filters of two inputs allow a millionth of a voxel, and raise "Inputs do not occupy the same physical
# space".  The same image saved as NIfTI itself fits, so whether an analysis runs depends on the format of the file that it began with.
# Versions: SimpleITK 2.5.7 (ITK 5.4).  Source: this run; NIfTI-1's header (srow_x, pixdim are 32-bit floats).
# For a site: write the labels of an NRRD image as NRRD, or copy the image's grid (CopyInformation) after the voxels were compared.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q simpleitk==2.5.7
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import SimpleITK as sitk

folder = sys.argv[1]
image = sitk.Image([8, 8, 8], sitk.sitkInt16)
image.SetSpacing((0.7421875, 0.7421875, 1.2))
image.SetOrigin((-173.123456789, -331.987654321, -1204.333333333))
labels = sitk.Cast(image > -1, sitk.sitkUInt8)
labels.CopyInformation(image)
print(f"SimpleITK {sitk.Version.VersionString()}")


def combined(image_name: str, labels_name: str) -> str:
    sitk.WriteImage(image, f"{folder}/{image_name}")
    sitk.WriteImage(labels, f"{folder}/{labels_name}")
    one, other = (sitk.ReadImage(f"{folder}/{name}") for name in (image_name, labels_name))
    try:
        sitk.Mask(one, other)
    except RuntimeError as error:
        apart = max(abs(a - b) for a, b in zip(one.GetOrigin(), other.GetOrigin()))
        return f"refused, origins {apart:.1e} mm apart" if "same physical space" in str(error) else str(error)
    return "combined"


found = {pair: combined(*pair) for pair in [("i.nrrd", "l.nii.gz"), ("i.nrrd", "l.nrrd"), ("i.nii.gz", "l.nii.gz")]}
for pair, what in found.items():
    print(f"{pair[0]:9} with {pair[1]:9}: {what}")
ok = [what.split(",")[0] for what in found.values()] == ["refused", "combined", "combined"]
sys.exit(0 if ok else "The behaviour has changed.")
PY
