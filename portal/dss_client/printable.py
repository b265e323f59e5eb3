"""Makes text from other sources safe for a terminal, so that no control sequence in it takes effect."""

_CONTROL = {code: 0x2400 + code for code in range(0x20)}
"""Maps control characters to Unicode's visible symbols for them."""

_C1 = dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}")
"""Maps the eight-bit control characters (C1), among them CSI, to the replacement character."""

_DIRECTIONS = dict.fromkeys(
    [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], None
)
"""Maps to None, so that they are removed, the characters that can make a line look different from its content (Unicode
Technical Report 36, section 2.9).
"""

_KEPT = {ord("\t"): "    ", 0x7F: 0x2421}

_VISIBLE = _CONTROL | _C1 | _DIRECTIONS | _KEPT


def printable(text: str, *, indent: int = 0) -> str:
    """``text`` with a visible character for each control character.  Line breaks stay, except at the end; marks of the
    writing direction are removed.

    Lines after the first begin with ``indent`` blanks, so that they cannot look like separate lines of output.
    """
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    return f"\n{' ' * indent}".join(line.translate(_VISIBLE) for line in lines)


def on_one_line(text: str) -> str:
    """``text`` with a blank for each line break, so that a row of a list cannot look like two rows."""
    return printable(" ".join(text.split("\n")).replace("\r", " "))
