"""Finds the file in a small multipart form that has no other part, without copying its content."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_HEAD_BYTES = 16 * 1024

_TYPE = re.compile(rb"multipart/form-data; ?boundary=([A-Za-z0-9_-]{1,70})", re.IGNORECASE)
_DISPOSITION = rb'content-disposition: form-data; name="(?-i:myfile)"; filename="([^"\\%\r\n]+)"'
_HEAD = re.compile(_DISPOSITION + rb"(?:\r\ncontent-type: [\t -~]*)?\r\n\r\n", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class LoneFile:
    """A file in the pieces in which it was received.  ``name`` is the file name as the client sent it."""

    name: str
    pieces: Sequence[memoryview]

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.pieces))


def boundary_in(content_type: bytes) -> bytes | None:
    """The boundary of a multipart form, from its Content-Type; None for another type, or for a boundary with unusual
    characters or length.
    """
    found = _TYPE.fullmatch(content_type)
    return found[1] if found else None


def lone_file(boundary: bytes, received: Sequence[bytes]) -> LoneFile | None:
    """The file of a form whose body is ``received`` and whose only part is the file ``myfile``, as ITK-SNAP and the
    Python client send it; None for any other form.
    """
    delimiter = b"--" + boundary
    begin, rest = _beginning(received)
    if not begin.startswith(delimiter + b"\r\n"):
        return None
    head = _HEAD.match(begin, len(delimiter) + 2)
    if head is None:
        return None
    pieces = _without_end(
        [memoryview(begin)[head.end() :], *(memoryview(piece) for piece in rest)], delimiter
    )
    if pieces is None or _holds(pieces, delimiter):
        return None
    try:
        return LoneFile(name=head[1].decode(), pieces=pieces)
    except UnicodeDecodeError:
        return None


def _beginning(received: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
    """The received pieces in two values: the first pieces joined, so many that they contain the complete head of the
    part, and the pieces after them.
    """
    begin, number = b"", 0
    for number, piece in enumerate(received, 1):  # noqa: B007 - used below
        begin += piece
        if b"\r\n\r\n" in begin or len(begin) > MOST_HEAD_BYTES:
            break
    return begin, received[number:]


def _without_end(pieces: list[memoryview], delimiter: bytes) -> list[memoryview] | None:
    """The pieces without the final delimiter that ends the form; None if they do not end with it."""
    last = b"\r\n" + delimiter + b"--"
    taken: list[memoryview] = []
    while pieces and sum(map(len, taken)) < len(last) + 2:
        taken.insert(0, pieces.pop())
    end = b"".join(taken)
    text = end.removesuffix(b"\r\n")
    if not text.endswith(last):
        return None
    return [*pieces, memoryview(text)[: -len(last)]]


def _holds(pieces: Sequence[memoryview], delimiter: bytes) -> bool:
    """True if ``delimiter`` occurs in the pieces, also if it begins in one piece and ends in the next."""
    before = b""
    for piece in pieces:
        content = piece.obj
        whole = (
            content if isinstance(content, bytes) and len(content) == len(piece) else bytes(piece)
        )
        if delimiter in whole or delimiter in before + whole[: len(delimiter)]:
            return True
        before = (before + whole[-len(delimiter) :])[-len(delimiter) + 1 :]
    return False
