# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Writes a phantom to files."""

import json
from pathlib import Path

import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_phantom.chest import LEFT, RIGHT, Phantom


def write_phantom(phantom: Phantom, folder: Path) -> None:
    """Write ``ct.nii.gz``, ``truth.nii.gz`` and, last, ``truth.json`` with the labels' names and volumes into
    ``folder``, which is created if it is missing.  Nodules are not listed.  Raises OSError, or RuntimeError if
    SimpleITK cannot write an image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in (("ct", phantom.ct), ("truth", phantom.truth)):
        sitk.WriteImage(image, folder / f"{name}.nii.gz", useCompression=True, compressionLevel=1)
    labels = [
        {"value": LEFT, "name": "left lung", "volume_ml": round(phantom.left_ml, 1)},
        {"value": RIGHT, "name": "right lung", "volume_ml": round(phantom.right_ml, 1)},
    ]
    (folder / "truth.json").write_text(
        json.dumps({"labels": labels}, indent=2) + "\n", encoding="utf-8"
    )
