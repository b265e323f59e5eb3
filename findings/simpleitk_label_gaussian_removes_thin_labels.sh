#!/bin/bash
# SimpleITK offers sitkLabelGaussian for resampling of label maps, and one expects an image that is resampled to its own grid to come back.
# The filter weighs a neighbourhood with a sigma of one voxel, whatever the spacing, and takes the label with the most weight: a
# sheet of one voxel weighs 0.4 against 0.6 of its surroundings, so vessel walls, fissures, small nodules and all that is one or two voxels wide
# disappear at once, without a warning.  sitkLabelLinear, the other interpolator for labels, returns them all.
# Versions: SimpleITK 2.5.7 (ITK 5.4).  Source: this run; the procedural interface has no parameter for the sigma.
# For a site: resample label maps with sitkLabelLinear or sitkNearestNeighbor, and compare the list of labels before and after.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q simpleitk==2.5.7 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys

import numpy as np
import SimpleITK as sitk

voxels = np.zeros((40, 40, 40), np.uint8)
voxels[4, 4:36, 4:36] = 1
voxels[10, 10, 4:36] = 2
voxels[15:17, 15:17, 15:17] = 3
voxels[22:34, 22:34, 22:34] = 4
names = {1: "sheet, 1 voxel thick", 2: "line, 1 voxel thick", 3: "cube of 2 voxels", 4: "cube of 12 voxels"}
print(f"SimpleITK {sitk.Version.VersionString()}")
left = {}
for spacing in ((1.0, 1.0, 1.0), (0.5, 0.5, 3.0)):
    labels = sitk.GetImageFromArray(voxels)
    labels.SetSpacing(spacing)
    for method in ("sitkLabelGaussian", "sitkLabelLinear", "sitkNearestNeighbor"):
        same_grid = sitk.GetArrayFromImage(sitk.Resample(labels, labels, sitk.Transform(), getattr(sitk, method)))
        kept = {n: (same_grid[voxels == n] == n).mean() for n in names}
        left[spacing, method] = kept
        print(f"spacing {spacing}, {method}: " + ", ".join(f"{names[n]} {100 * share:.0f} %" for n, share in kept.items()))
lost = all(kept[1] == kept[2] == kept[3] == 0 and kept[4] > 0.9 for (_, method), kept in left.items() if "Gaussian" in method)
whole = all(set(kept.values()) == {1.0} for (_, method), kept in left.items() if "Gaussian" not in method)
sys.exit(0 if lost and whole else "The behaviour has changed.")
PY
