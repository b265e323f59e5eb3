"""Reads a ticket's workspace, and builds the result workspace from an algorithm's outcome."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dss_broker.dispatch_section import Dispatch
from dss_images.default_colours import default_colour
from dss_images.errors import ImageRefused
from dss_images.grid import Grid
from dss_images.labels import label_volumes
from dss_images.mesh.reading import read_mesh
from dss_images.mesh.surface import require_in_image
from dss_provider.algorithm import Array
from dss_provider.errors import AlgorithmFailed
from dss_provider.folder import ServiceFolder
from dss_provider.images import grid_of, load_array, suffix_for, write_in_grid, write_in_series
from dss_provider.outcome import AlgorithmOutcome, MeshFile, NamedLabel, OutputImage, Point
from dss_provider.time_points import TimePoint, chosen_of, whole_series_warning
from dss_workspace import landmarks as annotations
from dss_workspace import layers as ws
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.registry import Folder, read
from dss_workspace.result import ResultWorkspace, content_name

POINT_COLOUR = (255, 255, 0)


@dataclass(frozen=True, kw_only=True)
class TicketInput:
    """The files of a downloaded ticket: their folder, the parsed workspace, and its layers."""

    folder: Path
    workspace: Folder
    layers: tuple[ws.Layer, ...]

    def tagged(self, tag: str) -> Path:
        """The file of the one layer with that tag.  Raises AlgorithmFailed if no layer or several have the tag, or if
        the user has registered the layer, because the file does not know that.
        """
        found = [layer for layer in self.layers if tag in layer.tags]
        if len(found) != 1:
            have = f"{len(found)} layers are" if found else "no layer is"
            raise AlgorithmFailed(f"In the workspace {have} tagged '{tag}'; one must be.")
        if found[0].is_registered:
            raise AlgorithmFailed(ws.REGISTERED.format(found[0].called))
        return self.folder / found[0].file_name

    def time_point(self, dispatch: Dispatch) -> TimePoint | None:
        """The time point of a 4-D image that the algorithm gets; None if the image has only one, or if the service has
        no tag for time points.  Raises AlgorithmFailed if the user has not tagged a time point of the image.
        """
        return chosen_of(self.workspace, dispatch, self.tagged(dispatch.tag))

    def series_warning(self, dispatch: Dispatch) -> str:
        """A warning for the user if a program gets all time points of a 4-D image; otherwise ""."""
        return whole_series_warning(self.workspace, dispatch, self.tagged(dispatch.tag))

    def has(self, tag: str) -> bool:
        return any(tag in layer.tags for layer in self.layers)


@dataclass(frozen=True, kw_only=True)
class Style:
    """A label with the attributes that a workspace's label table needs; ``value`` is the algorithm's own."""

    value: int
    name: str
    rgb: tuple[int, int, int]


def open_input(folder: Path) -> TicketInput:
    """Read the files of a ticket.  Raises AlgorithmFailed unless there is exactly one workspace with all its images."""
    found = sorted(folder.glob("*.itksnap"))
    if len(found) != 1:
        raise AlgorithmFailed(f"The ticket has {len(found)} workspaces; it needs exactly one.")
    try:
        workspace = read(found[0])
        layers = ws.layers(workspace)
        ws.require_separate_files(workspace)
    except WorkspaceInvalid as error:
        raise AlgorithmFailed(str(error)) from error
    for layer in layers:
        if not (folder / layer.file_name).is_file():
            raise AlgorithmFailed(f"The layer {layer.called} of the workspace was not uploaded.")
    return TicketInput(folder=folder, workspace=workspace, layers=layers)


def landmarks_mm(ticket: TicketInput, tag: str) -> list[tuple[float, float, float]]:
    """The positions in LPS, mm, of the landmarks with that tag; [] if there are none.  A workspace stores indices that
    begin at the corner of the first voxel, not at its centre.  Raises WorkspaceInvalid for a malformed landmark.
    """
    grid = grid_of(ticket.folder / ticket.layers[0].file_name)
    found = annotations.landmarks_tagged(ticket.workspace, tag)
    points = (grid.point_mm(np.asarray(index) - 0.5) for index in found)
    return [(float(p[0]), float(p[1]), float(p[2])) for p in points]


@dataclass(frozen=True, kw_only=True)
class BuiltResult:
    """The files of a result, the workspace last, and ``remarks``, warnings for the user.  ``segmentations`` are those of
    the ``files`` that have the outcome's segmentations, in their order.
    """

    files: tuple[Path, ...]
    segmentations: tuple[Path, ...]
    remarks: tuple[str, ...]


def build(
    number: int, ticket: TicketInput, service: ServiceFolder, outcome: AlgorithmOutcome, work: Path
) -> BuiltResult:
    """Build the result workspace and its files in ``work/results``, from the outcome's files in ``work``.  Raises
    AlgorithmFailed, and OSError if the disk is full.
    """
    target = work / "results"
    target.mkdir()
    image, chosen = ticket.tagged(service.dispatch.tag), ticket.time_point(service.dispatch)
    files = _Files(work=work, like=image, time_point=chosen, target=target)
    result = ResultWorkspace(ticket.workspace, _used(ticket), default_colour)
    segmentations = [
        _add_segmentation(result, found, found.called or service.dispatch.segmentation, files)
        for found in outcome.segmentations
    ]
    main = grid_of(ticket.folder / ticket.layers[0].file_name)
    _add_images(result, outcome.images, files)
    _add_meshes(result, outcome.meshes, main, files)
    result.add_landmarks(marks_of(main, outcome.landmarks))
    finished = result.finish(
        number, main.size, lambda name: any((f / name).is_file() for f in (ticket.folder, target))
    )
    for name in finished.sent:
        shutil.copyfile(ticket.folder / name, target / name)
    path = target / finished.name
    path.write_bytes(finished.content)
    others = sorted(p for p in target.iterdir() if p != path)
    remarks = (*finished.remarks, *_outside(main, outcome.landmarks))
    return BuiltResult(files=(*others, path), segmentations=tuple(segmentations), remarks=remarks)


@dataclass(frozen=True, kw_only=True)
class _Files:
    """Writes files to ``target`` in the grid of the image file ``like``; if ``like`` is 4-D, at ``time_point``.  The
    arrays are in ``work``.
    """

    work: Path
    like: Path
    time_point: TimePoint | None
    target: Path

    def write(self, array: Array, called: str, kind: str) -> str:
        """Write ``array`` to a file and return the file's name, with the hash of the whole file: equal arrays in other
        grids, of other types or at other time points are other files.
        """
        suffix = suffix_for(self.like)
        unnamed = self.target / f"unnamed{suffix}"
        if self.time_point is None:
            write_in_grid(array, self.like, unnamed)
        else:
            write_in_series(array, self.like, self.time_point.number, unnamed)
        name = content_name(kind, called, _sha256(unnamed), suffix)
        unnamed.replace(self.target / name)
        return name


def _add_segmentation(
    result: ResultWorkspace, found: OutputImage, called: str, files: _Files
) -> Path:
    """Add a segmentation with its labels to the workspace, and return the path of its new file.  Raises AlgorithmFailed
    if the workspace has no value left for a label.
    """
    styles = _styles(found)
    try:
        places = result.place(styles)
    except WorkspaceInvalid as error:
        raise AlgorithmFailed(str(error)) from error
    array = _renumbered(load_array(files.work / found.file), places)
    name = files.write(array, called, "seg")
    result.add_segmentation(name, called, styles, places)
    return files.target / name


def _add_images(result: ResultWorkspace, images: Iterable[OutputImage], files: _Files) -> None:
    for image in images:
        name = files.write(load_array(files.work / image.file), image.called, "image")
        result.add_overlay(name, image.called)


def _add_meshes(
    result: ResultWorkspace, meshes: Iterable[MeshFile], main: Grid, files: _Files
) -> None:
    """Add meshes to the workspace, at the time point of ``files``.  Raises AlgorithmFailed if ITK-SNAP could not load
    one, or it lies outside of the main image, whose grid is ``main``.
    """
    time_point = files.time_point.number if files.time_point else 1
    for number, mesh in enumerate(meshes, start=1):
        name = _mesh(files.work / mesh.file, mesh.called, main, files.target)
        result.add_mesh(name, mesh.called, mesh.rgb or default_colour(number), time_point)


def _styles(found: OutputImage) -> list[Style]:
    return [Style(value=n.value, name=n.name, rgb=_colour(n)) for n in found.labels]


def _used(ticket: TicketInput) -> frozenset[int]:
    """The label values, without 0, that occur in the segmentations that the user sent.  Raises AlgorithmFailed if one
    cannot be read.
    """
    sent_paths = [
        ticket.folder / layer.file_name
        for layer in ticket.layers
        if layer.role == ws.Role.SEGMENTATION
    ]
    try:
        found = [set(label_volumes(path)) for path in sent_paths]
    except ImageRefused as error:
        raise AlgorithmFailed(f"A segmentation of the workspace cannot be read: {error}") from error
    return frozenset().union(*found)


def _colour(label: NamedLabel) -> tuple[int, int, int]:
    return label.rgb or default_colour(label.value)


def _renumbered(array: Array, places: Mapping[int, int]) -> Array:
    if all(own == place for own, place in places.items()):
        return array
    table = np.zeros(max(places) + 1, np.uint16)
    for own, place in places.items():
        table[own] = place
    return np.asarray(table[array])


def _mesh(path: Path, called: str, main: Grid, folder: Path) -> str:
    """Check a mesh, copy it into ``folder``, and return its new file name.  Raises AlgorithmFailed if ITK-SNAP could
    not load it or it lies outside of the image.  The portal makes the same check, but here a fault is found before
    anything is sent.
    """
    try:
        require_in_image(read_mesh(path), main)
    except ImageRefused as error:
        raise AlgorithmFailed(f"The mesh '{called}' cannot be used. {error}") from error
    name = content_name("mesh", called, _sha256(path), path.suffix)
    shutil.copyfile(path, folder / name)
    return name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def marks_of(main: Grid, points: Mapping[str, Point]) -> list[annotations.Landmark]:
    """The ``points`` (LPS, mm) by their texts, as landmarks of a workspace whose main image has the grid ``main``."""
    marks = []
    for text, point in points.items():
        x, y, z = (float(n) for n in main.index_of(point))
        marks.append(annotations.Landmark(text=text, index=(x, y, z), rgb=POINT_COLOUR))
    return marks


def _outside(main: Grid, points: Mapping[str, Point]) -> list[str]:
    """A sentence for each landmark outside the image, which ITK-SNAP could not show."""
    size = np.array(main.size)
    return [
        f"The landmark '{text}' lies outside of the image."
        for text, point in points.items()
        if not ((index := main.index_of(point)) >= -0.5).all() or (index > size - 0.5).any()
    ]
