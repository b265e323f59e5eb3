# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Two real chests that no limit was chosen on, from the source distribution of pyradiomics, fetched by pip.

They have no reference for lungs.  What the rules find on each as it is was looked at slice by slice (2026-11-29: both
lungs whole, no airway, sides right), and stands for the truth where the image is changed.
"""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.device.runner import Runner
from dss_inference.lungs.segment import lungs_in
from support.lung_changes import clamped
from support.lung_disease import Chest

PACKAGE = "pyradiomics==3.0.1"
_NAMES = ("lung1", "lung2")
_SHRINK = 3
"""Voxels are made larger in plane, from 0.6 to some 1.8 mm; the slices are 5 mm thick."""


def fetched(folder: Path) -> Path:
    """The folder with the images; 34 MB are fetched unless they are there."""
    ready = folder / "pyradiomics-3.0.1" / "data"
    if not ready.is_dir():
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
        ]
        subprocess.run(
            [*pip, "--no-binary", ":all:", "--dest", str(folder), PACKAGE], check=True, timeout=600
        )
        with tarfile.open(folder / "pyradiomics-3.0.1.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return ready


def kept_out(folder: Path, runner: Runner) -> Iterator[tuple[str, Chest]]:
    """``folder``: as ``fetched`` gives it."""
    for name in _NAMES:
        image = sitk.BinShrink(sitk.ReadImage(folder / f"{name}_image.nrrd"), (_SHRINK, _SHRINK, 1))
        z, y, x = image.GetSpacing()[::-1]
        hu = sitk.GetArrayFromImage(image).astype(np.int16)
        chest = clamped(Chest(hu=hu, truth=np.zeros(hu.shape, np.uint8), spacing_mm=(z, y, x)))
        truth = lungs_in(chest.hu, chest.spacing_mm, runner, lambda *_: None).sides
        yield name, Chest(hu=hu, truth=truth, spacing_mm=chest.spacing_mm)
