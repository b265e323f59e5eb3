"""Writes the workspace for an upload, and reads the downloaded one.

Facts: WorkspaceAPI.cxx (``ExportWorkspace``) of ITK-SNAP, and a workspace that itksnap-wt uploaded.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dss_client.errors import NotUnderstood
from dss_client.layer import Layer
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.label_table import label_table
from dss_workspace.layers import Role, flat_name, layer_folders, layer_key, main_folder
from dss_workspace.notes import add_notes
from dss_workspace.registry import Folder, read, serialize


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Contents of a result workspace.  ``segmentations`` in layer order; ``labels`` are the names of the label table by
    value.
    """

    segmentations: tuple[Path, ...]
    labels: dict[int, str]


def write_workspace(
    ticket: int,
    layer: Layer,
    tags: Iterable[str],
    others: Sequence[tuple[str, Layer]] = (),
    mark: Callable[[Folder], None] = lambda _: None,
) -> Path:
    """Write ``ticket_%08d.itksnap`` beside its main image; ``others`` become overlays with one tag each, and ``mark``
    adds marks.  Returns its path.

    The layer has no nickname: it would be the user's file name, which may name the patient.
    """
    folder = layer.path.parent
    workspace = Folder(entries={"SaveLocation": folder.as_posix(), "Version": ""})
    main = main_folder(workspace)
    main.set("AbsolutePath", layer.path.as_posix())
    main.set("Role", Role.MAIN)
    main.set("Tags", ",".join(tags))
    main.make("IOHints")
    main.set("ProjectMetaData.Files.Grey.Dimensions", " ".join(map(str, layer.size[:3])))
    for tag, other in others:
        _add_overlay(workspace, tag, other)
    add_notes(workspace, [note for each in (layer, *(o for _, o in others)) for note in each.notes])
    mark(workspace)
    path = folder / f"ticket_{ticket:08d}.itksnap"
    path.write_bytes(serialize(workspace, is_project=False))
    return path


def _add_overlay(workspace: Folder, tag: str, layer: Layer) -> None:
    key = layer_key(len(layer_folders(workspace)))
    overlay = workspace.make(f"Layers.{key}")
    overlay.set("AbsolutePath", layer.path.as_posix())
    overlay.set("Role", Role.OVERLAY)
    overlay.set("Tags", tag)
    overlay.make("IOHints")


def read_outcome(workspace: Path) -> Outcome:
    """Read a downloaded workspace.

    Raises NotUnderstood if it is not a workspace, or if the file of a segmentation is missing.
    """
    try:
        root = read(workspace)
    except WorkspaceInvalid as error:
        raise NotUnderstood(f"The result workspace cannot be read. {error}") from error
    paths = [workspace.parent / name for name in _segmentations(root)]
    if any(not path.is_file() for path in paths):
        raise NotUnderstood("The result workspace names a segmentation that was not downloaded.")
    table = label_table(root)
    return Outcome(
        segmentations=tuple(paths),
        labels={value: element.get("Label") for value, element in table.items()},
    )


def _segmentations(root: Folder) -> list[str]:
    """File names of the segmentations, without the folders of the machine that wrote the workspace."""
    folders = [f for f in layer_folders(root).values() if f.get("Role") == Role.SEGMENTATION]
    try:
        return [flat_name(folder.get("AbsolutePath")) for folder in folders]
    except WorkspaceInvalid as error:
        raise NotUnderstood(str(error)) from error
