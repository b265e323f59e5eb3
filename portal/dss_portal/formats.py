"""Formats tables, durations and names of downloads as text.

ITK-SNAP's table reader ends a field at a comma or CR and a row at CR only; it knows no header row and no line break
inside a field.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from urllib.parse import quote

Cell = str | int | float | None
Rows = Sequence[Sequence[Cell]]

PAGE_ROWS = 500
"""Rows that long tables read and format at a time; so many take some milliseconds."""


def csv_text(rows: Iterable[Sequence[Cell]]) -> str:
    """CSV with CRLF after every record, no header row, and line breaks inside a field replaced by blanks."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([_folded(cell) for cell in row])
    return text.getvalue()


def duration(seconds: float | None) -> str:
    """A duration in words: ``42 s``, ``3 min 05 s``, ``2 h 07 min``, ``3 d 04 h``; "" for None."""
    if seconds is None:
        return ""
    whole = round(seconds)
    for unit_s, unit, part_s, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= unit_s:
            return f"{whole // unit_s} {unit} {whole % unit_s // part_s:02d} {part}"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def _folded(cell: Cell) -> Cell:
    return " ".join(cell.splitlines()) if isinstance(cell, str) else cell


def attachment(name: str) -> str:
    """The Content-Disposition of a download (RFC 6266): in the plain form that old clients read and, if that cannot
    express the name, also in the exact form.
    """
    simple = name.encode("ascii", "replace").decode().replace('"', "_").replace("\\", "_")
    disposition = f'attachment; filename="{simple}"'
    return disposition if simple == name else f"{disposition}; filename*=UTF-8''{quote(name)}"
