#!/bin/bash
# An NRRD file says with "kinds" which axes are places (domain) and which are components (vector).  One expects an image of 8x30x12 voxels
# with "domain domain domain" to be one in VTK.  Its reader goes by the length of the first axis instead: fewer than ten voxels are
# taken for components, and a narrow crop or a sagittal slab becomes one slice of 30x12 with 8 components, the spacings moved up by one
# axis.  From ten columns on the same image is right but for "space directions": their lengths are kept, their directions dropped.
# PyVista reads .nrrd with it.  No warning.  Versions: vtk 9.7.2, pyvista 0.49.1, SimpleITK 2.5.7.  Source: this run; NRRD's definition of kinds.
# For a site: read NRRD with SimpleITK or pynrrd and hand VTK the array, the spacing, the origin and the direction.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q vtk==9.7.2 pyvista==0.49.1 simpleitk==2.5.7 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import pyvista
import SimpleITK as sitk

folder = sys.argv[1]
cosine, sine = np.cos(0.3), np.sin(0.3)
print(*(f"{name} {version(name)}" for name in ("vtk", "pyvista", "simpleitk")))
found = {}
for columns in (8, 9, 10, 20):
    image = sitk.Image([columns, 30, 12], sitk.sitkInt16)
    image.SetSpacing((1, 2, 3))
    image.SetDirection((cosine, -sine, 0, sine, cosine, 0, 0, 0, 1))
    name = f"{folder}/{columns}.nrrd"
    sitk.WriteImage(image, name)
    kinds = [sitk.ReadImage(name).GetMetaData(f"NRRD_kinds[{axis}]") for axis in range(3)]
    by_vtk = pyvista.read(name)
    straight = np.allclose(by_vtk.direction_matrix, np.eye(3))
    found[columns] = (by_vtk.dimensions, by_vtk.GetNumberOfScalarComponents(), by_vtk.spacing, straight)
    print(f"{columns}x30x12, kinds {' '.join(kinds)}: size {found[columns][0]}, components {found[columns][1]}, ", end="")
    print(f"spacing {tuple(round(float(s), 6) for s in by_vtk.spacing)}, direction lost: {straight}")
    assert kinds == ["domain"] * 3
narrow = all(found[n][:2] == ((30, 12, 1), n) and found[n][2][:2] == (2, 3) for n in (8, 9))
wide = all(found[n][:2] == ((n, 30, 12), 1) and found[n][3] for n in (10, 20))
sys.exit(0 if narrow and wide else "The behaviour has changed.")
PY
