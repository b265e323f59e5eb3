"""Errors in what a user sends.  ``dss_client.errors`` has further subclasses of ClientError."""


class ClientError(Exception):
    """Base class of errors that a user of ``dss`` or of a browser is shown; the text is a sentence for the user."""


class ImageUnreadable(ClientError):
    """The user's file is not an image that can be sent."""


class ServiceUnfit(ClientError):
    """The service does not exist, or the user's tags, box or time point are not those that it needs and accepts."""
