"""The type of notes for the user on the conversion of a DICOM series to an image."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Note:
    """A sentence for the ticket's log.  It contains no patient's name, file name or text of the series."""

    text: str
    level: Literal["info", "warning"] = "info"
