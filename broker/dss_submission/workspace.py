"""Writes the workspace of a ticket whose images the user has given without a workspace.

Facts: WorkspaceAPI.cxx (``ExportWorkspace``) of ITK-SNAP, and a workspace that itksnap-wt uploaded.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dss_submission.layer import Layer
from dss_workspace.layers import Role, layer_folders, layer_key, main_folder
from dss_workspace.notes import add_notes
from dss_workspace.registry import Folder, serialize


def write_workspace(
    ticket: int,
    layer: Layer,
    tags: Iterable[str],
    others: Sequence[tuple[str, Layer]] = (),
    mark: Callable[[Folder], None] = lambda _: None,
) -> Path:
    """Write the workspace ``ticket_%08d.itksnap`` of the ticket with the number ``ticket``, and return its path.

    It is in the folder of the main image ``layer``, which has ``tags``; ``others`` become overlays with one tag each;
    ``mark`` is called with the workspace to add more; its errors are let through.  The main image gets no nickname:
    that would be the user's file name, which may name the patient.
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
