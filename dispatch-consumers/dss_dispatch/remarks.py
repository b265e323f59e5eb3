"""What the sender says about an image that it made: ``dss send`` of a DICOM series, for example.

The workspace has it in a folder of its own, which ITK-SNAP skips::

    DSS.Notes.Element[0].Level = info | warning
    DSS.Notes.Element[0].Text  = The image was resampled from a gantry tilt of 15.0 degrees, ...
"""

from dataclasses import dataclass

from dss_broker.messages import LogLevel
from dss_dispatch.registry import Folder

FOLDER = "DSS"
MOST_REMARKS = 20
MOST_CHARACTERS = 500


@dataclass(frozen=True, kw_only=True)
class Remark:
    """One line for the ticket's log."""

    text: str
    level: LogLevel


def remarks_of(workspace: Folder) -> tuple[Remark, ...]:
    """In the sender's order.  Anybody can write them: so many only, so long, and without control characters."""
    notes = workspace.find(f"{FOLDER}.Notes") or Folder()
    elements = [notes.folders.get(f"Element[{i}]", Folder()) for i in range(MOST_REMARKS)]
    return tuple(
        Remark(text=text, level="warning" if element.get("Level") == "warning" else "info")
        for element in elements
        if (text := _clean(element.get("Text")))
    )


def _clean(text: str) -> str:
    words = " ".join(text.split())
    return "".join(letter for letter in words if letter.isprintable())[:MOST_CHARACTERS]
