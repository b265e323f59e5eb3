"""Shows a batch on the terminal: a line for each image that has ended, and bars for those in progress."""

from types import TracebackType
from typing import Self

from dss_client.batch_items import SUBMITTED, SUCCESS, Item
from dss_client.records import Detail
from dss_client.screen import state_of
from dss_client.terminal import Row, Terminal


class BatchScreen:
    """Implements Display for a batch of ``total`` images.  On a terminal it shows a bar for each image in progress, and
    one for all.
    """

    def __init__(self, total: int, terminal: Terminal | None = None) -> None:
        self._terminal = terminal or Terminal()
        self._all = Row("All images", share=0.0, amount=f"0/{total}")
        self._rows: dict[str, Row] = {}
        self._width = len(str(total))
        self._total = total
        self._ended = 0

    def __enter__(self) -> Self:
        self._show()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._terminal.close()

    def watcher(self, item: Item) -> "ItemWatcher":
        return ItemWatcher(item, self)

    def changed(self, item: Item) -> None:
        if item.status == SUBMITTED:
            self.moving(item, "submitted", 0.0)
            return
        self._rows.pop(item.name, None)
        self._ended += 1
        self._all.share, self._all.amount = (
            self._ended / self._total,
            f"{self._ended}/{self._total}",
        )
        number = f"{self._ended:{self._width}}/{self._total}"
        ticket = f"ticket {item.ticket}, " if item.ticket else ""
        self._terminal.rows = [*self._rows.values(), self._all]
        self.note(f"{number}  {item.name}: {ticket}{item.status}{_ending(item)}")

    def note(self, sentence: str) -> None:
        self._terminal.line(sentence)

    def moving(self, item: Item, state: str, share: float) -> None:
        """Show the stage ``state`` of an image, and the fraction of it that is done, 0 to 1."""
        row = self._rows.setdefault(item.name, Row(""))
        row.text, row.share = f"{item.name}: {state}", share
        self._show()

    def _show(self) -> None:
        self._terminal.rows = [*self._rows.values(), self._all]
        self._terminal.draw()


class ItemWatcher:
    """The Watcher of one image of a batch; its notes are shown with the image's name."""

    def __init__(self, item: Item, screen: BatchScreen) -> None:
        self._item = item
        self._screen = screen
        self._stage = ""

    def note(self, text: str) -> None:
        self._screen.note(f"{self._item.name}: {text}")

    def stage(self, name: str) -> None:
        self._stage = name
        self._screen.moving(self._item, name, 0.0)

    def moved(self, done_bytes: int, total_bytes: int) -> None:
        share = done_bytes / max(total_bytes, done_bytes, 1)
        self._screen.moving(self._item, self._stage, share)

    def created(self, ticket: int) -> None:
        self._item.ticket = ticket

    def submitted(self, ticket: int) -> None:
        pass

    def withdrawn(self, ticket: int) -> None:  # noqa: ARG002  (a Watcher)
        self._item.ticket = 0

    def polled(self, detail: Detail) -> None:
        if not detail.finished:
            self._screen.moving(self._item, state_of(detail), detail.progress)

    def expected(self, sentence: str) -> None:
        pass


def _ending(item: Item) -> str:
    if item.status == SUCCESS:
        volumes = ", ".join(f"{label.called} {label.volume_ml:.1f} ml" for label in item.labels)
        return f": {volumes}" if volumes else ""
    return f": {item.reason}" if item.reason else ""
