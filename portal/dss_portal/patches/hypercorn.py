"""Makes Hypercorn discard the bytes that follow a malformed request, and use our class for connections."""

import h11
from hypercorn.asyncio import run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Event, RawData
from hypercorn.protocol.h11 import H11Protocol

_handle = H11Protocol.handle


def install() -> None:
    """Discard the bytes that a connection receives after h11 has refused its request as malformed.  Idempotent.

    Without this, Hypercorn passes such bytes to h11, which keeps them all, and the memory is freed much later: 60
    connections held 22 MB.
    """
    H11Protocol.handle = _handle_unless_refused  # type: ignore[method-assign]  # the workaround


def use(connection: type[TCPServer]) -> None:
    """Make Hypercorn use the class ``connection`` for the connection of each client.  Idempotent."""
    run.TCPServer = connection  # type: ignore[attr-defined]  # the module has no other way to choose it


async def _handle_unless_refused(self: H11Protocol, event: Event) -> None:
    if isinstance(event, RawData) and self.connection.their_state is h11.ERROR:
        return
    await _handle(self, event)
