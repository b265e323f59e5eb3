"""Errors between a user and a server."""

MESSAGE_CHARACTERS = 1023
"""ITK-SNAP prints a response into a buffer of this size (RESTClient.cxx, GetResponseText)."""


class ClientError(Exception):
    """Base class of the errors; the text is a sentence for the user."""


class Unreachable(ClientError):
    """No response came: the address is wrong, nothing listens there, or the connection broke."""


class NotUnderstood(ClientError):
    """The response is not one of a Distributed Segmentation Service."""


class SignInRefused(ClientError):
    """The token or the session is not valid."""


class ImageUnreadable(ClientError):
    """The user's file is not an image that can be sent."""


class ServiceUnfit(ClientError):
    """There is no such service, or it asks for more than one image."""


class TicketUnfinished(ClientError):
    """The ticket did not end within the time that the caller gave."""


class Refused(ClientError):
    """The status was not 200.  The text is what ITK-SNAP shows."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"Response {status}, Text: {body}"[:MESSAGE_CHARACTERS])
        self.status = status
        self.body = body
