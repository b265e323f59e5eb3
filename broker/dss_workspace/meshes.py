"""Adds, lists and removes the mesh layers of a workspace.  Format: MeshWrapperBase.cxx of ITK-SNAP."""

from collections.abc import Callable
from pathlib import PureWindowsPath

from dss_workspace.layers import flat_name, is_layer, layer_key
from dss_workspace.registry import Folder

_FORMATS = {".vtk": "VTK Mesh", ".vtp": "VTP Mesh"}
"""ITK-SNAP's names of the formats that it loads into a workspace, by suffix (GuidedMeshIO.cxx)."""


def add_mesh(
    workspace: Folder,
    file_name: str,
    nickname: str,
    rgb: tuple[int, int, int],
    time_point: int = 1,
) -> None:
    """Append a mesh layer for ``time_point``, counted from 1; ``rgb`` is 0 to 255.

    The time points before it are listed without a mesh, because ITK-SNAP 4.0 stops reading at the first
    missing time point.  Raises KeyError unless ``file_name`` ends with .vtk or .vtp.
    """
    meshes = workspace.make("MeshLayers")
    count = sum(is_layer(key) for key in meshes.folders)
    layer = meshes.make(layer_key(count))
    layer.set("MeshType", "StandaloneMesh")
    layer.set("NickName", nickname)  # with this capital N, unlike that of images
    layer.set("SolidColor", " ".join(f"{part / 255:.6g}" for part in rgb))
    layer.set("Tags", "")
    for number in range(1, time_point + 1):
        place = layer.make(f"MeshTimePoints.TimePoint[{number:03d}]")
        place.set("TimePoint", str(number))
    data = place.make("PolyData[000]")
    data.set("AbsolutePath", file_name)
    data.set("Format", _FORMATS[PureWindowsPath(file_name).suffix.lower()])


def mesh_file_folders(workspace: Folder) -> list[Folder]:
    """The registry folders that contain the paths of mesh layers' files."""
    meshes = workspace.find("MeshLayers") or Folder()
    return [folder for folder in meshes.walk() if "AbsolutePath" in folder.entries]


def mesh_file_names(workspace: Folder) -> tuple[str, ...]:
    """Names of the files that the mesh layers need, without folders; the same name may occur twice.

    Raises WorkspaceInvalid for a path without a file name.
    """
    return tuple(flat_name(folder.get("AbsolutePath")) for folder in mesh_file_folders(workspace))


def remove_incomplete_meshes(workspace: Folder, is_there: Callable[[str], bool]) -> int:
    """Remove the mesh layers that name no file or of which a file is missing, renumber the others, and return the
    number of removed layers.

    ``is_there`` is called with a file name, and returns whether that file exists.  ITK-SNAP does not upload the files
    of meshes, but refuses a workspace if the file of a mesh is missing.
    """
    meshes = workspace.find("MeshLayers")
    if meshes is None:
        return 0
    layers = [meshes.folders.pop(key) for key in sorted(meshes.folders) if is_layer(key)]
    complete = [layer for layer in layers if _is_complete(layer, is_there)]
    meshes.folders.update({layer_key(i): layer for i, layer in enumerate(complete)})
    if not meshes.folders:
        del workspace.folders["MeshLayers"]
    return len(layers) - len(complete)


def _is_complete(mesh: Folder, is_there: Callable[[str], bool]) -> bool:
    paths = [f.entries["AbsolutePath"] for f in mesh.walk() if "AbsolutePath" in f.entries]
    return bool(paths) and all(is_there(PureWindowsPath(path).name) for path in paths)
