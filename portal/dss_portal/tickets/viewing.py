"""Chooses what the viewer in the browser shows of a ticket: the main image, the segmentations and the labels of its
workspace.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dss_datastore.layout import Area
from dss_portal.datastore import Datastore
from dss_portal.datastore.stored import workspace_in
from dss_portal.models import Status, Ticket, TicketFile
from dss_portal.tickets import store
from dss_workspace.errors import WorkspaceInvalid
from dss_workspace.label_table import label_table
from dss_workspace.layers import Layer, Role, layers
from dss_workspace.registry import Folder

NO_FILES = "This ticket has no workspace, so there is nothing to look at."
SEVERAL = "This ticket has several workspaces; which of them to show is not known."
GONE = "The files of this ticket have been removed."
_WHITE = "#ffffff"


@dataclass(frozen=True, kw_only=True)
class ShownFile:
    """An image file for the viewer.  ``index`` is its index among the ticket's files in ``area``, ``nickname`` the name
    of its layer in the workspace.
    """

    area: Area
    index: int
    name: str
    nickname: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class ShownLabel:
    """A label for the viewer; ``colour`` is a CSS colour."""

    value: int
    name: str
    colour: str
    is_visible: bool


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The content of the viewer.  ``problem`` is a sentence that says why it is empty or incomplete; "" if it is
    complete.
    """

    image: ShownFile | None = None
    segmentations: Sequence[ShownFile] = ()
    labels: Sequence[ShownLabel] = ()
    problem: str = ""


def workspace_area(inputs: Sequence[TicketFile], results: Sequence[TicketFile]) -> Area | None:
    """The area whose workspace is shown: the results if they have a workspace, otherwise the input; None if neither
    has one.
    """
    if _workspaces(results):
        return "results"
    return "input" if _workspaces(inputs) else None


async def scene(datastore: Datastore, ticket: Ticket) -> Scene:
    """What the viewer shows of the ticket: the workspace in its results or, if there is none, the one in its input.  The
    Scene has only a ``problem`` if there is no workspace, if there are several, if it cannot be read, or if the ticket
    lacks its main image.
    """
    files: dict[Area, list[TicketFile]] = {
        "results": await store.files(ticket.id, "results"),
        "input": await store.files(ticket.id, "input"),
    }
    area = workspace_area(files["input"], files["results"])
    if area is None:
        return Scene(problem=GONE if ticket.status is Status.DELETED else NO_FILES)
    workspaces = _workspaces(files[area])
    if len(workspaces) > 1:
        return Scene(problem=SEVERAL)
    file = await datastore.file(ticket.id, area, workspaces[0].place)
    try:
        return await asyncio.to_thread(lambda: _scene(workspace_in(file), area, files[area]))
    except WorkspaceInvalid as error:
        return Scene(problem=str(error))
    except FileNotFoundError:
        return Scene(problem=GONE)


def _workspaces(files: Sequence[TicketFile]) -> list[TicketFile]:
    return [file for file in files if file.name.casefold().endswith(".itksnap")]


def _scene(workspace: Folder, area: Area, files: Sequence[TicketFile]) -> Scene:
    """The Scene of a workspace: its main image and its segmentations, as far as they are among ``files``; ``problem``
    names those that are not.  Without the main image, it has only the ``problem``.  Raises WorkspaceInvalid.
    """
    by_name = {file.name: file for file in files}
    found = layers(workspace)
    drawn = [layer for layer in found if layer.role == Role.SEGMENTATION]
    lost = [layer.called for layer in (found[0], *drawn) if layer.file_name not in by_name]
    problem = f"The workspace names files that the ticket lacks: {', '.join(lost)}." if lost else ""
    if found[0].file_name not in by_name:
        return Scene(problem=problem)
    there = [layer for layer in drawn if layer.file_name in by_name]
    return Scene(
        image=_file(area, found[0], by_name),
        segmentations=[_file(area, layer, by_name) for layer in there],
        labels=[_label(value, element) for value, element in label_table(workspace).items()],
        problem=problem,
    )


def _file(area: Area, layer: Layer, by_name: Mapping[str, TicketFile]) -> ShownFile:
    file = by_name[layer.file_name]
    return ShownFile(
        area=area,
        index=file.index,
        name=file.name,
        nickname=layer.nickname,
        size_bytes=file.size_bytes,
    )


def _label(value: int, element: Folder) -> ShownLabel:
    """The label of an entry in ITK-SNAP's table of labels.  The two numbers in its ``Flags`` mean "visible in 3-D" and
    "visible"; the second one counts here.
    """
    return ShownLabel(
        value=value,
        name=element.get("Label") or f"Label {value}",
        colour=_colour(element.get("Color")),
        is_visible=element.get("Flags", "1 1").split()[-1:] != ["0"],
    )


def _colour(text: str) -> str:
    parts = text.split()
    if len(parts) != 3 or not all(p.isdecimal() and int(p) <= 255 for p in parts):
        return _WHITE
    return "#" + "".join(f"{int(part):02x}" for part in parts)
