"""Rows at the bottom of a terminal that are redrawn when they change, below lines that scroll.

If the output is not a terminal, no rows are drawn.  Sequences: ECMA-48, CUU and ED.
"""

import os
import shutil
import sys
import time
import unicodedata
from dataclasses import dataclass
from typing import TextIO

from dss_client.output import write
from dss_client.printable import printable

DRAW_S = 0.1
"""Shortest time in seconds between two redraws."""
BAR_CELLS = 24
_COLOURS = {"red": "\x1b[31m", "yellow": "\x1b[33m"}
_PLAIN = "\x1b[0m"


@dataclass
class Row:
    """A row with a text.  ``share`` is the fraction that is done, 0 to 1; None shows no bar.  ``amount``, such as "40
    %", is shown together with the time since the start; "" shows neither.
    """

    text: str
    share: float | None = None
    amount: str = ""


class Terminal:
    """Standard output, or ``stream``, with ``rows`` at its bottom.  Not thread-safe.  ``rows`` may be changed at any
    time; ``draw`` shows them.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self.is_live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self.rows: list[Row] = []
        self._drawn = 0
        self._drawn_at_s = 0.0
        self._began_s = time.monotonic()

    def line(self, text: str, colour: str = "", indent: int = 0) -> None:
        """Print a line above the rows.  ``colour`` is red, yellow or ""."""
        shown = printable(text, indent=indent)
        if self.is_live and colour and "NO_COLOR" not in os.environ:
            shown = f"{_COLOURS[colour]}{shown}{_PLAIN}"
        write(self._stream, f"{self._erased()}{shown}\n{self._picture()}")

    def draw(self) -> None:
        """Show the current rows, unless they were drawn less than DRAW_S ago."""
        now_s = time.monotonic()
        if self.is_live and now_s - self._drawn_at_s >= DRAW_S:
            self._drawn_at_s = now_s
            write(self._stream, self._erased() + self._picture())

    def close(self) -> None:
        """Remove the rows; the lines above them stay."""
        self.rows = []
        if self._drawn:
            write(self._stream, self._erased())

    def _erased(self) -> str:
        up, self._drawn = self._drawn, 0
        return f"\x1b[{up}A\r\x1b[J" if up else ""

    def _picture(self) -> str:
        if not self.is_live:
            return ""
        size = shutil.get_terminal_size()
        shown = self.rows[-max(1, size.lines - 2) :]
        self._drawn = len(shown)
        return "".join(f"{self._text(row, size.columns - 1)}\n" for row in shown)

    def _text(self, row: Row, cells: int) -> str:
        seconds = int(time.monotonic() - self._began_s)
        tail = f" {row.amount} {seconds // 60:d}:{seconds % 60:02d}" if row.amount else ""
        if row.share is not None:
            full = round(min(max(row.share, 0.0), 1.0) * BAR_CELLS)
            tail = f" [{'#' * full}{'-' * (BAR_CELLS - full)}]{tail}"
        text = printable(row.text).replace("\n", " ")
        return fitted(text, max(cells - len(tail), 0)) + tail


def fitted(text: str, cells: int) -> str:
    """``text`` in exactly that many cells of a terminal: truncated, or padded with blanks."""
    taken, text_that_fits = 0, ""
    for letter in text:
        width = _width(letter)
        if taken + width > cells:
            break
        taken, text_that_fits = taken + width, text_that_fits + letter
    return text_that_fits + " " * (cells - taken)


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
