# mypy: allow-untyped-calls
"""Real chests without a reference for lungs, from source distributions that pip fetches.

What the rules find on each as it is was looked at slice by slice (2026-11-29: both lungs whole, no windpipe, sides right), and
stands for the truth where the image is changed.  The two of pyradiomics have been looked at while limits were chosen.
The one of TotalSegmentator (CT angiography: bright vessels, arms beside the body, wires on the skin) was kept out until
two limits of the verdict (views around the heart, pockets of air) were chosen with it in sight.
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
from support.lung_cases import in_lps
from support.lung_changes import clamped
from support.lung_disease import Chest

_PACKAGES = ("pyradiomics-3.0.1", "totalsegmentator-2.18.0")
_LOOKED_AT = {f"lung{n}": f"{_PACKAGES[0]}/data/lung{n}_image.nrrd" for n in (1, 2)}
_KEPT_OUT = {"angiography": f"{_PACKAGES[1]}/tests/reference_files/aorta_report/example_ct.nii.gz"}
_VOXEL_MM = 1.8
"""Smaller voxels are put together to about this size."""


def fetched(folder: Path) -> Path:
    """The folder with the unpacked distributions; 72 MB are fetched unless they are there."""
    for package in _PACKAGES:
        if not (folder / package).is_dir():
            _fetch(package, folder)
    return folder


def looked_at(folder: Path, runner: Runner) -> Iterator[tuple[str, Chest]]:
    """``folder``: as ``fetched`` gives it."""
    for name, path in _LOOKED_AT.items():
        yield name, _chest(folder / path, runner)


def kept_out(folder: Path, runner: Runner) -> Iterator[tuple[str, Chest]]:
    """``folder``: as ``fetched`` gives it."""
    for name, path in _KEPT_OUT.items():
        yield name, _chest(folder / path, runner)


def _fetch(package: str, folder: Path) -> None:
    name, version = package.rsplit("-", 1)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    source = ["--no-build-isolation", "--no-binary", ":all:", "--dest", str(folder)]
    subprocess.run([*pip, *source, f"{name}=={version}"], check=True, timeout=600)
    with tarfile.open(folder / f"{package}.tar.gz") as archive:
        archive.extractall(folder, filter="data")


def _chest(path: Path, runner: Runner) -> Chest:
    image = in_lps(path)
    image = sitk.BinShrink(image, [max(1, round(_VOXEL_MM / s)) for s in image.GetSpacing()])
    z, y, x = image.GetSpacing()[::-1]
    hu = sitk.GetArrayFromImage(image).astype(np.int16)
    chest = clamped(Chest(hu=hu, truth=np.zeros(hu.shape, np.uint8), spacing_mm=(z, y, x)))
    truth = lungs_in(chest.hu, chest.spacing_mm, runner, lambda *_: None).sides
    return Chest(hu=hu, truth=truth, spacing_mm=chest.spacing_mm)
