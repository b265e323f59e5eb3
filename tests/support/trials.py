# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""One run of a provider's service on a small image."""

import json
import tempfile
import threading
from pathlib import Path
from typing import Any

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
