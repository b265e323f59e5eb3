"""A workspace without the places where its author kept his files."""

import re
from collections.abc import Container
from pathlib import PureWindowsPath

from dss_workspace.meshes import drop_meshes
from dss_workspace.registry import Folder, RegistryUnreadable, parse, serialize

LARGEST_BYTES = 16 * 2**20
"""No dispatcher reads a larger one."""

PIECE_CHARS = 65536

_HISTORY = "IOHistory"
"""Folders with the paths of every file that was opened lately."""

_FOLDERS = re.compile(
    r"""(?<![^\s"'(\[=,;|])                        # at the beginning of a word:
    (?:file:/+)?(?:[A-Za-z]:[\\/]|\\\\|~[\w.-]*/|/)  # C:\\, \\\\, ~/ or /
    (?:[^\\/\s"'][^\\/\r\n"']*[\\/]+)+               # and folders, down to the last""",
    re.VERBOSE,
)


def without_paths(data: bytes, location: str) -> bytes:
    """The workspace as if it had been saved in the folder ``location``, without any other path.

    ITK-SNAP looks for a layer's file beside the workspace, by taking SaveLocation off its path, so both
    change alike.  What is no workspace, or tells nothing, comes back as it is.
    """
    try:
        workspace = parse(data)
    except RegistryUnreadable:
        return data
    changed = [_scrub(folder, location) for folder in workspace.walk()]
    if workspace.entries.get("SaveLocation", location) != location:
        changed.append(True)
    if not any(changed):
        return data
    workspace.set("SaveLocation", location)
    workspace.entries.setdefault("Version", "")  # a project file is known by having both
    return serialize(workspace)


def without_meshes(data: bytes, names: Container[str]) -> tuple[bytes, int]:
    """Without the mesh layers that need another file than ``names``, and how many those were.

    ITK-SNAP uploads no meshes, and nobody could open the workspace with a file missing.
    """
    try:
        workspace = parse(data)
    except RegistryUnreadable:
        return data, 0
    dropped = drop_meshes(workspace, names.__contains__)
    return (serialize(workspace), dropped) if dropped else (data, 0)


def _scrub(folder: Folder, location: str) -> bool:
    """Did it tell anything?  Its folders are looked at later."""
    history = folder.folders.pop(_HISTORY, None)
    before = dict(folder.entries)
    for key, value in before.items():
        if key == "AbsolutePath":
            folder.entries[key] = _moved(value, location)
        elif key != "SaveLocation":
            folder.entries[key] = _without_folders(value)
    return history is not None or folder.entries != before


def _without_folders(text: str) -> str:
    """In pieces: an expression lets no other thread run, and the portal answers people meanwhile."""
    pieces = (text[i : i + PIECE_CHARS] for i in range(0, len(text), PIECE_CHARS))
    return "".join(_FOLDERS.sub("", piece) for piece in pieces)


def _moved(path: str, location: str) -> str:
    name = PureWindowsPath(path).name  # takes / and \ alike
    return f"{location}/{name}" if name else ""
