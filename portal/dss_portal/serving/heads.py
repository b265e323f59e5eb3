"""Parses the head of a plain HTTP/1.1 request, as usual clients send it for polls and small writes.

Any other request (other methods, escapes, chunks, upgrades, unusual spaces, HTTP/1.0) is left to h11, which also
refuses malformed ones.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_BYTES = 8 * 1024
"""Largest size of a head that is parsed here."""
MOST_BODY_BYTES = 4 * 2**20

_LINE = re.compile(rb"(GET|POST) (/[A-Za-z0-9/_.~-]*)(?:\?([!-\"$-~]*))? HTTP/1\.1\Z")
_FIELD = re.compile(rb"([A-Za-z0-9-]+): ?([!-~](?:[ -~]*[!-~])?)\Z")
_ONCE = frozenset({b"host", b"content-length", b"connection"})
_UNUSUAL = frozenset({b"transfer-encoding", b"upgrade", b"expect", b"te", b"trailer"})

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head of a request.  ``size_bytes`` is the size of the head with the empty line that ends it; ``body_bytes``
    is the size of the body that follows.
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    headers: Headers
    size_bytes: int
    body_bytes: int


def head(received: bytes) -> Head | None:
    """Parse the head at the beginning of ``received``.  None if it is not complete, or if h11 must handle the request: it
    is no GET or POST by HTTP/1.1, has an unusual character or field in its head, no Host, a GET with a body, or a POST
    without a Content-Length or with more than MOST_BODY_BYTES.
    """
    end = received.find(b"\r\n\r\n", 0, MOST_BYTES)
    if end < 0:
        return None
    first, *lines = received[:end].split(b"\r\n")
    line = _LINE.match(first)
    headers = _headers(lines)
    if line is None or headers is None:
        return None
    length = _length(headers, may_have_body=line[1] == b"POST")
    if length is None:
        return None
    return Head(
        method=line[1].decode(),
        path=line[2].decode(),
        raw_path=line[2],
        query=line[3] or b"",
        headers=headers,
        size_bytes=end + 4,
        body_bytes=length,
    )


def _headers(lines: Sequence[bytes]) -> list[tuple[bytes, bytes]] | None:
    """The header fields, with names in lower case; None if h11 must handle the request: a field has an unusual form, is
    one of _UNUSUAL or is repeated although it may not be, or there is no Host.
    """
    found = []
    seen = set()
    for line in lines:
        field = _FIELD.match(line)
        if field is None:
            return None
        name = field[1].lower()
        if name in _UNUSUAL or (name in seen and name in _ONCE):
            return None
        if name == b"connection" and field[2].lower() != b"keep-alive":
            return None
        seen.add(name)
        found.append((name, field[2]))
    return found if b"host" in seen else None


def _length(headers: Headers, *, may_have_body: bool) -> int | None:
    """The size of the body in bytes, from the Content-Length: 0 without one if the method has no body.  None if the
    method needs one and there is none, if there is one and must not be, or if the body is too large.
    """
    lengths = [value for name, value in headers if name == b"content-length"]
    if not may_have_body:
        return None if lengths else 0
    if not lengths or not lengths[0].isdigit() or len(lengths[0]) > 9:
        return None
    length = int(lengths[0])
    return length if length <= MOST_BODY_BYTES else None
