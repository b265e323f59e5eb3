"""Reads polygonal data from a file in VTK's legacy format (.vtk), ASCII or binary (big-endian), versions 1 to 5."""

from dataclasses import dataclass

import numpy as np

from dss_images.errors import ImageRefused
from dss_images.mesh.surface import Array, Surface, damaged
from dss_images.mesh.text import numbers_in, word_count

_TYPES = {
    "char": "i1",
    "unsigned_char": "u1",
    "short": "i2",
    "unsigned_short": "u2",
    "int": "i4",
    "unsigned_int": "u4",
    "long": "i8",
    "unsigned_long": "u8",
    "float": "f4",
    "double": "f8",
    "vtktypeint64": "i8",
    "vtktypeuint64": "u8",
    "vtkidtype": "i4",
}
_CELLS = ("VERTICES", "LINES", "POLYGONS", "TRIANGLE_STRIPS")
_ENDS = ("POINT_DATA", "CELL_DATA")
MOST_CHARACTERS = 4096


@dataclass
class _Cursor:
    """Reads lines and numbers from the bytes of a file, from the position ``at`` on, which it advances.

    ``is_binary``: numbers are binary instead of text.
    """

    data: bytes
    is_binary: bool
    at: int = 0

    def line(self) -> str:
        """The next line, without blanks at its ends; a line longer than MOST_CHARACTERS is returned in parts.  Raises
        EOFError at the end of the file.
        """
        if self.at >= len(self.data):
            raise EOFError
        end = self.data.find(b"\n", self.at, self.at + MOST_CHARACTERS)
        if end < 0:
            end = min(len(self.data), self.at + MOST_CHARACTERS)
        text = self.data[self.at : end].decode("latin-1").strip()
        self.at = end + 1
        return text

    def words(self) -> list[str]:
        """The words of the next line that is not blank.  Raises EOFError at the end of the file."""
        while not (found := self.line().split()):
            pass
        return found

    def numbers(self, count: int, kind: str) -> Array:
        """The next ``count`` numbers of VTK's type ``kind``.  Raises ValueError if the type is unknown, or fewer
        numbers follow.
        """
        if count < 0 or kind.lower() not in _TYPES:
            raise ValueError
        code = _TYPES[kind.lower()]
        if self.is_binary:
            found = np.frombuffer(self.data, f">{code}", count, self.at)
            self.at += found.nbytes
            return found
        return self._text_numbers(count, code)

    def _text_numbers(self, count: int, code: str) -> Array:
        """The next ``count`` numbers in text, which may be in several lines, as numpy's type ``code``.  Raises
        ValueError if fewer follow, a word is not a number, or the last of them does not end a line.
        """
        begin, found = self.at, 0
        while found < count:
            if self.at >= len(self.data):
                raise ValueError
            end = self.data.find(b"\n", self.at)
            end = len(self.data) if end < 0 else end
            found += word_count(self.data, self.at, end)
            self.at = end + 1
        if found > count:
            raise ValueError
        return numbers_in(self.data[begin : self.at], code)


def read_legacy(data: bytes) -> Surface:
    """The surface in the bytes of a legacy file.

    Raises ImageRefused for other data than polygonal data, or a field of texts; ImageRefused, ValueError or IndexError
    for a damaged file.
    """
    cursor = _Cursor(data, is_binary=False)
    try:
        cursor.line(), cursor.line()
        cursor.is_binary = cursor.words()[0].upper() == "BINARY"
        words = cursor.words()
        while words[0].upper() == "FIELD":
            _skip_field(cursor, words)
            words = cursor.words()
    except EOFError as error:
        raise damaged() from error
    if [word.upper() for word in words] != ["DATASET", "POLYDATA"]:
        raise ImageRefused(
            f"The mesh file holds {' '.join(words)[:60]}; ITK-SNAP loads DATASET POLYDATA."
        )
    return _surface(cursor)


def _surface(cursor: _Cursor) -> Surface:
    points, corners = np.empty((0, 3)), [np.empty(0, np.int64)]
    try:
        while (words := cursor.words())[0].upper() not in _ENDS:
            match words[0].upper():
                case "POINTS":
                    points = cursor.numbers(3 * int(words[1]), words[2]).reshape(-1, 3)
                case "FIELD":
                    _skip_field(cursor, words)
                case "METADATA":
                    while cursor.line():
                        pass
                case name if name in _CELLS:
                    corners.append(_whole_cells(cursor, int(words[1]), int(words[2])))
                case _:
                    raise damaged()
    except EOFError:
        pass
    return Surface(points_mm=points.astype(np.float64), corners=np.concatenate(corners))


def _whole_cells(cursor: _Cursor, first: int, second: int) -> Array:
    """The numbers of the points of all cells of a section, one cell after the other (see ``_cells``).

    Raises ImageRefused, where ``_cells`` raises EOFError, if the file ends too early.
    """
    try:
        return _cells(cursor, first, second)
    except EOFError as error:
        raise damaged() from error


def _cells(cursor: _Cursor, first: int, second: int) -> Array:
    """The numbers of the points of all cells, one cell after the other.

    Until version 4 of the format, each of the ``first`` cells is a count followed by that many numbers, ``second``
    numbers in all; from version 5 on, a section has the arrays OFFSETS (``first`` numbers) and CONNECTIVITY
    (``second``).  Raises ValueError, IndexError or EOFError if the section is damaged.
    """
    before = cursor.at
    words = cursor.words() if first else []
    if words and words[0].upper() == "OFFSETS":
        cursor.numbers(first, words[1])
        words = cursor.words()
        if words[0].upper() != "CONNECTIVITY":
            raise ValueError
        return cursor.numbers(second, words[1]).astype(np.int64)
    cursor.at = before
    return _without_counts(cursor.numbers(second, "int").astype(np.int64), first)


def _without_counts(found: Array, cells: int) -> Array:
    counts = np.zeros(len(found), bool)
    at = 0
    for _ in range(cells):
        if found[at] < 0:
            raise ValueError  # a negative count would lead backwards
        counts[at] = True
        at += int(found[at]) + 1
    if at != len(found):
        raise ValueError
    return found[~counts]


def _skip_field(cursor: _Cursor, words: list[str]) -> None:
    for _ in range(int(words[2])):
        name, components, tuples, kind = cursor.words()[:4]
        if name.upper() == "METADATA":
            while cursor.line():
                pass
            continue
        if kind.lower() == "string":
            raise ImageRefused("The mesh has a field of texts, which cannot be read; leave it out.")
        cursor.numbers(int(components) * int(tuples), kind)
