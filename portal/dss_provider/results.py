"""Reads a ticket's workspace, and builds the result workspace from what an algorithm returned."""

import copy
import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dss_images.default_colours import default_colour
from dss_images.errors import ImageRefused
from dss_images.labels import label_volumes
from dss_provider.algorithm import Array
from dss_provider.child import Map, Named, Outcome
from dss_provider.errors import AlgorithmFailed
from dss_provider.folder import Folder as Service
from dss_provider.images import grid_of, load_array, suffix_for, write_in_grid
from dss_workspace import label_table as tables
from dss_workspace import landmarks as annotations
from dss_workspace import layers as ws
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.meshes import mesh_file_names, remove_incomplete_meshes
from dss_workspace.notes import remove_notes
from dss_workspace.paths import move, remove_histories
from dss_workspace.registry import Folder, read, serialize

POINT_COLOUR = (255, 255, 0)


@dataclass(frozen=True, kw_only=True)
class Input:
    """The files of a downloaded ticket."""

    folder: Path
    workspace: Folder
    layers: tuple[ws.Layer, ...]

    def tagged(self, tag: str) -> Path:
        """The file of the one layer with that tag.  Raises AlgorithmFailed."""
        found = [layer for layer in self.layers if tag in layer.tags]
        if len(found) != 1:
            have = f"{len(found)} layers are" if found else "no layer is"
            raise AlgorithmFailed(f"In the workspace {have} tagged '{tag}'; one must be.")
        return self.folder / found[0].file_name

    def has(self, tag: str) -> bool:
        return any(tag in layer.tags for layer in self.layers)


@dataclass(frozen=True, kw_only=True)
class Style:
    """A label, in the form that a workspace's table needs."""

    value: int
    name: str
    rgb: tuple[int, int, int]


def open_input(folder: Path) -> Input:
    """Read a ticket's files.  Raises AlgorithmFailed unless there is exactly one workspace and all its images."""
    found = sorted(folder.glob("*.itksnap"))
    if len(found) != 1:
        raise AlgorithmFailed(f"The ticket has {len(found)} workspaces; it needs exactly one.")
    try:
        workspace = read(found[0])
        layers = ws.layers(workspace)
    except WorkspaceInvalid as error:
        raise AlgorithmFailed(str(error)) from error
    for layer in layers:
        if not (folder / layer.file_name).is_file():
            raise AlgorithmFailed(f"The layer {layer.called} of the workspace was not uploaded.")
    return Input(folder=folder, workspace=workspace, layers=layers)


def landmarks_mm(ticket: Input, tag: str) -> list[tuple[float, float, float]]:
    """Points (LPS) of the landmarks with that tag.  Indices in a workspace start at the corner of the first voxel."""
    grid = grid_of(ticket.folder / ticket.layers[0].file_name)
    found = annotations.landmarks_tagged(ticket.workspace, tag)
    points = (grid.point_mm(np.asarray(index) - 0.5) for index in found)
    return [(float(p[0]), float(p[1]), float(p[2])) for p in points]


def build(number: int, ticket: Input, service: Service, outcome: Outcome, work: Path) -> list[Path]:
    """Write the files of the result to ``work/results`` and return their paths, the workspace last.  Raises
    AlgorithmFailed.
    """
    target = work / "results"
    target.mkdir()
    workspace = copy.deepcopy(ticket.workspace)
    like = ticket.tagged(service.dispatch.tag)
    for found in outcome.segmentations:
        array, used = load_array(work / found.file), _used(ticket, target)
        called = found.called or service.dispatch.segmentation
        places = _place(workspace, found, used)
        name = _written(_renumbered(array, places), called, "seg", like, target)
        ws.add_segmentation(workspace, name, called)
        tables.add_labels(workspace, _styles(found), places, used, default_colour)
    for found in outcome.images:
        name = _written(load_array(work / found.file), found.called, "image", like, target)
        ws.add_overlay(workspace, name, found.called)
    _add_landmarks(workspace, ticket, outcome.landmarks)
    remove_incomplete_meshes(workspace, lambda name: (ticket.folder / name).is_file())
    for name in {layer.file_name for layer in ticket.layers} | set(mesh_file_names(workspace)):
        shutil.copyfile(ticket.folder / name, target / name)
    ws.state_main_size(workspace, grid_of(ticket.folder / ticket.layers[0].file_name).size)
    remove_notes(workspace)
    remove_histories(workspace)
    move(workspace, f"/dss/tickets/{number:08d}")
    path = target / f"ticket_{number:08d}_results.itksnap"
    path.write_bytes(serialize(workspace))
    return [*sorted(p for p in target.iterdir() if p != path), path]


def _place(workspace: Folder, found: Map, used: frozenset[int]) -> dict[int, int]:
    """The value that each label gets in the workspace, where other labels may use its own value.  Raises
    AlgorithmFailed.
    """
    try:
        return tables.place_labels(_styles(found), tables.label_table(workspace), used)
    except WorkspaceInvalid as error:
        raise AlgorithmFailed(str(error)) from error


def _styles(found: Map) -> list[Style]:
    return [Style(value=n.value, name=n.name, rgb=_colour(n)) for n in found.labels]


def _used(ticket: Input, results: Path) -> frozenset[int]:
    """Values in all segmentations so far: the user's, and those of this result."""
    theirs = [
        ticket.folder / layer.file_name
        for layer in ticket.layers
        if layer.role == ws.Role.SEGMENTATION
    ]
    try:
        found = [set(label_volumes(path)) for path in (*theirs, *results.glob("seg_*"))]
    except ImageRefused as error:
        raise AlgorithmFailed(f"A segmentation of the workspace cannot be read: {error}") from error
    return frozenset().union(*found)


def _colour(label: Named) -> tuple[int, int, int]:
    return label.rgb or default_colour(label.value)


def _renumbered(array: Array, places: Mapping[int, int]) -> Array:
    if all(own == place for own, place in places.items()):
        return array
    table = np.zeros(max(places) + 1, np.uint16)
    for own, place in places.items():
        table[own] = place
    return np.asarray(table[array])


def _written(array: Array, called: str, kind: str, like: Path, folder: Path) -> str:
    """Write ``array`` to a file and return its name, which contains a hash of the array: the same name always means the
    same content.
    """
    words = re.sub(r"[^a-z0-9]+", "_", called.lower()).strip("_") or "result"
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:32]
    name = f"{kind}_{words[:60]}_{digest}{suffix_for(like)}"
    write_in_grid(array, like, folder / name)
    return name


def _add_landmarks(workspace: Folder, ticket: Input, points: Mapping[str, Any]) -> None:
    grid = grid_of(ticket.folder / ticket.layers[0].file_name)
    marks = []
    for text, point in points.items():
        x, y, z = (float(n) for n in grid.index_of(point))
        marks.append(annotations.Landmark(text=text, index=(x, y, z), rgb=POINT_COLOUR))
    annotations.add_landmarks(workspace, marks)
