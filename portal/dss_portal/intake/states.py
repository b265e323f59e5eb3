"""The states of an intake: the upload of a ticket's images by a browser, until the ticket is queued."""

from enum import StrEnum


class State(StrEnum):
    """The state of an intake, which is the upload of a ticket's images by a browser, in order: ``coming`` until all
    files are uploaded, ``reading`` until a program has read them, ``placing`` until the ticket has the files that were
    made of them, ``waiting`` until the ticket is queued, ``done``.  ``refused``: it ended with a reason.
    """

    COMING = "coming"
    READING = "reading"
    PLACING = "placing"
    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
