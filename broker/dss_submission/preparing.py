"""Prepares the files of one ticket from the user's input: an image, several with tags, or a workspace."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

from dss_submission.errors import ImageUnreadable
from dss_submission.layer import Layer
from dss_submission.needs import ServiceDetail, main_image_tags, require_known, require_tags
from dss_submission.region import Region, mark, require_fit, require_time_point, tags_of
from dss_submission.workspace import write_workspace
from dss_workspace import layers as ws
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.landmarks import landmark_names
from dss_workspace.meshes import mesh_file_folders, remove_incomplete_meshes
from dss_workspace.notes import add_notes
from dss_workspace.paths import move, remove_histories
from dss_workspace.registry import Folder, read, serialize
from dss_workspace.time_points import time_point_names

WORKSPACE = ".itksnap"
MISSING_MESH_PATH = "/missing"
"""Placeholder for the path of a mesh whose file is missing, until its layer is removed.  No mesh has this name, because
the name has no suffix.
"""

Write = Callable[[int], Path]
"""Called with the ticket's number: writes the workspace into the folder of its layers, and returns its path."""

CopyFile = Callable[[Path, Path], Layer]
"""Called with an image file and a folder: copies the file unchanged into the folder, and returns the layer."""


class PreparationDisplay(Protocol):
    """Shows the user the progress of ``prepare``."""

    def note(self, text: str) -> None:
        """Show a sentence."""

    def stage(self, name: str) -> None:
        """Show that the stage ``name`` begins."""

    def moved(self, done_bytes: int, total_bytes: int) -> None:
        """Show the fraction ``done_bytes`` / ``total_bytes`` that was read; ``prepare`` gives thousandths."""


class Silent:
    """A PreparationDisplay that shows nothing."""

    def note(self, text: str) -> None:
        pass

    def stage(self, name: str) -> None:
        pass

    def moved(self, done_bytes: int, total_bytes: int) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Source:
    """The user's input for one ticket.

    ``path`` is an image, a DICOM folder or a workspace; ``series`` selects a series of a DICOM folder; ``tagged`` are
    further images by tag; ``region`` is the part of the main image that the service is to segment.
    """

    path: Path
    series: str = ""
    tagged: Mapping[str, Path] = field(default_factory=dict)
    region: Region = field(default_factory=Region)


def prepare(
    source: Source,
    service: ServiceDetail,
    folder: Path,
    display: PreparationDisplay,
    copy_file: CopyFile | None = None,
) -> Write:
    """Write the layers of ``source`` into ``folder``, and return a function that writes the workspace, when the ticket
    has a number.

    ``copy_file`` copies files unchanged; if it is None, they are read, checked and converted.  Raises ImageUnreadable if
    an image, the workspace or the region is unusable; ServiceUnfit if a tag is missing or unknown, or the service has
    no tags for the region.
    """
    require_fit(source.region, service)
    require_known(service, source.tagged)
    _require_files(source)
    to_layer: _ToLayer = (
        _ConvertImage(display, folder) if copy_file is None else _CopyUnchanged(copy_file, folder)
    )
    if source.path.name.lower().endswith(WORKSPACE):
        return _from_workspace(source, service, folder, _naming(to_layer), display)
    to_layer = _naming(to_layer) if source.tagged else to_layer
    require_tags(service, {*source.tagged, *tags_of(source.region, service)})
    main = to_layer(source.path, source.series)
    others = [(tag, to_layer(path)) for tag, path in source.tagged.items()]
    tags = [tag for tag in main_image_tags(service) if tag not in source.tagged]

    def complete(root: Folder) -> None:
        mark(root, source.region, service, main.size)

    trial = Folder()
    complete(trial)  # a fault is refused before the ticket is created
    _warn_of_time_points(trial, service, main, display)
    return lambda number: write_workspace(number, main, tags, others, complete)


def _warn_of_time_points(
    root: Folder, service: ServiceDetail, main: Layer, display: PreparationDisplay
) -> None:
    """Call ``require_time_point``, which may raise ImageUnreadable, and show its warning to the user."""
    if warning := require_time_point(root, service, main.size):
        display.note(warning)


def _require_files(source: Source) -> None:
    """Raises ImageUnreadable if the source is a workspace and has tags or a series, and if the file of a tag is
    missing.

    Called before images are read, which may take minutes.
    """
    if source.path.name.lower().endswith(WORKSPACE) and (source.tagged or source.series):
        raise ImageUnreadable(
            f"{source.path.name} has images and tags of its own; --tag and --series are for an image."
        )
    for path in source.tagged.values():
        if not path.exists():
            raise ImageUnreadable(f"There is no file {path}.")


class _ToLayer(Protocol):
    def __call__(self, path: Path, series: str = "") -> Layer:
        """Write the image ``path``, or its series ``series``, into the ticket's folder.  Raises ImageUnreadable."""


def _naming(to_layer: _ToLayer) -> _ToLayer:
    """``to_layer``, but the text of each ImageUnreadable names the file: the ticket has several images."""

    def named(path: Path, series: str = "") -> Layer:
        try:
            return to_layer(path, series)
        except ImageUnreadable as error:
            text = str(error)
            raise ImageUnreadable(text if path.name in text else f"{path.name}: {text}") from error

    return named


