"""Errors of ``dss service``.  Their texts are sentences for the provider or the user."""

from dss_client.errors import ClientError


class ServiceInvalid(ClientError):
    """A service cannot be tested or published.  The text has one line for each fault."""


class AlgorithmFailed(Exception):
    """The algorithm gave no usable result.  The text is shown to the ticket's user; ``detail``, the end of the
    algorithm's output, is for the provider.
    """

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail


class Withdrawn(Exception):
    """The work on a ticket must stop, because the ticket was deleted or another provider has claimed it."""
