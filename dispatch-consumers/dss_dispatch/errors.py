"""What can go wrong in a dispatcher."""

from collections.abc import Iterator
from contextlib import contextmanager

from dss_workspace.errors import WorkspaceInvalid


class TicketError(Exception):
    """The ticket cannot be done; the text is a sentence for the user, shown as it stands."""


class ImageDamaged(TicketError):
    """Voxels are missing in a file, or are not those that were written."""


class ResultRefused(TicketError):
    """The finished result did not pass the gate; ``finding`` is what was found, as part of a sentence."""

    def __init__(self, finding: str) -> None:
        super().__init__(
            f"The result did not pass the final check: {finding}. "
            "Please tell the operator the ticket's number."
        )
        self.finding = finding


class Withdrawn(Exception):
    """The user has deleted the ticket; nobody waits for it any more."""


class NoInference(Exception):
    """No worker answers for the bundle now; the text is a sentence for the user."""


class ServiceInvalid(Exception):
    """A service folder cannot be used; the text says which field of ``service.json`` and why."""


@contextmanager
def workspace_errors() -> Iterator[None]:
    """Raise TicketError, with the same sentence, for a workspace that cannot be used."""
    try:
        yield
    except WorkspaceInvalid as error:
        raise TicketError(str(error)) from error