class _ConvertImage:
    """Converts an image to a layer: reads it, checks it, and writes it into the ticket's folder."""

    def __init__(self, display: PreparationDisplay, folder: Path) -> None:
        self._display = display
        self._folder = folder

    def __call__(self, path: Path, series: str = "") -> Layer:
        from dss_submission.images import write_layer  # noqa: PLC0415  (needs the extra ``images``)

        self._display.stage("Reading the image")
        layer = write_layer(path, self._folder, series, self._read, self._display.stage)
        for note in layer.notes:
            self._display.note(note.text)
        return layer

    def _read(self, share: float) -> None:
        self._display.moved(round(share * 1000), 1000)


class _CopyUnchanged:
    """Makes a layer of an image by copying its file unchanged.  Refuses a series, which would have to be converted."""

    def __init__(self, copy_file: CopyFile, folder: Path) -> None:
        self._copy_file = copy_file
        self._folder = folder

    def __call__(self, path: Path, series: str = "") -> Layer:
        if series:
            raise ImageUnreadable(f"{path.name} is sent as it is, so there is no series {series}.")
        return self._copy_file(path, self._folder)


def _from_workspace(
    source: Source,
    service: ServiceDetail,
    folder: Path,
    to_layer: _ToLayer,
    display: PreparationDisplay,
) -> Write:
    root = _opened(source.path)
    found = _files(source.path, root)
    tags = {tag for layer in ws.layers(root) for tag in layer.tags}
    others = landmark_names(root) | time_point_names(root) | tags_of(source.region, service)
    require_tags(service, tags | others)
    written = {key: to_layer(path) for key, path in found.items()}
    for key, layer in written.items():
        place = root.make(f"Layers.{key}")
        place.set("AbsolutePath", layer.path.as_posix())
        place.folders.pop("IOHints", None)
    _assign(root, [tag for tag in main_image_tags(service) if tag not in tags])
    _keep_meshes(source.path, root, folder)
    main = written[next(iter(found))]
    mark(root, source.region, service, main.size)
    _warn_of_time_points(root, service, main, display)
    remove_histories(root)
    move(root, folder.as_posix())
    add_notes(root, [note for layer in written.values() for note in layer.notes])
    return lambda number: _written(root, folder / f"ticket_{number:08d}{WORKSPACE}")


def workspace_files(path: Path) -> list[Path]:
    """The files of the image layers of a workspace.  Raises ImageUnreadable if it cannot be read or a file is missing."""
    return list(_files(path, _opened(path)).values())


def _opened(path: Path) -> Folder:
    try:
        root = read(path)
        ws.layers(root)
    except WorkspaceInvalid as error:
        raise ImageUnreadable(str(error)) from error
    except OSError as error:
        raise ImageUnreadable(f"{path.name} cannot be read: {error.strerror}.") from error
    return root


def _files(workspace: Path, root: Folder) -> dict[str, Path]:
    """The files of the image layers of ``workspace``, by key.  Raises ImageUnreadable if one is missing, or if the file
    beside the workspace has the name of two layers' files, so that it is not known of which.
    """
    named = ws.layer_folders(root)
    found = {key: _file(workspace, root, layer) for key, layer in named.items()}
    paths: dict[Path, str] = {}
    for key, file in found.items():
        path = named[key].get("AbsolutePath")
        if paths.setdefault(file, path) != path and file == workspace.parent / file.name:
            raise ImageUnreadable(
                f"Two layers of {workspace.name} have files with the name {file.name} in different folders, and only one "
                "is there."
            )
    return found


def _file(workspace: Path, root: Folder, named: Folder) -> Path:
    """The file of the layer whose registry folder is ``named``, found as ITK-SNAP finds it.

    If the workspace ``workspace`` was moved, the file is at the same place relative to it; otherwise at its path; last,
    beside the workspace.  Raises ImageUnreadable if it is at none of these.
    """
    path, location = named.get("AbsolutePath"), root.get("SaveLocation")
    places = [Path(path), workspace.parent / PureWindowsPath(path).name]
    kind = PureWindowsPath if "\\" in location else PurePosixPath
    if location and kind(path).is_relative_to(location):
        places.insert(0, workspace.parent / kind(path).relative_to(location).as_posix())
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ImageUnreadable(
            f"{workspace.name} names {PureWindowsPath(path).name}, which is neither beside it nor where it was."
        )
    return found


def _assign(root: Folder, tags: list[str]) -> None:
    """Add ``tags``, which no layer of the workspace has, to the main image, as ITK-SNAP does it."""
    main = ws.main_folder(root)
    before = [tag for tag in main.get("Tags").split(",") if tag.strip()]
    main.set("Tags", ",".join([*before, *tags]))


def _keep_meshes(workspace: Path, root: Folder, folder: Path) -> None:
    """Copy the mesh files to ``folder``.  Mesh layers without a file, which ITK-SNAP could not load, are removed."""
    names = set()
    for number, mesh in enumerate(mesh_file_folders(root)):
        try:
            found = _file(workspace, root, mesh)
        except ImageUnreadable:
            mesh.set(
                "AbsolutePath", MISSING_MESH_PATH
            )  # another mesh may have a file of the same name
            continue
        name = found.name if found.name not in names else f"{number}_{found.name}"
        names.add(name)
        shutil.copyfile(found, folder / name)
        mesh.set("AbsolutePath", (folder / name).as_posix())
    remove_incomplete_meshes(root, names.__contains__)


def _written(root: Folder, path: Path) -> Path:
    path.write_bytes(serialize(root, is_project=False))
    return path
