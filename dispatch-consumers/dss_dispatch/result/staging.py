"""Builds the folder with the result that the user downloads, from the submission and the new segmentation.

The folder contains every file that the workspace names, because ITK-SNAP loads nothing if one is missing.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from dss_broker.messages import Label, Landmark
from dss_datastore.volume import make_folder
from dss_datastore.writing import link, sync, write
from dss_dispatch.errors import workspace_errors
from dss_dispatch.result.files import sha256
from dss_dispatch.result.landmarks import annotations
from dss_dispatch.submission.reading import Submission, is_plain_file
from dss_dispatch.ticket_images import label_values, read_header, renumber
from dss_images.default_colours import default_colour
from dss_workspace.result import ResultWorkspace, content_name


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """A segmentation from an inference: a file in the grid of the layer that was segmented, its name in ITK-SNAP, the
    labels of its values, and landmarks.
    """

    path: Path
    nickname: str
    labels: tuple[Label, ...]
    landmarks: tuple[Landmark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A finished result folder: the file name of the new segmentation in it, its labels, and sentences for the ticket's
    log.
    """

    folder: Path
    segmentation: str
    labels: tuple[Label, ...]
    remarks: tuple[str, ...]


@workspace_errors()
def stage(
    ticket_id: int, submission: Submission, segmentation: Segmentation, folder: Path
) -> Staged:
    """Fill the result folder ``folder``, the workspace last.  Idempotent.  The input is not changed.

    Raises TicketError if an image of the user cannot be read, or if the workspace has no value left for a label.
    """
    make_folder(folder)
    result = ResultWorkspace(submission.workspace, _used_values(submission), default_colour)
    labels = segmentation.labels
    places = result.place(labels)
    name = _place_segmentation(segmentation, places, folder)
    result.add_segmentation(name, segmentation.nickname, labels, places)
    result.add_landmarks(annotations(segmentation.landmarks, submission.image))
    main = read_header(submission.path(submission.layers[0]))
    finished = result.finish(
        ticket_id, main.size, lambda file: is_plain_file(submission.folder / file)
    )
    for file in finished.sent:
        link(submission.folder / file, folder / file)
    sync(folder)
    write(folder / finished.name, finished.content)
    placed = (replace(label, value=places[label.value]) for label in labels)
    return Staged(folder=folder, segmentation=name, labels=tuple(placed), remarks=finished.remarks)


def _used_values(submission: Submission) -> frozenset[int]:
    """All values in the user's own segmentations, without 0."""
    paths = [submission.path(layer) for layer in submission.segmentations]
    return frozenset().union(*(label_values(path) for path in paths))


def _place_segmentation(segmentation: Segmentation, places: dict[int, int], folder: Path) -> str:
    """Link the segmentation, renumbered by ``places`` if needed, into ``folder`` under a name with a hash of its
    content, and return the name.
    """
    source = segmentation.path
    suffix = ".nii.gz" if source.name.endswith(".nii.gz") else source.suffix
    if any(own != place for own, place in places.items()):
        source = segmentation.path.with_name(f"renumbered{suffix}")
        renumber(segmentation.path, source, places)
    name = content_name("seg", segmentation.nickname, sha256(source), suffix)
    link(source, folder / name)
    return name
