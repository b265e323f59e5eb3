"""The image layers of a workspace.

Keys and rules are those of ITK-SNAP's Logic/WorkspaceAPI and IRISApplication::OpenProject.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PureWindowsPath

from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.registry import Folder

_LAYER_KEY = re.compile(r"Layer\[(\d+)\]")

_FORMATS = {".gz": "NiFTI", ".nii": "NiFTI", ".nrrd": "NRRD", ".mha": "MetaImage"}
"""ITK-SNAP's names of image formats, by the file's suffix (GuidedNativeImageIO.cxx)."""


_LEAST_SHIFT_MM, _LEAST_TURN = 1e-2, 1e-4
"""A transformation with a smaller offset, and a matrix that differs less from the identity, moves nothing visibly."""
REGISTERED = (
    "The layer {} is registered: ITK-SNAP shows it elsewhere than its file says, so that a segmentation of it would lie "
    "wrong. Open that file as the main image of another workspace, and submit that; or save the layer resampled to the "
    "main image, and load it instead."
)
"""Template of a sentence for the user about a layer, which ``called`` names."""


class Role(StrEnum):
    """The roles of layers in a workspace that our programs use, in ITK-SNAP's spelling."""

    MAIN = "MainRole"
    OVERLAY = "OverlayRole"
    SEGMENTATION = "SegmentationRole"


_ROLES = f"{Role.MAIN}, {Role.OVERLAY} and {Role.SEGMENTATION}"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """An image layer of a workspace.  ``key`` is that of its registry folder, such as ``Layer[000]``.

    ``file_name`` is the last part of the path of its file, whose separators may be those of any system.
    ``is_registered``: ITK-SNAP shows the image elsewhere than its file says, because the user has registered it to the
    main image.
    """

    key: str
    role: str
    file_name: str
    tags: tuple[str, ...]
    nickname: str = ""
    is_registered: bool = False

    @property
    def called(self) -> str:
        """How a sentence for the user names the layer: by its nickname, if it has one, and its file name."""
        return f"'{self.nickname}' ({self.file_name})" if self.nickname else f"'{self.file_name}'"


def layers(workspace: Folder) -> tuple[Layer, ...]:
    """The image layers in ITK-SNAP's order, the main image first.

    Raises WorkspaceInvalid if ITK-SNAP could not open the workspace: it has no layer, the layers' numbers have a gap,
    the first layer is not the main image, there is a second main image, a layer has another role than those of Role, or
    a file name is unusable.
    """
    folders = layer_folders(workspace)
    found = tuple(_layer(key, folder) for key, folder in folders.items())
    if not found:
        raise WorkspaceInvalid("The workspace has no image layer; it needs at least a main image.")
    if list(folders) != [layer_key(i) for i in range(len(folders))]:
        raise WorkspaceInvalid("The workspace's layers are not numbered from 000 without gaps.")
    if [layer.role == Role.MAIN for layer in found] != [True] + [False] * (len(found) - 1):
        raise WorkspaceInvalid(
            "The workspace's first layer, and only that, must be the main image."
        )
    for layer in found:
        if layer.role not in set(Role):
            raise WorkspaceInvalid(
                f"The workspace's {layer.key} has the role '{layer.role[:40]}'; ITK-SNAP opens {_ROLES}."
            )
    return found


def require_separate_files(workspace: Folder) -> None:
    """Raises WorkspaceInvalid if two image layers have files of the same name in different folders.

    Files are uploaded without their folders, so that both layers would get the same one of them.
    """
    location = PureWindowsPath(workspace.get("SaveLocation"))
    paths: dict[str, PureWindowsPath] = {}
    for folder in layer_folders(workspace).values():
        path = location / folder.get("AbsolutePath")
        if paths.setdefault(path.name.casefold(), path) != path:
            raise WorkspaceInvalid(
                f"Two layers of the workspace have files with the name '{path.name}' in different folders, so that it is not "
                "known which of them was sent. Rename one, and submit again."
            )


def main_folder(workspace: Folder) -> Folder:
    """The registry folder of the first layer, the main image, which also contains the labels.  It is made if it is
    missing.
    """
    return workspace.make(f"Layers.{layer_key(0)}")


def layer_folders(workspace: Folder) -> dict[str, Folder]:
    """The registry folders of the image layers by key, in ascending order, without the checks of ``layers``."""
    container = workspace.find("Layers") or Folder()
    return {key: container.folders[key] for key in sorted(container.folders) if is_layer(key)}


