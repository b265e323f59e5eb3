"""Shows one ticket's progress on standard output: a bar that is redrawn on a terminal, plain lines elsewhere."""

import time
from datetime import datetime
from types import TracebackType
from typing import Self

from dss_client.printable import printable
from dss_client.records import Detail, LogLine
from dss_client.terminal import Row, Terminal

STILL_S = 20.0
"""After this time in seconds without a new line, an output that is no terminal gets one with state and progress."""

_COLOURS = {"error": "red", "warning": "yellow"}


class Screen:
    """Shows one ticket; implements Watcher.

    ``ticket`` is its number from its creation on, 0 before that and after a withdrawal.  ``running`` is True from its
    submission on, ``ended`` after its end.
    """

    def __init__(self, terminal: Terminal | None = None) -> None:
        self._terminal = terminal or Terminal()
        self._row = Row("", share=0.0, amount="  0 %")
        self._state = self._expected = ""
        self._printed_s = time.monotonic()
        self.ticket = 0
        self.running = False
        self.ended = False

    def __enter__(self) -> Self:
        self._terminal.rows = [self._row]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._terminal.close()

    def note(self, text: str) -> None:
        self._printed_s = time.monotonic()
        self._terminal.line(text)

    def stage(self, name: str) -> None:
        self._show(name, 0.0)

    def moved(self, done_bytes: int, total_bytes: int) -> None:
        self.show_share(done_bytes / max(total_bytes, done_bytes, 1))

    def show_share(self, share: float) -> None:
        """Show the fraction ``share`` that is done, 0 to 1."""
        self._row.share, self._row.amount = share, f"{share:4.0%}"
        self._terminal.draw()
        if not self._terminal.is_live and time.monotonic() - self._printed_s >= STILL_S:
            self.note(f"{self._row.text}, {share:.0%}.")

    def created(self, ticket: int) -> None:
        self.ticket = ticket
        self.note(f"Ticket {ticket} is open.")

    def submitted(self, ticket: int) -> None:
        self.running = True
        self.note(f"Ticket {ticket} is submitted.")

    def withdrawn(self, ticket: int) -> None:
        self.ticket = 0
        self.note(f"Ticket {ticket} was withdrawn, since it was not submitted.")

    def polled(self, detail: Detail) -> None:
        self.ended = detail.finished
        if not detail.finished:  # the caller reports the end
            self._show(state_of(detail), detail.progress)
        for line in detail.log:
            self.log_line(line)

    def expected(self, sentence: str) -> None:
        """Set the estimate that a terminal shows beside the state.  If the output is no terminal, the estimate is not
        shown.
        """
        self._expected = sentence

    def log_line(self, line: LogLine) -> None:
        """Print the time, the category and the text of a log line."""
        self._printed_s = time.monotonic()
        head = f"{_clock(line.atime)}  {line.category:<7}  "
        self._terminal.line(head + line.message, _COLOURS.get(line.category, ""), len(head))

    def _show(self, state: str, share: float) -> None:
        state = printable(state)
        self._row.text = f"{self._expected} ({state})" if self._expected else state
        self.show_share(share)
        if not self._terminal.is_live and state != self._state:
            self.note(f"{state}.")
        self._state = state


def state_of(detail: Detail) -> str:
    """The ticket's state as text, with its place in the queue if it waits."""
    if detail.status == "ready" and detail.queue_position is not None:
        return f"ready, number {detail.queue_position} in the queue"
    return detail.status


def _clock(atime: str | int) -> str:
    """The time of day of ``atime``.  A number is taken as seconds since 1970; ITK-SNAP cannot show these."""
    if isinstance(atime, int):
        return f"{datetime.fromtimestamp(atime).astimezone():%H:%M:%S}"
    return atime.partition(" ")[2].partition(".")[0]
