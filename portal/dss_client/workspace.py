"""The workspace that is uploaded, and what the one that comes back says.

Facts: WorkspaceAPI.cxx (``ExportWorkspace``) of ITK-SNAP, and a workspace that itksnap-wt uploaded.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from dss_client.errors import NotUnderstood
from dss_client.images import Layer
from dss_client.registry import Folder, read_entries, to_xml

_LABEL = re.compile(r"Layers\.Layer\[000\]\.ProjectMetaData\.IRIS\.LabelTable\.Element\[\d+\]\.")
_ROLE = re.compile(r"(Layers\.Layer\[\d+\])\.Role")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``segmentations`` in layer order; ``labels`` are the names of the label table by value."""

    segmentations: tuple[Path, ...]
    labels: dict[int, str]


def write_workspace(ticket: int, layer: Layer, tags: Iterable[str]) -> Path:
    """``ticket_%08d.itksnap`` beside its one layer.

    The layer's nickname stays out: it would be the user's file name, which may name the patient.
    """
    folder = layer.path.parent
    grey: Folder = {"Dimensions": " ".join(map(str, layer.size[:3]))}
    main: Folder = {
        "AbsolutePath": layer.path.as_posix(),
        "Role": "MainRole",
        "Tags": ",".join(tags),
        "IOHints": {},
        "ProjectMetaData": {"Files": {"Grey": grey}},
    }
    layers: Folder = {"Layer[000]": main}
    root: Folder = {"SaveLocation": folder.as_posix(), "Version": "", "Layers": layers}
    if layer.notes:
        root = {**root, "DSS": _notes(layer)}
    path = folder / f"ticket_{ticket:08d}.itksnap"
    path.write_text(to_xml(root), encoding="utf-8", newline="\n")
    return path


def _notes(layer: Layer) -> Folder:
    """What was done to the image, for the ticket's log: our dispatcher reads it, ITK-SNAP skips it."""
    elements: Folder = {
        f"Element[{i}]": {"Level": note.level, "Text": note.text}
        for i, note in enumerate(layer.notes)
    }
    return {"Notes": {"ArraySize": str(len(layer.notes)), **elements}}


def read_outcome(workspace: Path) -> Outcome:
    """What a downloaded workspace holds.  Raises NotUnderstood if a segmentation of it is missing."""
    entries = read_entries(workspace)
    layers = [
        found[1]
        for key, value in entries.items()
        if (found := _ROLE.fullmatch(key)) and value == "SegmentationRole"
    ]
    paths = [workspace.parent / _file_name(entries, layer) for layer in layers]
    if any(not path.is_file() for path in paths):
        raise NotUnderstood("The result workspace names a segmentation that was not downloaded.")
    return Outcome(segmentations=tuple(paths), labels=_labels(entries))


def _file_name(entries: dict[str, str], layer: str) -> str:
    """The files lie side by side, whatever folder they had on the machine that wrote the workspace."""
    return PureWindowsPath(entries.get(f"{layer}.AbsolutePath", "")).name


def _labels(entries: dict[str, str]) -> dict[int, str]:
    elements = {found[0] for key in entries if (found := _LABEL.match(key))}
    numbered = {entries.get(f"{e}Index", ""): entries.get(f"{e}Label", "") for e in elements}
    return {int(index): name for index, name in numbered.items() if index.isdigit()}
