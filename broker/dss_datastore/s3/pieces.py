"""The pieces of a file that is sent in several requests.  Each piece is an object of its own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, order=True)
class Piece:
    """A piece of ``size_bytes`` bytes that begins at byte ``offset`` of the file."""

    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        return self.offset + self.size_bytes


def key_of(piece: Piece) -> str:
    """The name of the piece's object.  It contains the size, so that a late request cannot replace a longer piece
    with the same offset.
    """
    return f"{piece.offset:020d}-{piece.size_bytes}"


def in_order(names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The names of the pieces that make up the file, in order.  The number with each name says how many of the
    piece's first bytes an earlier piece already has.  Ends at the first byte that no piece has.
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
