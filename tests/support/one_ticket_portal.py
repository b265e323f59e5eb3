# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""A provider's function and a portal with one ticket, in memory."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.dispatch_section import Modality
from dss_client.errors import Refused
from dss_provider.folder import load
from dss_provider.new_folder import make
from dss_provider.portal import Portal
from dss_provider.ticket import work_on
from support.builders import LayerSpec, WorkspaceSpec, workspace_xml


class OneTicketPortal(Portal):
    """A portal with one ticket, in memory."""

    def __init__(self, image: Path) -> None:
        super().__init__("http://127.0.0.1:9", "")
        self._image = image
        self.workspace = WorkspaceSpec(layers=(LayerSpec(tags="Image", file_name="image.nii.gz"),))
        self.lines: list[str] = []
        self.ended = ""
        self.sent: list[str] = []
        self.refusal = ""
        self.refuses = False

    def download_input(self, ticket: int, folder: Path) -> None:
        (folder / "image.nii.gz").write_bytes(self._image.read_bytes())
        (folder / "a.itksnap").write_bytes(workspace_xml(self.workspace))

    def upload_result(self, ticket: int, file: Path) -> None:
        self.sent.append(file.name)

    def log(self, ticket: int, level: str, message: str) -> None:
        self.lines.append(message)

    def progress(self, ticket: int, fraction: float) -> None: ...

    def status(self, ticket: int) -> str:
        return "claimed"

    def finish(self, ticket: int, status: str) -> None:
        if (self.refusal or self.refuses) and status == "success":
            raise Refused(400, self.refusal)
        self.ended = status


class Works:
    """A service of one function, and its portal."""

    def __init__(self, folder: Path) -> None:
        image = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
        sitk.WriteImage(image, str(folder / "scan.nii.gz"))
        make(folder / "own", Modality.ANY)
        self.folder = folder / "own"
        self.portal = OneTicketPortal(folder / "scan.nii.gz")
        self.said: list[str] = []

    def __call__(self, code: str = "def segment(image): return image.array > 30") -> str:
        text = f"from dss_provider import *\nimport numpy as np\n{code}\n"
        (self.folder / "algorithm.py").write_text(text, encoding="utf-8")
        return work_on(1, load(self.folder), lambda: self.portal, 60, self.said.append)
