# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""One run of a provider's service on a small image."""

import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.dispatch_section import Modality
from dss_provider.folder import load
from dss_provider.new_folder import make
from dss_provider.outcome import AlgorithmOutcome
from dss_provider.running import RunInput, run

IMPORTS = "import time, os, sys\nimport numpy as np\nfrom dss_provider import *\n"


class Trial:
    """A service with one function, and the image that it is called with."""

    def __init__(self, folder: Path, image: Path) -> None:
        make(folder / "own", Modality.ANY)
        self.folder = folder / "own"
        self.work = folder
        self.image = image
        self.told: list[tuple[float, str]] = []

    def dispatch(self, **changes: Any) -> None:
        path = self.folder / "service.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        found["dispatch"] |= changes
        path.write_text(json.dumps(found), encoding="utf-8")

    def run(self, code: str = "", ended: threading.Event | None = None) -> AlgorithmOutcome:
        self.work = Path(tempfile.mkdtemp(dir=self.folder.parent))
        if code:
            (self.folder / "algorithm.py").write_text(IMPORTS + code, encoding="utf-8")
        work = RunInput(folder=self.work, inputs={"Image": self.image})
        told = lambda fraction, text: self.told.append((fraction, text))  # noqa: E731  (one line, read where it is used)
        return run(load(self.folder), work, told, ended or threading.Event())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """(x, y, z) = (6, 5, 4), spacing 1, 2, 3 mm; one bright voxel at the index (1, 2, 3)."""
    array = np.zeros((4, 5, 6), np.int16)
    array[3, 2, 1] = 1000
    built = sitk.GetImageFromArray(array)
    built.SetSpacing((1.0, 2.0, 3.0))
    sitk.WriteImage(built, str(tmp_path / "scan.nii.gz"))
    return tmp_path / "scan.nii.gz"


@pytest.fixture
def trial(tmp_path: Path, image: Path) -> Trial:
    return Trial(tmp_path, image)
