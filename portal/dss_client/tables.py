"""Reads comma-separated responses in the same way as ITK-SNAP.

Facts: FormattedTable.cxx of ITK-SNAP, ``ParseCSV``.
"""


def read_table(text: str) -> list[list[str]]:
    """Rows of fields, as ITK-SNAP sees them; there is no header row.

    A field ends only at an unquoted comma or at CR, a row only at CR.  LF is dropped and closes an open quote.  So LF
    alone joins two rows, and text after the last comma or CR is lost.
    """
    rows: list[list[str]] = []
    word, row_open = "", False
    for line in text.split("\n"):
        for piece, end in _pieces(line):
            word += piece
            if not end:
                continue
            if not row_open:
                rows.append([])
            rows[-1].append(word)
            word, row_open = "", end == ","
    return rows


def _pieces(line: str) -> list[tuple[str, str]]:
    """The fields of a line, each with the character that ended it: a comma, CR, or "" for the last one."""
    pieces: list[tuple[str, str]] = []
    text, quoted, skip = "", False, False
    for here, following in zip(line, line[1:] + "\n", strict=False):
        if skip:
            skip = False
        elif here == '"' and following == '"':
            text, skip = (
                text + here,
                True,
            )  # so an empty quoted field becomes a quote, as in ITK-SNAP
        elif here == '"':
            quoted = not quoted
        elif here == "\r" or (here == "," and not quoted):
            pieces.append((text, here))
            text = ""
        else:
            text += here
    return [*pieces, (text, "")]
