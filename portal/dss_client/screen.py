"""Shows one ticket's progress: a live bar on a terminal, plain lines elsewhere."""

from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from dss_client.printable import printable
from dss_client.records import Detail, LogLine

_COLOURS = {"error": "red", "warning": "yellow"}


def progress_bar(console: Console, amount: ProgressColumn) -> Progress:
    """A bar with a description, ``amount`` and the elapsed time.  It is shown only on a terminal, and removed at the
    end.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        amount,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class Screen:
    """A Watcher.  ``ticket`` is its number from its creation on, ``running`` is true from its submission on; ``ticket``
    is 0 again after a withdrawal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = self._console.is_terminal
        self._bar = progress_bar(self._console, TextColumn("{task.percentage:>3.0f} %"))
        self._task = self._bar.add_task("", total=1.0)
        self._state = ""
        self.ticket = 0
        self.running = False

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        self._print(Text(printable(text)))

    def stage(self, name: str) -> None:
        self._show(name, 0.0)

    def moved(self, done_bytes: int, total_bytes: int) -> None:
        self._bar.update(self._task, completed=done_bytes / max(total_bytes, done_bytes, 1))

    def shared(self, share: float) -> None:
        """Show the fraction that is done, 0 to 1."""
        self._bar.update(self._task, completed=share)

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
        if not detail.finished:  # the caller tells the end
            self._show(_state(detail), detail.progress)
        for line in detail.log:
            self._print(log_text(line))

    def _show(self, state: str, share: float) -> None:
        state = printable(state)
        self._bar.update(self._task, description=state, completed=share)
        if not self._live and state != self._state:
            self.note(f"{state}.")
        self._state = state

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def log_text(line: LogLine) -> Text:
    """A log line as text: time, category and message."""
    head = f"{_clock(line.atime)}  {line.category:<7}  "
    return Text(
        printable(head + line.message, indent=len(head)), style=_COLOURS.get(line.category, "")
    )


def _state(detail: Detail) -> str:
    if detail.status == "ready" and detail.queue_position is not None:
        return f"ready, number {detail.queue_position} in the queue"
    return detail.status


def _clock(atime: str | int) -> str:
    """The time of day.  A number, which ITK-SNAP cannot show, is taken as seconds since 1970."""
    if isinstance(atime, int):
        return f"{datetime.fromtimestamp(atime).astimezone():%H:%M:%S}"
    return atime.partition(" ")[2].partition(".")[0]
