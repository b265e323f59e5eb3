"""Names and order of the pieces of a file that a client sends in several requests.  Each piece is an S3 object."""

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
    """The name of the S3 object of ``piece``: its offset and its size.

    The size is in it so that a late request cannot replace a longer piece with the same offset.
    """
    return f"{piece.offset:020d}-{piece.size_bytes}"


def in_order(names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The names of the pieces that make up the file, in order, each with a number of bytes to skip at its beginning,
    because the pieces before it already contain them.

    ``names`` are those of all pieces, which may overlap.  The result ends at the first byte that no piece has.
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
