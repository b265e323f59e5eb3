#!/bin/bash
# VTK has several filters that draw the surface of a label in an image, and one expects them to put it in the same place.  All of
# them follow the direction matrix of the image except the general one: vtkContourFilter takes voxels times spacing plus origin,
# so the surface of an oblique, coronal or sagittal image lies elsewhere than the image, here by 16 mm.  PyVista's contour() uses it
# by default; its methods "marching_cubes" and "flying_edges", contour_labels() and threshold() are right.  No warning.
# Versions: vtk 9.7.2, pyvista 0.49.1.  Source: this run; vtkSynchronizedTemplates3D, which does the work for images, behaves the same.
# For a site: name method="flying_edges", or compare the bounds of a surface with those of its image.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q vtk==9.7.2 pyvista==0.49.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import pyvista

cosine, sine = np.cos(np.radians(20)), np.sin(np.radians(20))
image = pyvista.ImageData(dimensions=(40, 50, 30), spacing=(1, 1, 2), origin=(5, 6, 7))
image.direction_matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
label = np.zeros((40, 50, 30), np.uint8)
label[25:35, 30:45, 10:20] = 1
image.point_data["label"] = label.ravel(order="F")
image.set_active_scalars("label")
middle = np.argwhere(label).mean(axis=0) * image.spacing
place = image.origin + image.direction_matrix @ middle
surfaces = {
    "contour()": image.contour([0.5]),
    'contour(method="marching_cubes")': image.contour([0.5], method="marching_cubes"),
    'contour(method="flying_edges")': image.contour([0.5], method="flying_edges"),
    "contour_labels()": image.contour_labels(),
    "threshold()": image.threshold(0.5),
}
print(*(f"{name} {version(name)}" for name in ("vtk", "pyvista")))
print(f"middle of the label by origin, spacing and direction: {place.round(1)}; without direction: {(image.origin + middle).round(1)}")
off = {name: float(np.linalg.norm(np.array(surface.center) - place)) for name, surface in surfaces.items()}
for name, distance in off.items():
    print(f"{name}: {distance:.1f} mm off")
undirected = np.allclose(surfaces["contour()"].center, image.origin + middle, atol=0.1)
others = max(distance for name, distance in off.items() if name != "contour()")
sys.exit(0 if undirected and off["contour()"] > 10 and others < 0.1 else "The behaviour has changed.")
PY
