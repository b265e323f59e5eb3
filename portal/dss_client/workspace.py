"""Reads a result workspace that was downloaded."""

from dataclasses import dataclass
from pathlib import Path

from dss_client.errors import NotUnderstood
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.label_table import label_table
from dss_workspace.layers import Role, flat_name, layer_folders
from dss_workspace.registry import Folder, read


@dataclass(frozen=True, kw_only=True)
class DownloadedResults:
    """The contents of a result workspace.  ``segmentations`` are files in layer order, and ``names`` are their names in
    ITK-SNAP, in the same order; ``labels`` are the label table's names by value.
    """

    segmentations: tuple[Path, ...]
    labels: dict[int, str]
    names: tuple[str, ...] = ()

    def called(self, index: int) -> str:
        """The name of the segmentation number ``index``, from 0: its name in ITK-SNAP if no other segmentation has it,
        otherwise "segmentation" and its number from 1.
        """
        name = self.names[index] if index < len(self.names) else ""
        return name if name and self.names.count(name) == 1 else f"segmentation {index + 1}"


def read_outcome(workspace: Path) -> DownloadedResults:
    """Read a downloaded workspace.

    Raises NotUnderstood if it is not a workspace, or if a segmentation names no file or one that is missing.
    """
    try:
        root = read(workspace)
    except WorkspaceInvalid as error:
        raise NotUnderstood(f"The result workspace cannot be read. {error}") from error
    folders = [f for f in layer_folders(root).values() if f.get("Role") == Role.SEGMENTATION]
    paths = [workspace.parent / name for name in _file_names(folders)]
    if any(not path.is_file() for path in paths):
        raise NotUnderstood("The result workspace names a segmentation that was not downloaded.")
    table = label_table(root)
    return DownloadedResults(
        segmentations=tuple(paths),
        names=tuple(" ".join(f.get("LayerMetaData.CustomNickName").split()) for f in folders),
        labels={value: element.get("Label") for value, element in table.items()},
    )


def _file_names(folders: list[Folder]) -> list[str]:
    """File names of layers, without the folders of the machine that wrote the workspace."""
    try:
        return [flat_name(folder.get("AbsolutePath")) for folder in folders]
    except WorkspaceInvalid as error:
        raise NotUnderstood(str(error)) from error
