"""Passes the body of a large request to the application without h11, which copies each piece four times."""

import h11
from h11._readers import ContentLengthReader
from hypercorn.protocol.events import Body
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream

MOST_RECEIVED_BYTES = 256 * 1024
"""Most bytes of a body that are read from the network at once; asyncio's transports receive no more at a time."""


def is_receiving(protocol: object) -> bool:
    """True if the next bytes of a connection with this protocol belong to a body with a Content-Length."""
    return _receiving(protocol) is not None


async def passed(protocol: object, piece: bytes) -> bool:
    """Pass the piece of a body to the application.  False if h11 must handle it, as it must with the last piece."""
    receiving = _receiving(protocol)
    if receiving is None or not piece:
        return False
    stream, reader = receiving
    if len(piece) >= reader._remaining:  # noqa: SLF001 - see patches.CHECKED
        return False
    reader._remaining -= len(piece)  # noqa: SLF001 - see patches.CHECKED
    await stream.handle(Body(stream_id=STREAM_ID, data=piece))
    return True


def _receiving(protocol: object) -> tuple[HTTPStream | WSStream, ContentLengthReader] | None:
    """The stream that gets the body, and h11's counter of the bytes that are to come."""
    if not isinstance(protocol, H11Protocol) or protocol.stream is None:
        return None
    connection = protocol.connection
    if connection.their_state is not h11.SEND_BODY or connection.trailing_data[0]:
        return None
    reader = getattr(connection, "_reader", None)
    return (protocol.stream, reader) if isinstance(reader, ContentLengthReader) else None
