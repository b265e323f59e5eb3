"""Errors on the provider's side; their texts are sentences."""

from dss_client.errors import ClientError


class ServiceInvalid(ClientError):
    """The folder of a service cannot be used; one line for each fault."""


class AlgorithmFailed(Exception):
    """The algorithm gave no usable result.  The text is shown to the user; ``detail``, the end of the error output,
    is for the provider.
    """

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail


class Withdrawn(Exception):
    """The work must stop, because the ticket was deleted or another provider has claimed it."""
