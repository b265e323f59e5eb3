"""The pieces of a file that is sent in several requests, each an object of its own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, order=True)
class Piece:
    """The bytes from ``offset`` on."""

    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        return self.offset + self.size_bytes


def key_of(piece: Piece) -> str:
    """The name of the piece's object.

    It holds the size, too: a request that is late does not replace a longer piece that was stored after it.
    """
    return f"{piece.offset:020d}-{piece.size_bytes}"


def in_order(names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The names of the pieces that make up the file, each with the number of bytes at its beginning that an earlier
    piece has.  Ends before a byte that is in no piece.
    """
    at, longest = 0, Piece(offset=0, size_bytes=0)
    for piece in sorted(_piece(name) for name in names):
        if piece.offset > at and longest.end > at:
            yield key_of(longest), at - longest.offset
            at = longest.end
        if piece.offset > at:
            return
        longest = max(longest, piece, key=lambda one: one.end)
    if longest.end > at:
        yield key_of(longest), at - longest.offset


def _piece(name: str) -> Piece:
    offset, _, size = name.partition("-")
    return Piece(offset=int(offset), size_bytes=int(size))
