"""Passes the body of a large request to the application without the HTTP parser h11, which copies each piece four
times.
"""

import h11
from h11._readers import ContentLengthReader
from hypercorn.protocol.events import Body
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream

MOST_RECEIVED_BYTES = 256 * 1024
"""Largest number of bytes of a body that are read from the network at once; asyncio's transports receive no more at a
time.
"""


def is_receiving(protocol: object) -> bool:
    """True if the next bytes that a connection with this protocol receives belong to a request body whose
    Content-Length is known.
    """
    return _receiving(protocol) is not None


async def pass_on(protocol: object, piece: bytes) -> bool:
    """Pass ``piece``, the next bytes of the connection, to the application if they belong to a body.  Returns False,
    with nothing passed, if h11 must handle them: other bytes, and the last piece of a body.
    """
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
    """The stream to which the body of the present request is passed, and h11's counter of the bytes that are still
    missing.  None if no body with a Content-Length is being received.
    """
    if not isinstance(protocol, H11Protocol) or protocol.stream is None:
        return None
    connection = protocol.connection
    if connection.their_state is not h11.SEND_BODY or connection.trailing_data[0]:
        return None
    reader = getattr(connection, "_reader", None)
    return (protocol.stream, reader) if isinstance(reader, ContentLengthReader) else None
