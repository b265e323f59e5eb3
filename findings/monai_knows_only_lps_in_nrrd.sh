#!/bin/bash
# NRRD names the axes of its space; left-posterior-superior (LPS), right-anterior-superior (RAS) and left-anterior-superior (LAS) are the three
# for a body.  One expects a reader to turn each to its own convention.  MONAI's NrrdReader, the default for .nrrd, turns LPS only:
# the vectors of LAS are taken for RAS, so left and right are exchanged in the affine, silently.
# Orientation with its default labels ends for RAS and LAS: "'right-anterior-superior' is not a valid SpaceKeys".
# Versions: monai 1.6.1, torch 2.13.0, pynrrd 1.1.3, nibabel 5.4.2, itk 5.4.7, SimpleITK 2.5.7.  Source: this run; NRRD's format, "space".
# For a site: use ITKReader for NRRD, which is right for all three.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q monai==1.6.1 torch==2.13.0 pynrrd==1.1.3 nibabel==5.4.2 itk==5.4.7 simpleitk==2.5.7 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/image.nrrd" <<'PY' 2> "$folder/said" || { cat "$folder/said"; exit 1; }
import sys
from importlib.metadata import version

import nrrd
import numpy as np
import SimpleITK as sitk
from monai.transforms import LoadImage, Orientation

path = sys.argv[1]


def side(x_right: float) -> str:
    return "right" if x_right > 0 else "left"


def oriented(reader: str | None) -> str:
    try:
        Orientation("RAS")(LoadImage(reader=reader, ensure_channel_first=True)(path))
    except ValueError as error:
        return f"ValueError: {error}"
    return "works"


def read(space: str, to_left: int) -> dict[str, str]:
    """The side on which each reader puts the end of the first axis; ``to_left`` is the sign that leads to the left in ``space``."""
    directions = np.diag([2.0 * to_left, 2.0, 2.0])
    nrrd.write(path, np.zeros((20, 10, 10), np.int16), {"space": space, "space directions": directions, "space origin": [-19.0 * to_left, 0.0, 0.0]})
    default, by_itk = (LoadImage(reader=reader)(path).affine.numpy() for reader in (None, "ITKReader"))
    return {
        "SimpleITK": side(-sitk.ReadImage(path).TransformIndexToPhysicalPoint((17, 5, 5))[0]),
        "MONAI's default reader": side(float((default @ [17, 5, 5, 1])[0])),
        "its ITKReader": side(float((by_itk @ [17, 5, 5, 1])[0])),
        "Orientation after the default reader": oriented(None),
        "after ITKReader": oriented("ITKReader"),
    }


print(*(f"{name} {version(name)}" for name in ("monai", "torch", "pynrrd", "itk", "simpleitk")))
spaces = {"left-posterior-superior": 1, "right-anterior-superior": -1, "left-anterior-superior": 1}
found = [tuple(read(space, to_left).items()) for space, to_left in spaces.items()]
for space, answers in zip(spaces, found):
    print(f"{space}, the axis leads to the left: " + ", ".join(f"{name}: {what}" for name, what in answers))
values = [tuple(what.split(":")[0] for _, what in answers) for answers in found]
expected = [
    ("left", "left", "left", "works", "works"),
    ("left", "left", "left", "ValueError", "works"),
    ("left", "right", "left", "ValueError", "works"),
]
sys.exit(0 if values == expected else "The behaviour has changed.")
PY
