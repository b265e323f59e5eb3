"""Errors on the provider's side; their texts are sentences."""

from dss_client.errors import ClientError


class ServiceInvalid(ClientError):
    """The folder of a service cannot be used; one line for each fault."""


class AlgorithmFailed(Exception):
    """The algorithm gave no usable result; the text is shown to the user.

    ``detail`` is for the provider: the end of the error output.
    """

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail


class Withdrawn(Exception):
    """The ticket was deleted or is claimed by another provider, so the work stops."""
