"""From a submission and its new segmentation to the folder that the user will download.

What it must hold is said by ITK-SNAP's loader: one missing file, and nothing loads.
"""

import copy
import re
from dataclasses import dataclass
from pathlib import Path

from dss_broker.messages import Label, Landmark
from dss_datastore.volume import make_folder
from dss_datastore.writing import link, sync, write
from dss_dispatch.annotations import add_landmarks
from dss_dispatch.errors import workspace_errors
from dss_dispatch.files import sha256
from dss_dispatch.submission.reading import Submission, is_plain_file
from dss_dispatch.ticket_images import label_values, read_header, renumber
from dss_workspace import layers as ws
from dss_workspace.labels import add_labels, label_table, place_labels
from dss_workspace.meshes import mesh_file_names, remove_incomplete_meshes
from dss_workspace.notes import remove_notes
from dss_workspace.paths import move, remove_histories
from dss_workspace.registry import Folder, serialize

_NAME_DIGITS = 32
"""As many as the client's own names have (``layer_000_<md5>.nii.gz``)."""


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What the inference yielded: a file in the target's grid, and what its values mean."""

    path: Path
    nickname: str
    labels: tuple[Label, ...]
    landmarks: tuple[Landmark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Staged:
    """The folder, the new segmentation's file name in it, and sentences for the user's log."""

    folder: Path
    segmentation: str
    remarks: tuple[str, ...]


@workspace_errors()
def stage(
    ticket_id: int, submission: Submission, segmentation: Segmentation, folder: Path
) -> Staged:
    """Fill ``folder``; the workspace is written last.  Twice is the same as once.

    The input is not touched.  Raises TicketError if a segmentation of the user's cannot be read.
    """
    make_folder(folder)
    used = _values_of(submission)
    workspace = copy.deepcopy(submission.workspace)
    places = place_labels(segmentation.labels, label_table(workspace), used)
    name = _place_segmentation(segmentation, places, folder)
    dropped = remove_incomplete_meshes(
        workspace, lambda file: is_plain_file(submission.folder / file)
    )
    _link_input(submission, workspace, folder)
    ws.add_segmentation(workspace, name, segmentation.nickname)
    add_labels(workspace, segmentation.labels, places, used)
    add_landmarks(workspace, segmentation.landmarks, submission.image)
    _finish(ticket_id, submission, workspace, folder)
    remarks = [*_moved(segmentation.labels, places), *_meshes(dropped)]
    return Staged(folder=folder, segmentation=name, remarks=tuple(remarks))


def _values_of(submission: Submission) -> frozenset[int]:
    """All values in the segmentations that the user has already."""
    paths = [submission.path(layer) for layer in submission.segmentations]
    return frozenset().union(*(label_values(path) for path in paths))


def _place_segmentation(segmentation: Segmentation, places: dict[int, int], folder: Path) -> str:
    """Under a name made of its content, so that a file once downloaded is never another one."""
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


def _moved(labels: tuple[Label, ...], places: dict[int, int]) -> list[str]:
    return [
        f"The label '{label.name}' has the value {places[label.value]}, since the workspace "
        f"has another label {label.value}."
        for label in labels
        if places[label.value] != label.value
    ]


def _meshes(dropped: int) -> list[str]:
    if not dropped:
        return []
    return [f"Mesh layers left out, since ITK-SNAP does not upload their files: {dropped}."]
