"""Errors that the client raises when it talks to a server."""

from dss_submission.errors import ClientError, ImageUnreadable, ServiceUnfit

__all__ = [
    "MESSAGE_CHARACTERS",
    "ClientError",
    "ImageUnreadable",
    "NotUnderstood",
    "Refused",
    "ServiceUnfit",
    "SignInRefused",
    "TicketNotOpen",
    "TicketUnfinished",
    "Unreachable",
]

MESSAGE_CHARACTERS = 1023
"""Longest text of a Refused, because ITK-SNAP prints a response into a buffer of this size (RESTClient.cxx,
GetResponseText).
"""


class Unreachable(ClientError):
    """There was no response: the address is wrong, no server listens there, or the connection was lost."""


class NobodyListens(Unreachable):
    """The connection was refused: no server is started at the address, or the address is wrong."""


class NotUnderstood(ClientError):
    """The response is not one of a Distributed Segmentation Service."""


class SignInRefused(ClientError):
    """The token or the session is not valid."""


class TicketUnfinished(ClientError):
    """The ticket did not end within the time that the caller gave."""


class Refused(ClientError):
    """The server refused a request: its status was not 200, or not the one that an upload needs.  ``body`` is the
    response; the error's own text is what ITK-SNAP would show.
    """

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"Response {status}, Text: {body}"[:MESSAGE_CHARACTERS])
        self.status = status
        self.body = body


class TicketNotOpen(Refused):
    """A file or a submission was refused, because the ticket is no longer in the state ``init``."""
