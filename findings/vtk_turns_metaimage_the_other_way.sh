#!/bin/bash
# MetaImage's TransformMatrix holds the direction of the first axis in its first three numbers, of the second in the next, as ITK, which
# shares the format's library with VTK, writes it.  One expects VTK to place the same file in the same place.  VTK's reader takes
# the nine numbers row by row into its direction matrix, and its writer does the same the other way about: the matrix is transposed, an
# image turned 20 degrees to the left appears turned 20 degrees to the right.  VTK agrees with itself, so a test of one's own
# passes; axial images agree, too.  PyVista reads .mha with it.  No warning.
# Versions: vtk 9.7.2, pyvista 0.49.1, SimpleITK 2.5.7.  Source: this run.
# For a site: transpose the direction matrix after VTK's reading and before its writing of .mha, or set it from SimpleITK.
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
import vtk

folder = sys.argv[1]
cosine, sine = np.cos(np.radians(20)), np.sin(np.radians(20))
left = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
by_itk = sitk.Image([20, 30, 12], sitk.sitkInt16)
by_itk.SetDirection(left.ravel())
sitk.WriteImage(by_itk, f"{folder}/itk.mha")
by_vtk = vtk.vtkImageData()
by_vtk.SetDimensions(20, 30, 12)
by_vtk.AllocateScalars(vtk.VTK_SHORT, 1)
by_vtk.SetDirectionMatrix(*left.ravel())
writer = vtk.vtkMetaImageWriter()
writer.SetFileName(f"{folder}/vtk.mha")
writer.SetInputData(by_vtk)
writer.Write()


def with_itk(name: str) -> np.ndarray:
    return np.array(sitk.ReadImage(f"{folder}/{name}.mha").GetDirection()).reshape(3, 3)


def with_vtk(name: str) -> np.ndarray:
    return np.array(pyvista.read(f"{folder}/{name}.mha").direction_matrix)


print(*(f"{name} {version(name)}" for name in ("vtk", "pyvista", "simpleitk")))
directions = {(name, read.__name__): read(name) for name in ("itk", "vtk") for read in (with_itk, with_vtk)}
degrees = {key: round(float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))) for key, matrix in directions.items()}
for (name, how), angle in degrees.items():
    print(f"turned by 20 degrees, written by {name}, read {how}: turned by {angle}")
sys.exit(0 if list(degrees.values()) == [20, -20, -20, 20] else "The behaviour has changed.")
PY
