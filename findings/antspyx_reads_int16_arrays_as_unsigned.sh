#!/bin/bash
# A CT as a numpy array is int16, and its air is about -1000 HU.  One expects ants.from_numpy to keep the numbers, as a float image, or to
# refuse the type.  ANTsPy has no signed integers and makes int8, int16, int32 and int64 into uint32: -1000 becomes 4294966296, without
# a warning, also by new_image_like, and write_image stores it.  A file with the same voxels is read right (as float32).
# Versions: antspyx 0.6.3, numpy 2.3.5.  Source: this run; the documentation of from_numpy names no types.
# For a site: hand arrays over as float32 (array.astype("float32")), and look at the minimum of what comes back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q antspyx==0.6.3 numpy==2.3.5 nibabel==5.4.2
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from importlib.metadata import version

import ants
import nibabel as nib
import numpy as np

folder = sys.argv[1]
hounsfield = np.full((8, 8, 8), -1000, np.int16)
hounsfield[2:6, 2:6, 2:6] = 40
nib.save(nib.Nifti1Image(hounsfield, np.eye(4)), f"{folder}/ct.nii.gz")
from_file = ants.image_read(f"{folder}/ct.nii.gz")
ants.image_write(ants.from_numpy(hounsfield), f"{folder}/written.nii.gz")
found = {
    "read from a file": from_file.numpy(),
    "from_numpy, float32": ants.from_numpy(hounsfield.astype(np.float32)).numpy(),
    "from_numpy, int16": ants.from_numpy(hounsfield).numpy(),
    "from_numpy, int64": ants.from_numpy(hounsfield.astype(np.int64)).numpy(),
    "new_image_like, int16": ants.new_image_like(from_file, hounsfield).numpy(),
    "from_numpy, int16, written and read": np.asarray(nib.load(f"{folder}/written.nii.gz").dataobj),
}
print(*(f"{name} {version(name)}" for name in ("antspyx", "numpy")))
for name, voxels in found.items():
    print(f"{name}: {voxels.dtype}, from {voxels.min():.0f} to {voxels.max():.0f}")
right = ["read from a file", "from_numpy, float32"]
kept = all(found[name].min() == -1000 for name in right)
wrapped = all(found[name].max() == 2**32 - 1000 for name in found if name not in right)
sys.exit(0 if kept and wrapped else "The behaviour has changed.")
PY
