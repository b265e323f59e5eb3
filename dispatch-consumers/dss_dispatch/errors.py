"""Errors of a dispatcher while it processes a ticket or reads a service."""

from collections.abc import Iterator
from contextlib import contextmanager

from dss_workspace.errors import WorkspaceInvalid


class TicketError(Exception):
    """The ticket fails.  The text is a sentence that is shown to the user unchanged."""


class ImageDamaged(TicketError):
    """Voxels of a file are missing or damaged."""


class ResultRefused(TicketError):
    """The result did not pass the last check.  ``finding`` says why, as part of a sentence."""

    def __init__(self, finding: str) -> None:
        super().__init__(
            f"The result did not pass the final check: {finding}. "
            "Please tell the operator the ticket's number."
        )
        self.finding = finding


class Withdrawn(Exception):
    """The work on a claim must end, because the user has deleted the ticket or another claim continues the ticket."""


class NoInference(Exception):
    """No worker can run the inference now; the text is a sentence for the user."""


class ServiceInvalid(Exception):
    """A service folder cannot be used; the text says why, and which field of ``service.json`` or which file is the
    reason.
    """


@contextmanager
def workspace_errors() -> Iterator[None]:
    """A context that turns WorkspaceInvalid into a TicketError with the same sentence."""
    try:
        yield
    except WorkspaceInvalid as error:
        raise TicketError(str(error)) from error
