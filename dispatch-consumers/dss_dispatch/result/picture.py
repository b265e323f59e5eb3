"""The picture of a result that a provider over HTTP has uploaded, for the ticket's log."""

import logging
from pathlib import Path

from dss_broker.messages import AttachedFile
from dss_datastore.volume import make_folder
from dss_datastore.writing import sync
from dss_dispatch.submission.reading import WORKSPACE_SUFFIX
from dss_images.picture.making import of_files
from dss_workspace.label_table import label_table
from dss_workspace.layers import Layer, Role, layers
from dss_workspace.registry import Folder, read

log = logging.getLogger(__name__)

PICTURE = "The picture shows three planes with the outlines of the labels."
NAME = "picture.png"
_DESCRIPTION = "Three planes with the outlines of the labels"


def leave_picture(results: Path, sent: Path, folder: Path) -> tuple[AttachedFile, ...]:
    """Draw the results, which ``check_provider_results`` has accepted, into a file of ``folder``.

    Returns () if they have no segmentation, or if drawing fails: the results are valid without a picture.
    """
    try:
        content = _drawn(results, sent)
        if content is None:
            return ()
        make_folder(folder)
        path = folder / NAME
        path.write_bytes(content)
        sync(path)
    except Exception:
        log.exception("picture not drawn")
        return ()
    return (AttachedFile(name=NAME, description=_DESCRIPTION, mime_type="image/png"),)


def _drawn(results: Path, sent: Path) -> bytes | None:
    workspace = read(_workspace_in(results))
    found = layers(workspace)
    shown = _newest_segmentation(found, sent)
    if shown is None:
        return None
    return of_files(results / found[0].file_name, results / shown.file_name, _colours(workspace))


def _workspace_in(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.name.endswith(WORKSPACE_SUFFIX))


def _newest_segmentation(among: tuple[Layer, ...], sent: Path) -> Layer | None:
    """The last segmentation with a name that the user did not submit; else the last one."""
    found = [layer for layer in among if layer.role == Role.SEGMENTATION]
    new = [layer for layer in found if not (sent / layer.file_name).exists()]
    return next(reversed(new or found), None)


def _colours(workspace: Folder) -> dict[int, tuple[int, int, int]]:
    """Colours by value of the label table, where each is three words from 0 to 255."""
    colours = {v: _rgb(e.get("Color")) for v, e in label_table(workspace).items() if v}
    return {value: colour for value, colour in colours.items() if colour is not None}


def _rgb(text: str) -> tuple[int, int, int] | None:
    """None if the text is no colour."""
    parts = [int(word) for word in text.split() if word.isdecimal() and int(word) < 256]
    if len(parts) != 3:
        return None
    return parts[0], parts[1], parts[2]
