"""Builds the result: the folder that the user downloads, of the submission and its new segmentation.

It holds every file that the workspace names, since ITK-SNAP loads nothing if one is missing.
"""

import copy
import re
from dataclasses import dataclass, replace
from pathlib import Path

from dss_broker.messages import Label, Landmark
from dss_datastore.volume import make_folder
from dss_datastore.writing import link, sync, write
from dss_dispatch.errors import workspace_errors
from dss_dispatch.result.files import sha256
from dss_dispatch.result.landmarks import add_landmarks
from dss_dispatch.submission.reading import Submission, is_plain_file
from dss_dispatch.ticket_images import label_values, read_header, renumber
from dss_images.default_colours import default_colour
from dss_workspace import layers as ws
from dss_workspace.label_table import add_labels, label_table, place_labels
from dss_workspace.meshes import mesh_file_names, remove_incomplete_meshes
from dss_workspace.notes import remove_notes
from dss_workspace.paths import move, remove_histories
from dss_workspace.registry import Folder, serialize

_NAME_DIGITS = 32
"""As in the names of ITK-SNAP's client (``layer_000_<md5>.nii.gz``)."""


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """The segmentation that inference has made, a file in the target's grid, and the labels of its values."""

    path: Path
    nickname: str
    labels: tuple[Label, ...]
    landmarks: tuple[Landmark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Staged:
    """The folder, the new segmentation's file name in it, its labels, and sentences for the user's log."""

    folder: Path
    segmentation: str
    labels: tuple[Label, ...]
    remarks: tuple[str, ...]


@workspace_errors()
def stage(
    ticket_id: int, submission: Submission, segmentation: Segmentation, folder: Path
) -> Staged:
    """Fill ``folder``; the workspace is written last.  Idempotent.

    The input is not changed.  Raises TicketError if a segmentation of the user cannot be read.
    """
    make_folder(folder)
    used = _used_values(submission)
    workspace = copy.deepcopy(submission.workspace)
    places = place_labels(segmentation.labels, label_table(workspace), used)
    name = _place_segmentation(segmentation, places, folder)
    dropped = remove_incomplete_meshes(
        workspace, lambda file: is_plain_file(submission.folder / file)
    )
    _link_input(submission, workspace, folder)
    ws.add_segmentation(workspace, name, segmentation.nickname)
    add_labels(workspace, segmentation.labels, places, used, default_colour)
    add_landmarks(workspace, segmentation.landmarks, submission.image)
    _finish(ticket_id, submission, workspace, folder)
    remarks = [*_renumbering_remarks(segmentation.labels, places), *_mesh_remarks(dropped)]
    placed = (replace(label, value=places[label.value]) for label in segmentation.labels)
    return Staged(folder=folder, segmentation=name, labels=tuple(placed), remarks=tuple(remarks))


def _used_values(submission: Submission) -> frozenset[int]:
    """All values in the user's own segmentations."""
    paths = [submission.path(layer) for layer in submission.segmentations]
    return frozenset().union(*(label_values(path) for path in paths))


def _place_segmentation(segmentation: Segmentation, places: dict[int, int], folder: Path) -> str:
    """Link the segmentation into ``folder`` under a name made of its content; returns the name."""
    source = segmentation.path
    suffix = ".nii.gz" if source.name.endswith(".nii.gz") else source.suffix
    if any(own != place for own, place in places.items()):
        source = segmentation.path.with_name(f"renumbered{suffix}")
        renumber(segmentation.path, source, places)
    words = re.sub(r"[^a-z0-9]+", "_", segmentation.nickname.lower()).strip("_")
    name = f"seg_{words}_{sha256(source)[:_NAME_DIGITS]}{suffix}"
    link(source, folder / name)
    return name


def _link_input(submission: Submission, workspace: Folder, folder: Path) -> None:
    images = [layer.file_name for layer in submission.layers]
    for name in dict.fromkeys([*images, *mesh_file_names(workspace)]):
        link(submission.folder / name, folder / name)


def _finish(ticket_id: int, submission: Submission, workspace: Folder, folder: Path) -> None:
    main = read_header(submission.path(submission.layers[0]))
    ws.state_main_size(workspace, main.size)
    remove_notes(workspace)
    remove_histories(workspace)
    move(workspace, f"/dss/tickets/{ticket_id:08d}")
    sync(folder)
    write(folder / f"ticket_{ticket_id:08d}_results.itksnap", serialize(workspace))


def _renumbering_remarks(labels: tuple[Label, ...], places: dict[int, int]) -> list[str]:
    return [
        f"The label '{label.name}' has the value {places[label.value]}, since the workspace "
        f"has another label {label.value}."
        for label in labels
        if places[label.value] != label.value
    ]


def _mesh_remarks(dropped: int) -> list[str]:
    if not dropped:
        return []
    return [f"Mesh layers left out, since ITK-SNAP does not upload their files: {dropped}."]
