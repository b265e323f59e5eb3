"""Mesh layers of a workspace."""

import re
from collections.abc import Callable
from pathlib import PureWindowsPath

from dss_workspace.registry import Folder

_LAYER_KEY = re.compile(r"Layer\[(\d+)\]")


def drop_meshes(workspace: Folder, is_there: Callable[[str], bool]) -> int:
    """Take out the mesh layers that lack a file; how many those were.

    The client never uploads meshes, and one missing file makes ITK-SNAP refuse the workspace.
    """
    meshes = workspace.find("MeshLayers")
    if meshes is None:
        return 0
    layers = [meshes.folders.pop(key) for key in sorted(meshes.folders) if is_layer(key)]
    kept = [layer for layer in layers if _is_complete(layer, is_there)]
    meshes.folders.update({layer_key(i): layer for i, layer in enumerate(kept)})
    if not meshes.folders:
        del workspace.folders["MeshLayers"]
    return len(layers) - len(kept)


def layer_key(index: int) -> str:
    return f"Layer[{index:03d}]"


def is_layer(key: str) -> bool:
    return _LAYER_KEY.fullmatch(key) is not None


def _is_complete(mesh: Folder, is_there: Callable[[str], bool]) -> bool:
    paths = [f.entries["AbsolutePath"] for f in mesh.walk() if "AbsolutePath" in f.entries]
    return bool(paths) and all(is_there(PureWindowsPath(path).name) for path in paths)
