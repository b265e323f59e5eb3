"""Writes and reads the colours of a service's labels as a parameter of an inference: ``1=255,0,0 2=0,255,0``."""

import re
from collections.abc import Mapping

PARAMETER = "label_colours"

_COLOUR = re.compile(r"(\d{1,5})=(\d{1,3}),(\d{1,3}),(\d{1,3})", re.ASCII)

Rgb = tuple[int, int, int]


def as_text(colours: Mapping[int, Rgb]) -> str:
    """``colours`` as text.  They are (red, green, blue), each 0..255, by label value."""
    return " ".join(f"{value}={r},{g},{b}" for value, (r, g, b) in colours.items())


def from_text(text: str) -> dict[int, Rgb]:
    """Colours (red, green, blue) by label value from a text such as ``1=255,0,0 2=0,255,0``; {} for an empty text.

    Raises ValueError for a malformed text.
    """
    found = {}
    for word in text.split():
        match = _COLOUR.fullmatch(word)
        numbers = [int(part) for part in match.groups()] if match else []
        if not numbers or max(numbers[1:]) > 255:
            raise ValueError(f"'{word}' is no colour of a label")
        value, r, g, b = numbers
        found[value] = (r, g, b)
    return found
