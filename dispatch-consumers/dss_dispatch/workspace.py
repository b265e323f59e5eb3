"""A workspace: the layers of a registry, and what of it may change on the way to a result.

Keys and rules are those of ITK-SNAP's Logic/WorkspaceAPI and IRISApplication::OpenProject.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PureWindowsPath

from dss_dispatch.errors import TicketError
from dss_dispatch.registry import Folder
from dss_dispatch.remarks import FOLDER as REMARKS
from dss_workspace.meshes import drop_meshes as drop_meshes  # noqa: PLC0414  (part of this module's offer)
from dss_workspace.meshes import is_layer, layer_key

_FORMATS = {".gz": "NiFTI", ".nii": "NiFTI", ".nrrd": "NRRD", ".mha": "MetaImage"}
"""As ITK-SNAP calls them (GuidedNativeImageIO.cxx)."""


class Role(StrEnum):
    """What a layer is in its workspace, as ITK-SNAP spells it."""

    MAIN = "MainRole"
    OVERLAY = "OverlayRole"
    SEGMENTATION = "SegmentationRole"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """An image layer.  ``file_name`` is the last part of its path, whatever system wrote that."""

    key: str
    role: str
    file_name: str
    tags: tuple[str, ...]
    nickname: str = ""

    @property
    def called(self) -> str:
        """As its user knows it."""
        return f"'{self.nickname}' ({self.file_name})" if self.nickname else f"'{self.file_name}'"


def layers(workspace: Folder) -> tuple[Layer, ...]:
    """The image layers in ITK-SNAP's order, the main image first.

    Raises TicketError where ITK-SNAP could not open the workspace: no layer, a gap in their
    numbers, no main image at the beginning or a second one, no usable file name.
    """
    folders = _layer_folders(workspace)
    found = tuple(_layer(key, folder) for key, folder in folders.items())
    if not found:
        raise TicketError("The workspace has no image layer; it needs at least a main image.")
    if list(folders) != [layer_key(i) for i in range(len(folders))]:
        raise TicketError("The workspace's layers are not numbered from 000 without gaps.")
    if [layer.role == Role.MAIN for layer in found] != [True] + [False] * (len(found) - 1):
        raise TicketError("The workspace's first layer, and only that, must be the main image.")
    return found


def main_folder(workspace: Folder) -> Folder:
    """The folder of the main image, which also holds the labels."""
    return workspace.make(f"Layers.{layer_key(0)}")


def _layer_folders(workspace: Folder) -> dict[str, Folder]:
    container = workspace.find("Layers") or Folder()
    return {key: container.folders[key] for key in sorted(container.folders) if is_layer(key)}


def _layer(key: str, folder: Folder) -> Layer:
    return Layer(
        key=key,
        role=folder.get("Role"),
        file_name=flat_name(folder.get("AbsolutePath")),
        tags=_split_tags(folder.get("Tags")),
        nickname=folder.get("LayerMetaData.CustomNickName"),
    )


def _split_tags(text: str) -> tuple[str, ...]:
    # The Python client joins with ", ", ITK-SNAP with ",".
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())


def flat_name(path: str) -> str:
    """The last part of a path of any system.  Raises TicketError if that is no file name."""
    name = PureWindowsPath(path).name  # takes / and \ alike
    if name in {"", ".", ".."}:
        raise TicketError("The workspace has a layer without a file name.")
    return name


def add_segmentation(workspace: Folder, file_name: str, nickname: str) -> None:
    """Append a segmentation layer after the image layers that are there."""
    folder = workspace.make(f"Layers.{layer_key(len(_layer_folders(workspace)))}")
    folder.set("AbsolutePath", file_name)
    folder.set("Role", Role.SEGMENTATION)
    folder.set("Tags", "")
    folder.set("IOHints.Format", _FORMATS[PureWindowsPath(file_name).suffix.lower()])
    folder.set("LayerMetaData.Alpha", "0")
    folder.set("LayerMetaData.CustomNickName", nickname)
    folder.set("LayerMetaData.Sticky", "1")
    folder.set("LayerMetaData.Tags", "")


def move(workspace: Folder, location: str) -> None:
    """Let every file lie in the folder ``location``.

    ITK-SNAP looks for a moved file by taking SaveLocation off its path, so both must agree.
    """
    workspace.set("SaveLocation", location)
    workspace.entries.setdefault("Version", "")  # a project file is known by having both
    for folder in [*_layer_folders(workspace).values(), *_mesh_files(workspace)]:
        folder.set("AbsolutePath", f"{location}/{flat_name(folder.get('AbsolutePath'))}")


def has_moved(workspace: Folder) -> bool:
    """Does every layer's file lie right in SaveLocation, and so beside a downloaded workspace?"""
    location = workspace.get("SaveLocation")
    folders = [*_layer_folders(workspace).values(), *_mesh_files(workspace)]
    paths = [folder.get("AbsolutePath") for folder in folders]
    return all(path == f"{location}/{flat_name(path)}" for path in paths)


def lies_beside(workspace: Folder) -> bool:
    """As ``has_moved``, of a workspace that any system wrote; a path may also lack a folder."""
    location = PureWindowsPath(workspace.get("SaveLocation"))
    folders = [*_layer_folders(workspace).values(), *_mesh_files(workspace)]
    paths = [PureWindowsPath(folder.get("AbsolutePath")) for folder in folders]
    return all(path.parent in {location, PureWindowsPath()} for path in paths)


def mesh_file_names(workspace: Folder) -> tuple[str, ...]:
    """Names of the files that the mesh layers need."""
    return tuple(flat_name(folder.get("AbsolutePath")) for folder in _mesh_files(workspace))


def _mesh_files(layers_of: Folder) -> list[Folder]:
    meshes = layers_of.find("MeshLayers") or Folder()
    return [folder for folder in meshes.walk() if "AbsolutePath" in folder.entries]


def scrub(workspace: Folder) -> None:
    """Take out the histories of files opened: the client leaves the user's own paths there.

    And what the sender said about the images: that is in the ticket's log.
    """
    workspace.folders.pop(REMARKS, None)
    for folder in workspace.walk():
        folder.folders.pop("IOHistory", None)


def state_main_size(workspace: Folder, size: tuple[int, ...]) -> None:
    """Correct the main image's size where it is stated.

    ITK-SNAP drops all labels if the statement differs from the image (SNAPRegistryIO.cxx:331).
    """
    grey = main_folder(workspace).find("ProjectMetaData.Files.Grey")
    if grey is not None and "Dimensions" in grey.entries:
        grey.set("Dimensions", " ".join(str(n) for n in size[:3]))