def layer_key(index: int) -> str:
    """The key of the image layer ``index``, which counts from 0."""
    return f"Layer[{index:03d}]"


def is_layer(key: str) -> bool:
    """True if ``key`` is the key of a layer, such as ``Layer[000]``."""
    return _LAYER_KEY.fullmatch(key) is not None


def _layer(key: str, folder: Folder) -> Layer:
    return Layer(
        key=key,
        role=folder.get("Role"),
        file_name=flat_name(folder.get("AbsolutePath")),
        tags=_split_tags(folder.get("Tags")),
        nickname=folder.get("LayerMetaData.CustomNickName"),
        is_registered=_is_registered(folder.find("ImageTransform") or Folder()),
    )


def _is_registered(transform: Folder) -> bool:
    """True if the transformation of a layer moves it.  What is missing or no number is that of the identity
    (AffineTransformHelper::ReadFromRegistry of ITK-SNAP).
    """
    if transform.get("IsIdentity", "1").strip().lower() not in {"0", "false"}:
        return False
    shifts = (_number(transform.get(f"Offset.Element[{i}]"), 0.0) for i in range(3))
    turns = (
        _number(transform.get(f"Matrix.Element[{i}][{j}]"), float(i == j)) - (i == j)
        for i in range(3)
        for j in range(3)
    )
    return any(abs(n) > _LEAST_SHIFT_MM for n in shifts) or any(abs(n) > _LEAST_TURN for n in turns)


def _number(text: str, default: float) -> float:
    try:
        return float(text)
    except ValueError:
        return default


def _split_tags(text: str) -> tuple[str, ...]:
    # The Python client joins with ", ", ITK-SNAP with ",".
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())


def flat_name(path: str) -> str:
    """The last part of ``path``, which may be of any system.  Raises WorkspaceInvalid if that is not a file name."""
    name = PureWindowsPath(path).name  # splits at slashes and backslashes
    if name in {"", ".", ".."}:
        raise WorkspaceInvalid("The workspace has a layer without a file name.")
    return name


def add_segmentation(workspace: Folder, file_name: str, nickname: str) -> None:
    """Append a segmentation layer after the existing image layers.  Raises KeyError unless ``file_name`` has a suffix
    of _FORMATS.
    """
    _add(workspace, file_name, nickname, Role.SEGMENTATION)


def add_overlay(workspace: Folder, file_name: str, nickname: str) -> None:
    """Append an overlay, such as a probability map, after the existing image layers.  Raises KeyError unless
    ``file_name`` has a suffix of _FORMATS.
    """
    _add(workspace, file_name, nickname, Role.OVERLAY)


def _add(workspace: Folder, file_name: str, nickname: str, role: Role) -> None:
    folder = workspace.make(f"Layers.{layer_key(len(layer_folders(workspace)))}")
    folder.set("AbsolutePath", file_name)
    folder.set("Role", role)
    folder.set("Tags", "")
    folder.set("IOHints.Format", _FORMATS[PureWindowsPath(file_name).suffix.lower()])
    folder.set("LayerMetaData.Alpha", "0")
    folder.set("LayerMetaData.CustomNickName", nickname)
    folder.set("LayerMetaData.Sticky", "1")
    folder.set("LayerMetaData.Tags", "")


def has_main_size(workspace: Folder, size: tuple[int, ...]) -> bool:
    """False if the workspace states another size of the main image than ``size``, which is (x, y, z), or (x, y, z, t)
    without t.  ITK-SNAP then drops all labels (SNAPRegistryIO.cxx:331).
    """
    grey = main_folder(workspace).find("ProjectMetaData.Files.Grey")
    if grey is None or "Dimensions" not in grey.entries:
        return True
    return grey.get("Dimensions").split() == [str(n) for n in size[:3]]


def state_main_size(workspace: Folder, size: tuple[int, ...]) -> None:
    """If the workspace states the main image's size, replace it by ``size``: (x, y, z), or (x, y, z, t) without t.

    ITK-SNAP drops all labels if the stated size differs, see ``has_main_size``.
    """
    grey = main_folder(workspace).find("ProjectMetaData.Files.Grey")
    if grey is not None and "Dimensions" in grey.entries:
        grey.set("Dimensions", " ".join(str(n) for n in size[:3]))
