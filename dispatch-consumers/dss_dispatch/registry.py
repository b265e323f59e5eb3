"""The registry of a ticket's workspace; what is none fails the ticket."""

from dss_dispatch.errors import TicketError
from dss_workspace.registry import MAX_DEPTH, Folder, RegistryUnreadable, serialize
from dss_workspace.registry import parse as parse_registry

__all__ = ["MAX_DEPTH", "Folder", "parse", "serialize"]


def parse(data: bytes) -> Folder:
    """Read a registry.  Raises TicketError, with a sentence, for anything that is none."""
    try:
        return parse_registry(data)
    except RegistryUnreadable as error:
        raise TicketError(str(error)) from error
