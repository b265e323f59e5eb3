# mypy: allow-untyped-calls
# (SimpleITK and MONAI ship no types)
"""A run of a detection bundle."""

import json
from pathlib import Path
from typing import Any

import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_inference.bundle import Bundle, BundleOutcome
from support.builders import write_image


def run(
    bundle: Bundle, image: sitk.Image, folder: Path, **parameters: str
) -> tuple[BundleOutcome, list[dict[str, Any]]]:
    folder.mkdir(exist_ok=True)
    path = write_image(folder / "ct.nii.gz", image)
    outcome = bundle.run(path, folder, parameters, lambda *_: None, lambda: False)
    return outcome, json.loads((folder / "findings.json").read_text(encoding="utf-8"))["findings"]
