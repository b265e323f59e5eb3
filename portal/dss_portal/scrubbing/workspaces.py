"""Removes paths of the author's machine, and mesh layers without files, from the text of an ITK-SNAP workspace."""

from collections.abc import Container

from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.meshes import remove_incomplete_meshes
from dss_workspace.paths import remove_paths
from dss_workspace.registry import parse, serialize


def without_paths(data: bytes, location: str) -> bytes:
    """The workspace ``data`` as if it had been saved in the folder ``location``, and without any other path of a
    machine.

    Bytes that are not a workspace, and a workspace without other paths, are returned unchanged.
    """
    try:
        workspace = parse(data)
    except WorkspaceInvalid:
        return data
    return serialize(workspace) if remove_paths(workspace, location) else data


def without_meshes(data: bytes, names: Container[str]) -> tuple[bytes, int]:
    """The workspace ``data`` without those mesh layers whose files are not in ``names``, and the number of removed
    layers.  Bytes that are not a workspace are returned unchanged.

    ITK-SNAP does not upload meshes, and it cannot open a workspace whose files are incomplete.
    """
    try:
        workspace = parse(data)
    except WorkspaceInvalid:
        return data, 0
    dropped = remove_incomplete_meshes(workspace, names.__contains__)
    return (serialize(workspace), dropped) if dropped else (data, 0)
