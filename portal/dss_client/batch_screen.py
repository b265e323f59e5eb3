"""Shows a batch to its user: a line for each image that ends, and one bar for all."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import MofNCompleteColumn

from dss_client.batch_items import SUBMITTED, SUCCESS, Item
from dss_client.printable import printable
from dss_client.records import Detail
from dss_client.screen import progress_bar


class BatchScreen:
    """A Display of ``total`` images.  On a terminal it shows a moving bar."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self._console = console or Console()
        self._bar = progress_bar(self._console, MofNCompleteColumn())
        self._all = self._bar.add_task("All images", total=total)
        self._width = len(str(total))
        self._total = total
        self._ended = 0

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

    def watcher(self, item: Item) -> "ItemWatcher":
        return ItemWatcher(item, self)

    def changed(self, item: Item) -> None:
        if item.status == SUBMITTED:
            return
        self._ended += 1
        self._bar.update(self._all, completed=self._ended)
        number = f"{self._ended:{self._width}}/{self._total}"
        ticket = f"ticket {item.ticket}, " if item.ticket else ""
        self._print(f"{number}  {item.name}: {ticket}{item.status}{_told(item)}")

    def told(self, sentence: str) -> None:
        self._print(sentence)

    def stage(self, text: str) -> None:
        self._bar.update(self._all, description=printable(text))

    def _print(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


class ItemWatcher:
    """A Watcher of one image; notes are shown with the image's name."""

    def __init__(self, item: Item, screen: BatchScreen) -> None:
        self._item = item
        self._screen = screen

    def note(self, text: str) -> None:
        self._screen.told(f"{self._item.name}: {text}")

    def stage(self, name: str) -> None:
        self._screen.stage(f"{name}: {self._item.name}")

    def moved(self, done_bytes: int, total_bytes: int) -> None:
        pass

    def created(self, ticket: int) -> None:
        self._item.ticket = ticket

    def submitted(self, ticket: int) -> None:
        pass

    def withdrawn(self, ticket: int) -> None:  # noqa: ARG002  (a Watcher)
        self._item.ticket = 0

    def polled(self, detail: Detail) -> None:
        pass


def _told(item: Item) -> str:
    if item.status == SUCCESS:
        volumes = ", ".join(f"{label.name} {label.volume_ml:.1f} ml" for label in item.labels)
        return f": {volumes}" if volumes else ""
    return f": {item.reason}" if item.reason else ""
