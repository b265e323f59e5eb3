"""Reads the numbers of mesh files that are written as text, in pieces to save memory."""

from typing import TypeVar

import numpy as np

from dss_images.mesh.surface import Array

Text = TypeVar("Text", str, bytes)

PIECE = 2**20
"""Most characters that are split at a time, because words take twenty times the memory of their text."""
LONGEST_WORD = 64


def numbers_in(text: Text, code: str) -> Array:
    """All numbers in ``text``, as float64 if ``code`` is a floating-point type of numpy (``f4``), otherwise as int64.

    Raises ValueError for a word that is not a number, OverflowError for an integer of more than 64 bits.
    """
    kind = np.float64 if code[0] == "f" else np.int64
    parts, at = [np.empty(0, kind)], 0
    while at < len(text):
        end = _word_end(text, at + PIECE)
        parts.append(np.array(text[at:end].split(), kind))
        at = end
    return np.concatenate(parts)


def word_count(text: bytes, start: int, end: int) -> int:
    """The number of words in ``text`` from ``start`` to ``end``, which must not be positions inside a word.

    Raises ValueError if it finds a word that is much longer than a number (see ``_word_end``).
    """
    if end - start <= PIECE:
        return len(text[start:end].split())
    found = 0
    while start < end:
        stop = min(_word_end(text, start + PIECE), end)
        found += len(text[start:stop].split())
        start = stop
    return found


def _word_end(text: Text, near: int) -> int:
    """The first position from ``near`` on that is not inside a word.

    Raises ValueError if that is more than LONGEST_WORD characters away: the word is too long to be a number.
    """
    for end in range(near, near + LONGEST_WORD):
        if end >= len(text) or text[end : end + 1].isspace():
            return end
    raise ValueError
