"""Changes and removes paths in a workspace: those of its files, and those of the user's folders in other texts.

ITK-SNAP finds a moved file by its path relative to ``SaveLocation``, so both must change together.
"""

import re
from pathlib import PureWindowsPath

from dss_workspace.layers import flat_name, layer_folders
from dss_workspace.meshes import mesh_file_folders
from dss_workspace.registry import Folder

_HISTORY = "IOHistory"
"""Key of the registry folders with the paths of recently opened files."""

_PIECE_CHARS = 65536

_FOLDERS = re.compile(
    r"""(?<![^\s"'(\[=,;|])                        # at the beginning of a word:
    (?:file:/+)?(?:[A-Za-z]:[\\/]|\\\\|~[\w.-]*/|/)  # C:\\, \\\\, ~/ or /
    (?:[^\\/\s"'][^\\/\r\n"']*[\\/]+)+               # and folders, down to the last""",
    re.VERBOSE,
)


def move(workspace: Folder, location: str) -> None:
    """Set SaveLocation, and the folder of every layer's file, to ``location``.  Writes no file.

    Raises WorkspaceInvalid for a layer without a file name.
    """
    _set_location(workspace, location)
    for folder in _file_folders(workspace):
        folder.set("AbsolutePath", f"{location}/{flat_name(folder.get('AbsolutePath'))}")


def has_uniform_folder(workspace: Folder) -> bool:
    """True if the path of every layer's file is SaveLocation, "/" and a file name, as ``move`` writes it, so that
    ITK-SNAP looks for the file beside the workspace.  Raises WorkspaceInvalid for a layer without a file name.
    """
    location = workspace.get("SaveLocation")
    paths = [folder.get("AbsolutePath") for folder in _file_folders(workspace)]
    return all(path == f"{location}/{flat_name(path)}" for path in paths)


def is_self_contained(workspace: Folder) -> bool:
    """True if the path of every layer's file is directly in the folder SaveLocation, or has no folder.

    The paths may be of any system.
    """
    location = PureWindowsPath(workspace.get("SaveLocation"))
    paths = [PureWindowsPath(folder.get("AbsolutePath")) for folder in _file_folders(workspace)]
    return all(path.parent in {location, PureWindowsPath()} for path in paths)


def remove_histories(workspace: Folder) -> None:
    """Remove the lists of files that the user has opened (IOHistory) from all registry folders."""
    for folder in workspace.walk():
        folder.folders.pop(_HISTORY, None)


def remove_paths(workspace: Folder, location: str) -> bool:
    """Set SaveLocation, and the folder of every layer's file, to ``location``; remove the lists of opened files, and
    the folders from paths in other texts.

    Accepts layers without a file name.  Returns False if nothing had to be changed.
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
    """Remove the history of ``folder`` and the paths in its entries, except SaveLocation; an AbsolutePath is moved to
    ``location``.  Sub-folders are not changed.  True if anything was changed.
    """
    history = folder.folders.pop(_HISTORY, None)
    before = dict(folder.entries)
    for key, value in before.items():
        if key == "AbsolutePath":
            folder.entries[key] = _moved(value, location)
        elif key != "SaveLocation":
            folder.entries[key] = _without_folders(value)
    return history is not None or folder.entries != before


def _without_folders(text: str) -> str:
    """``text`` with each path reduced to its last part.

    It is searched in pieces, because the search for a regular expression blocks all other threads.
    """
    pieces = (text[i : i + _PIECE_CHARS] for i in range(0, len(text), _PIECE_CHARS))
    return "".join(_FOLDERS.sub("", piece) for piece in pieces)


def _moved(path: str, location: str) -> str:
    name = PureWindowsPath(path).name  # splits at slashes and backslashes
    return f"{location}/{name}" if name else ""
