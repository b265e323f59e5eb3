"""The JSON objects that a dispatcher exchanges with the process that reads an upload."""

from dataclasses import dataclass

from dss_broker.messages import FoundSeries, NeededTag, UploadedImage

NO_MEMORY = (
    "The image needs more memory than there is for reading uploads; send it with the program dss."
)
NO_ROOM = "There is no room for the files of the image; please tell the operator."


@dataclass(frozen=True, kw_only=True)
class ReadOrder:
    """The order to read ``images`` in the folder ``upload``, and to write the files of each ticket into a folder below
    ``target``.

    ``series`` names a series of a DICOM source; "" chooses one by rule, ``each`` makes a ticket of each, and ``ask``
    answers with the list if there are several.  ``memory_bytes`` limits the address space of the process.
    """

    upload: str
    target: str
    images: tuple[UploadedImage, ...]
    tags: tuple[NeededTag, ...]
    ticket_id: int
    series: str
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class TicketFiles:
    """The files of one ticket, in a folder of the name ``folder`` below ``ReadOrder.target``.  If there are no files,
    ``folder`` is "" and ``reason`` says why.
    """

    folder: str = ""
    series: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The files that were made for tickets.  If there are none, ``reason`` says why, and ``series`` are those that
    the user may choose from.
    """

    made: tuple[TicketFiles, ...] = ()
    reason: str = ""
    series: tuple[FoundSeries, ...] = ()
