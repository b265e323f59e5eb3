# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""Writes a phantom to files."""

import json
from pathlib import Path

import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_phantom.chest import LEFT, RIGHT, Phantom


def write_phantom(phantom: Phantom, folder: Path) -> None:
    """Write ``ct.nii.gz``, ``truth.nii.gz`` and, last, ``truth.json`` with the labels' names and volumes into
    ``folder``, which is created if it is missing.  Nodules are not listed.  Raises OSError if a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in (("ct", phantom.ct), ("truth", phantom.truth)):
        _write(image, folder / f"{name}.nii.gz")
    labels = [
        {"value": LEFT, "name": "left lung", "volume_ml": round(phantom.left_ml, 1)},
        {"value": RIGHT, "name": "right lung", "volume_ml": round(phantom.right_ml, 1)},
    ]
    (folder / "truth.json").write_text(
        json.dumps({"labels": labels}, indent=2) + "\n", encoding="utf-8"
    )


def _write(image: sitk.Image, path: Path) -> None:
    """Write ``image`` to ``path``.  Raises OSError instead of SimpleITK's RuntimeError, whose text is no sentence.  ITK
    does not always notice a full disk.
    """
    try:
        sitk.WriteImage(image, path, useCompression=True, compressionLevel=1)
    except RuntimeError as error:
        raise OSError(f"{path.name} was not written") from error
