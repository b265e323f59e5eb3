"""Notes from the sender about an image that it has converted: ``dss send`` of a DICOM series, for example.

They are in a folder of their own in the workspace, which ITK-SNAP ignores::

    DSS.Notes.ArraySize = 1
    DSS.Notes.Element[0].Level = info | warning
    DSS.Notes.Element[0].Text  = The image was resampled from a gantry tilt of 15.0 degrees, ...
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from dss_workspace.registry import Folder

MAX_NOTES = 20
MAX_CHARACTERS = 500

_FOLDER = "DSS"

Level: TypeAlias = Literal["info", "warning"]


class Note(Protocol):
    """A sentence for the ticket's log, with its level."""

    @property
    def text(self) -> str: ...

    @property
    def level(self) -> Level: ...


@dataclass(frozen=True, kw_only=True)
class SenderNote:
    """One line for the ticket's log."""

    text: str
    level: Level


def add_notes(workspace: Folder, notes: Sequence[Note]) -> None:
    """Write ``notes`` for ``read_notes``; nothing if there are none."""
    if not notes:
        return
    folder = workspace.make(f"{_FOLDER}.Notes")
    folder.set("ArraySize", str(len(notes)))
    for i, note in enumerate(notes):
        folder.folders[f"Element[{i}]"] = Folder(entries={"Level": note.level, "Text": note.text})


def read_notes(workspace: Folder) -> tuple[SenderNote, ...]:
    """The notes in the sender's order.

    Any client can write them: at most MAX_NOTES of MAX_CHARACTERS each are read, without control characters.
    """
    notes = workspace.find(f"{_FOLDER}.Notes") or Folder()
    elements = [notes.folders.get(f"Element[{i}]", Folder()) for i in range(MAX_NOTES)]
    return tuple(
        SenderNote(text=text, level="warning" if element.get("Level") == "warning" else "info")
        for element in elements
        if (text := _clean(element.get("Text")))
    )


def remove_notes(workspace: Folder) -> None:
    """Remove the notes from the workspace.  They are in the ticket's log by then."""
    workspace.folders.pop(_FOLDER, None)


def _clean(text: str) -> str:
    words = " ".join(text.split())
    return "".join(letter for letter in words if letter.isprintable())[:MAX_CHARACTERS]
