#!/bin/bash
# WriteImage takes the format from the suffix, and one expects what comes back to be the image or an exception.  GIPL (an old format that
# ITK-SNAP offers) and legacy VTK are written without a direction: a coronal or oblique image is saved silently and read
# back as an axial one, its voxels centimetres from where they were, though spacing and origin fit.  GIPL also keeps only one
# component of a vector image.  MetaImage, NRRD and NIfTI keep all.
# Versions: SimpleITK 2.5.7 (ITK 5.4).  Source: this run.
# For a site: accept .mha, .nrrd and .nii.gz for geometry that matters; compare GetDirection after a conversion to another format.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q simpleitk==2.5.7 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import numpy as np
import SimpleITK as sitk

folder = sys.argv[1]
image = sitk.Image([40, 50, 30], sitk.sitkInt16)
image.SetSpacing((1, 1, 3))
image.SetOrigin((-20, 30, 50))
image.SetDirection((1, 0, 0, 0, 0, 1, 0, -1, 0))  # coronal slices
vectors = sitk.Compose([sitk.Image([4, 4, 4], sitk.sitkFloat32) + value for value in (1, 2, 3)])
far = (39, 49, 29)


def there_and_back(suffix: str) -> tuple[float, int]:
    """How far the last voxel moved, in mm, and the components left of three."""
    sitk.WriteImage(image, f"{folder}/image.{suffix}")
    sitk.WriteImage(vectors, f"{folder}/vectors.{suffix}")
    place = np.array(sitk.ReadImage(f"{folder}/image.{suffix}").TransformIndexToPhysicalPoint(far))
    components = sitk.ReadImage(f"{folder}/vectors.{suffix}").GetNumberOfComponentsPerPixel()
    return float(np.linalg.norm(place - image.TransformIndexToPhysicalPoint(far))), components


print(f"SimpleITK {sitk.Version.VersionString()}; coronal slices, and a vector image of 3 components")
found = {suffix: there_and_back(suffix) for suffix in ("mha", "nrrd", "nii.gz", "vtk", "gipl")}
for suffix, (distance, components) in found.items():
    print(f".{suffix}: last voxel {distance:.1f} mm off, {components} of 3 components")
kept = all(distance < 0.01 and components == 3 for distance, components in (found["mha"], found["nrrd"], found["nii.gz"]))
lost = min(found["vtk"][0], found["gipl"][0]) > 10 and found["gipl"][1] == 1
sys.exit(0 if kept and lost else "The behaviour has changed.")
PY
