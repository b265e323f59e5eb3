"""Errors in what a user sends.  ``dss_client.errors`` has more of the same base class."""


class ClientError(Exception):
    """Base class of the errors of users and their clients; the text is a sentence for the user."""


class ImageUnreadable(ClientError):
    """The user's file is not an image that can be sent."""


class ServiceUnfit(ClientError):
    """There is no such service, or it asks for more than one image."""
