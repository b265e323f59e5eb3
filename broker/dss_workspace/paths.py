"""Paths in a workspace: those of its files, and in other texts those of the user's folders.

ITK-SNAP finds a moved file by its path relative to ``SaveLocation``, so both must change together.
"""

import re
from pathlib import PureWindowsPath

from dss_workspace.layers import flat_name, layer_folders
from dss_workspace.meshes import mesh_file_folders
from dss_workspace.registry import Folder

_HISTORY = "IOHistory"
"""Folder with the paths of recently opened files."""

_PIECE_CHARS = 65536

_FOLDERS = re.compile(
    r"""(?<![^\s"'(\[=,;|])                        # at the beginning of a word:
    (?:file:/+)?(?:[A-Za-z]:[\\/]|\\\\|~[\w.-]*/|/)  # C:\\, \\\\, ~/ or /
    (?:[^\\/\s"'][^\\/\r\n"']*[\\/]+)+               # and folders, down to the last""",
    re.VERBOSE,
)


def move(workspace: Folder, location: str) -> None:
    """Set the folder of every layer's file to ``location``.  Raises WorkspaceInvalid for a layer without a file."""
    _set_location(workspace, location)
    for folder in _file_folders(workspace):
        folder.set("AbsolutePath", f"{location}/{flat_name(folder.get('AbsolutePath'))}")


def has_moved(workspace: Folder) -> bool:
    """True if every layer's file is directly in SaveLocation, and so beside a downloaded workspace."""
    location = workspace.get("SaveLocation")
    paths = [folder.get("AbsolutePath") for folder in _file_folders(workspace)]
    return all(path == f"{location}/{flat_name(path)}" for path in paths)


def lies_beside(workspace: Folder) -> bool:
    """Like ``has_moved``, for paths of any system.  A path without a folder counts as beside the workspace, too."""
    location = PureWindowsPath(workspace.get("SaveLocation"))
    paths = [PureWindowsPath(folder.get("AbsolutePath")) for folder in _file_folders(workspace)]
    return all(path.parent in {location, PureWindowsPath()} for path in paths)


def remove_histories(workspace: Folder) -> None:
    """Remove the lists of files that the user has opened."""
    for folder in workspace.walk():
        folder.folders.pop(_HISTORY, None)


def remove_paths(workspace: Folder, location: str) -> bool:
    """Move the workspace to the folder ``location``, and remove every other path.

    False if nothing was changed.  Unlike ``move`` it accepts layers without a file name.
    """
    changed = [_remove_paths(folder, location) for folder in workspace.walk()]
    if workspace.entries.get("SaveLocation", location) != location:
        changed.append(True)
    if not any(changed):
        return False
    _set_location(workspace, location)
    return True


def _set_location(workspace: Folder, location: str) -> None:
    workspace.set("SaveLocation", location)
    workspace.entries.setdefault(
        "Version", ""
    )  # ITK-SNAP recognises a project file by both entries


def _file_folders(workspace: Folder) -> list[Folder]:
    return [*layer_folders(workspace).values(), *mesh_file_folders(workspace)]


def _remove_paths(folder: Folder, location: str) -> bool:
    """Remove the paths of ``folder``; in its sub-folders, remove only the history.  True if anything was removed."""
    history = folder.folders.pop(_HISTORY, None)
    before = dict(folder.entries)
    for key, value in before.items():
        if key == "AbsolutePath":
            folder.entries[key] = _moved(value, location)
        elif key != "SaveLocation":
            folder.entries[key] = _without_folders(value)
    return history is not None or folder.entries != before


def _without_folders(text: str) -> str:
    """``text`` without paths.  It is searched in pieces, because a regular expression blocks all other threads while it
    is matched.
    """
    pieces = (text[i : i + _PIECE_CHARS] for i in range(0, len(text), _PIECE_CHARS))
    return "".join(_FOLDERS.sub("", piece) for piece in pieces)


def _moved(path: str, location: str) -> str:
    name = PureWindowsPath(path).name  # splits at slashes and backslashes
    return f"{location}/{name}" if name else ""
