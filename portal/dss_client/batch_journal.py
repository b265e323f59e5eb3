"""The tables in the folder of a batch: the state of each image in ``results.csv``, and the measured volumes in
``volumes.csv``.

``results.csv`` is written after each change, so that the same command can continue an earlier run.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from dss_client.batch_items import (
    LEFT_OUT,
    NOT_DOWNLOADED,
    REFUSED,
    SUBMITTED,
    SUCCESS,
    WAITING,
    Item,
)
from dss_client.errors import ClientError
from dss_workspace.cells import cell

RESULTS = "results.csv"
VOLUMES = "volumes.csv"
_RECALLED = {
    SUBMITTED: SUBMITTED,
    SUCCESS: SUCCESS,
    NOT_DOWNLOADED: SUBMITTED,
    WAITING: WAITING,
    REFUSED: WAITING,
}
"""The state in which a later run continues an item, by the item's state in ``results.csv``.  An item with another
state, such as a failed one, is sent again.
"""
_ERRORS = "surrogateescape"
"""Error handler for file names that are not UTF-8: their bytes are written into the table unchanged."""
_COLUMNS = (
    *("name", "source", "series", "service", "ticket", "status", "reason", "segmentations"),
    *("workspace", "uid", "content", "server", "options", "key"),
)
_VOLUME_COLUMNS = ("name", "value", "label", "ml", "segmentation")
_NEWER = {
    *("service", "uid", "content", "server", "options", "key"),
    *("segmentations", "workspace"),
}
"""Columns that are missing in tables of earlier versions."""


def _content_in(row: Mapping[str, str]) -> str:
    """The content of a row's image.  Earlier versions wrote "1 files"."""
    content = row.get("content") or ""
    return content.replace("1 files,", "1 file,", 1) if content.startswith("1 files,") else content


class Journal:
    """Reads and writes ``results.csv`` and ``volumes.csv`` in ``folder``, which is created if it is missing.
    ``unsent`` are files that are not sent and only have a row in ``results.csv``.

    ``server`` is the address to which the batch is sent, and ``options`` are those that change its results, as text.
    """

    def __init__(
        self, folder: Path, unsent: Sequence[Item] = (), *, server: str, options: str = ""
    ) -> None:
        self._folder = folder
        self._unsent = unsent
        self._sent = {"server": server.rstrip("/"), "options": options}
        self._others: list[dict[str, str]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def recall(self, items: Sequence[Item]) -> list[Item]:
        """Set the ticket and the state of items to which an earlier run gave a ticket; see _RECALLED.  An item keeps the
        name that the earlier run gave it.  Returns the items whose files have changed since; these are sent again.

        If that run ended before it knew whether a ticket was submitted, the item gets the ticket's number, or the key
        with which the ticket was requested, and stays in the state WAITING.  Rows about other images stay in the table.  Raises ClientError if the row with an item's
        name is about another image, server or other options, or if the file is no table of a batch.
        """
        before = {row["name"]: row for row in self._rows() if row["status"] != LEFT_OUT}
        _name_as_before(items, before)
        own = {item.name for item in items}
        self._others = [row for name, row in before.items() if name not in own]
        changed = []
        for item in items:
            row = before.get(item.name)
            if row is None:
                continue
            self._require_own(row, item)
            state = _RECALLED.get(row["status"])
            is_same = (_content_in(row) or item.content) == item.content
            if row["status"] == WAITING and is_same:
                item.key = row.get("key") or ""
            if state is None or not row["ticket"].isdigit():
                continue
            if not is_same:
                changed.append(item)
            else:
                item.ticket, item.status = int(row["ticket"]), state
                item.segmentations = row.get("segmentations") or ""
                item.workspace = row.get("workspace") or ""
        return changed

    def _require_own(self, row: dict[str, str], item: Item) -> None:
        """Raises ClientError unless ``row`` is about the image, the server and the options of ``item``."""
        wanted = {**_identity(item), **self._sent}
        if item.uid and row.get("uid") == item.uid:
            del wanted["series"]  # its number may have changed
        for column, value in wanted.items():
            found = row.get(column)
            if found is not None and found != value:
                what = f" ({column}: {found or 'none'})" if column in self._sent else ""
                raise ClientError(
                    f"{self._folder / RESULTS} is the table of another batch{what}; name a new folder with --output."
                )

    def write(self, items: Sequence[Item]) -> None:
        rows = [
            (
                i.name,
                str(i.source.resolve()),
                i.series,
                i.service,
                i.ticket or "",
                i.status,
                cell(i.reason),
                i.segmentations,
                i.workspace,
                i.uid,
                i.content,
                *self._sent.values(),
                i.key,
            )
            for i in (*items, *self._unsent)
        ]
        others = [[row.get(column, "") for column in _COLUMNS] for row in self._others]
        self._replace(RESULTS, [_COLUMNS, *others, *rows])

    def write_volumes(self, items: Sequence[Item]) -> None:
        """Write the volumes that this run has measured.  Volumes of other items from earlier runs stay in the table."""
        rows = [
            (item.name, label.value, cell(label.name), label.volume_ml, cell(label.segmentation))
            for item in items
            for label in item.labels
        ]
        other_rows = self._volumes_but_of({item.name for item in items if item.labels})
        self._replace(VOLUMES, [_VOLUME_COLUMNS, *other_rows, *rows])

    def _rows(self) -> list[dict[str, str]]:
        try:
            with (self._folder / RESULTS).open(
                newline="", encoding="utf-8", errors=_ERRORS
            ) as file:
                rows = list(csv.DictReader(file))
        except FileNotFoundError:
            return []
        if any(set(row) | _NEWER != set(_COLUMNS) for row in rows):
            raise ClientError(
                f"{self._folder / RESULTS} is no table of a batch; name another folder."
            )
        return rows

    def _volumes_but_of(self, names: set[str]) -> list[tuple[str, ...]]:
        try:
            with (self._folder / VOLUMES).open(
                newline="", encoding="utf-8", errors=_ERRORS
            ) as file:
                read = [row for row in list(csv.reader(file))[1:] if row and row[0] not in names]
                lacking = [""] * len(_VOLUME_COLUMNS)
                return [tuple((row + lacking)[: len(_VOLUME_COLUMNS)]) for row in read]
        except FileNotFoundError:
            return []

    def _replace(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        draft = self._folder / f".{name}"
        with draft.open("w", newline="", encoding="utf-8", errors=_ERRORS) as file:
            csv.writer(file).writerows(rows)
        draft.replace(self._folder / name)


def _name_as_before(items: Sequence[Item], before: Mapping[str, Mapping[str, str]]) -> None:
    """Give each item the name under which ``before`` has its image, unless another item has that name.

    Names depend on the other images of the batch, and on the version of this program.
    """
    earlier = {_key(row): name for name, row in before.items()}
    own = {item.name for item in items}
    for item in items:
        found = earlier.get(_key(_identity(item)))
        if found is not None and item.name not in before and found not in own:
            item.name = found
            own.add(found)


def _key(row: Mapping[str, str]) -> tuple[str | None, ...]:
    """Equal for rows about the same image and service.  The number of a series counts only without a UID, because it
    changes when the folder gets other series.
    """
    uid = row.get("uid", "")
    return row["source"], "" if uid else row["series"], row.get("service"), uid


def _identity(item: Item) -> dict[str, str]:
    """The columns that identify the image and the service of a row."""
    return {
        "source": str(item.source.resolve()),
        "series": item.series,
        "service": item.service,
        "uid": item.uid,
    }
