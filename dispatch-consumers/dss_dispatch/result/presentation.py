"""Makes a picture of a provider's results and the volumes of their labels, which the portal shows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import msgspec

from dss_broker.messages import AttachedFile, Label
from dss_datastore.volume import make_folder
from dss_datastore.writing import sync
from dss_dispatch.submission.reading import WORKSPACE_SUFFIX
from dss_dispatch.ticket_images import label_volumes
from dss_images.picture.rendering import picture_of_files
from dss_workspace.label_table import label_table
from dss_workspace.layers import Layer, Role, layers
from dss_workspace.registry import Folder, read

log = logging.getLogger(__name__)

PICTURE = "The picture shows three planes with the outlines of the labels."
NAME = "picture.png"
_DESCRIPTION = "Three planes with the outlines of the labels"
MOST_LABELS = 1000
"""Largest number of labels of a table; a table with more would be unreadable."""
MOST_LABEL_BYTES = 40 * 1024
"""Largest size in bytes of the labels in a message; the complete message may have ``codec.MAX_BODY_BYTES``."""
LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """The picture and the labels of a result.  ``attachments`` belong to a line of the ticket's log, ``remarks`` are
    warnings for it.
    """

    attachments: tuple[AttachedFile, ...] = ()
    labels: tuple[Label, ...] = ()
    remarks: tuple[str, ...] = ()


def present(results: Path, sent: Path, folder: Path) -> Presentation:
    """The presentation of results that ``check_provider_results`` has accepted.  ``sent`` is the folder of the user's
    input.  The picture is written to ``folder``.

    The presentation is empty if there is no segmentation and after any error, because results are not refused for lack
    of a presentation.  It has labels but no picture if the image has fewer than three axes or several values in each
    voxel.
    """
    try:
        return _presented(results, sent, folder)
    except Exception:
        log.exception("results not presented")
        return Presentation()


def _presented(results: Path, sent: Path, folder: Path) -> Presentation:
    workspace = read(_workspace_in(results))
    found = layers(workspace)
    shown = _newest_segmentation(found, sent)
    if shown is None:
        return Presentation()
    image, segmentation = results / found[0].file_name, results / shown.file_name
    labels = _labels(workspace, label_volumes(segmentation))
    content = picture_of_files(image, segmentation, {label.value: label.rgb for label in labels})
    return Presentation(
        attachments=() if content is None else (_left(content, folder),),
        labels=labels_that_fit(labels),
        remarks=labels_left_out(labels),
    )


def labels_that_fit(labels: Sequence[Label]) -> tuple[Label, ...]:
    """As many of the first ``labels`` as a message has room for.  A name longer than LONGEST_NAME is cut."""
    short = [replace(label, name=label.name[:LONGEST_NAME]) for label in labels[:MOST_LABELS]]
    ends = accumulate(len(msgspec.json.encode(label)) + 1 for label in short)
    return tuple(label for label, end in zip(short, ends, strict=True) if end <= MOST_LABEL_BYTES)


def labels_left_out(labels: Sequence[Label]) -> tuple[str, ...]:
    """A sentence that tells how many of ``labels`` the table shows, if ``labels_that_fit`` leaves out some; otherwise ()."""
    shown = len(labels_that_fit(labels))
    if shown == len(labels):
        return ()
    return (f"The table shows the first {shown} of {len(labels)} labels.",)


def _left(picture: bytes, folder: Path) -> AttachedFile:
    make_folder(folder)
    path = folder / NAME
    path.write_bytes(picture)
    sync(path)
    return AttachedFile(name=NAME, description=_DESCRIPTION, mime_type="image/png")


def _workspace_in(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.name.endswith(WORKSPACE_SUFFIX))


def _newest_segmentation(among: tuple[Layer, ...], sent: Path) -> Layer | None:
    """The last segmentation in ``among`` whose file name the user did not send; if the user sent all names, the last
    segmentation; None without any.
    """
    found = [layer for layer in among if layer.role == Role.SEGMENTATION]
    new = [layer for layer in found if not (sent / layer.file_name).exists()]
    return next(reversed(new or found), None)


def _labels(workspace: Folder, volumes_ml: dict[int, float]) -> tuple[Label, ...]:
    """The labels that occur in the segmentation, with the workspace's names and colours; "Label N" in red for a value
    without an entry there.
    """
    table = label_table(workspace)
    return tuple(
        _label(value, volume_ml, table.get(value, Folder()))
        for value, volume_ml in volumes_ml.items()
    )


def _label(value: int, volume_ml: float, element: Folder) -> Label:
    """The label ``value`` with the name and the colour of ``element``, its entry in the label table.  Without a name it
    is "Label N"; red unless the colour is three numbers from 0 to 255.
    """
    words = element.get("Color").split()
    parts = [int(word) for word in words if word.isdecimal() and int(word) < 256]
    r, g, b = parts if len(parts) == 3 else (255, 0, 0)
    name = element.get("Label") or f"Label {value}"
    return Label(value=value, name=name, rgb=(r, g, b), volume_ml=round(volume_ml, 3))
