"""Notes for the ticket's log that the sender of a ticket writes into its workspace, about a converted image.

For example, ``dss send`` writes them about a DICOM series.  ITK-SNAP ignores their registry folder::

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
    """A note that was read from a workspace: one line for the ticket's log."""

    text: str
    level: Level


def add_notes(workspace: Folder, notes: Sequence[Note]) -> None:
    """Write ``notes`` into the workspace, where ``read_notes`` finds them.  Does nothing if ``notes`` is empty.

    Earlier notes are overwritten one by one, so if there were more, the rest of them stays.
    """
    if not notes:
        return
    folder = workspace.make(f"{_FOLDER}.Notes")
    folder.set("ArraySize", str(len(notes)))
    for i, note in enumerate(notes):
        folder.folders[f"Element[{i}]"] = Folder(entries={"Level": note.level, "Text": note.text})


def read_notes(workspace: Folder) -> tuple[SenderNote, ...]:
    """The notes in the workspace, in the sender's order.

    Because any client can write them, only the first MAX_NOTES are read, with at most MAX_CHARACTERS each and without
    control characters or line breaks.  Empty ones are left out; a level other than "warning" becomes "info".
    """
    notes = workspace.find(f"{_FOLDER}.Notes") or Folder()
    elements = [notes.folders.get(f"Element[{i}]", Folder()) for i in range(MAX_NOTES)]
    return tuple(
        SenderNote(text=text, level="warning" if element.get("Level") == "warning" else "info")
        for element in elements
        if (text := _clean(element.get("Text")))
    )


def remove_notes(workspace: Folder) -> None:
    """Remove the notes from the workspace, for a result: the ticket's log already has them."""
    workspace.folders.pop(_FOLDER, None)


def shortened(remarks: Sequence[str], most: int) -> tuple[str, ...]:
    """At most ``most`` of ``remarks``; if there are more, the last one is a sentence that tells how many are left out."""
    if len(remarks) <= most:
        return tuple(remarks)
    kept = tuple(remarks[: most - 1])
    return (*kept, f"{len(remarks) - len(kept)} more remarks are not shown.")


def _clean(text: str) -> str:
    words = " ".join(text.split())
    return "".join(letter for letter in words if letter.isprintable())[:MAX_CHARACTERS]
