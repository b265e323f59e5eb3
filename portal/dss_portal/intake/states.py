"""The states of an intake: the upload of a ticket's images by a browser, until the ticket is queued."""

from enum import StrEnum


class State(StrEnum):
    """The state of an intake, which is the upload of a ticket's images by a browser.  ``dss_portal.intake.store``
    explains each.
    """

    COMING = "coming"
    READING = "reading"
    PLACING = "placing"
    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
