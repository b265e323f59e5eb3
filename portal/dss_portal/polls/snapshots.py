"""The encoded responses to polls, cached in memory until a change makes them outdated.

More than 300 lines: the queries and the encodings of all polls stand beside the one class that caches them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tortoise.connection import get_connection

from dss_portal.changes.reading import Change, Subject
from dss_portal.formats import Cell, csv_text
from dss_portal.models import Status
from dss_portal.polls.cache import Cache
from dss_portal.services import store as services
from dss_portal.tickets import progress, queue_places, store, views

MOST_TICKETS = 50_000
MOST_LISTS = 5_000
LONGEST_BYTES = 64 * 1024
"""Responses that are longer are not cached; the framework sends them in pieces."""
LARGEST_BYTES = 64 * 2**20
"""Limit in bytes on the total size of the cached responses with state and log; when it is exceeded, those of the least
recently polled tickets are removed.
"""
LIST_ROWS = 1000

TICKET_COLUMNS = ("id", "service", "status")
SERVICE_COLUMNS = ("name", "githash", "version", "shortdesc")

_TICKET = """
SELECT ticket.user_id AS owner, ticket.status, service.name AS service,
    coalesce((SELECT max(id) FROM ticket_log WHERE ticket_id = ticket.id), 0) AS last_line,
    ARRAY(SELECT ARRAY[chunk_start, chunk_end, progress] FROM ticket_progress
        WHERE ticket_id = ticket.id ORDER BY id) AS parts
FROM ticket JOIN service ON service.id = ticket.service_id WHERE ticket.id = $1
"""

_LIST = f"""
SELECT ticket.id, service.name, ticket.status FROM ticket JOIN service ON service.id = ticket.service_id
WHERE ticket.user_id = $1 AND ticket.status <> 'deleted' ORDER BY ticket.id LIMIT {LIST_ROWS + 1}
"""  # noqa: S608 - a number of ours

_LINES = f"""
SELECT id, at, category, message, ARRAY(SELECT ARRAY[id::text, description, mime_type, public_id] FROM attachment
    WHERE ticket_id = $1 AND log_id = ticket_log.id ORDER BY id) AS attachments
FROM ticket_log WHERE ticket_id = $1 AND id > $2 ORDER BY id LIMIT {store.PAGE_LINES + 1}
"""  # noqa: S608 - a number of ours


@dataclass(slots=True)
class SnapshotPart:
    chunk_start: float
    chunk_end: float
    progress: float


@dataclass(slots=True)
class SnapshotEntry:
    id: int
    at: datetime
    category: str
    message: str


@dataclass(slots=True)
class SnapshotAttachment:
    id: int
    description: str
    mime_type: str
    public_id: str


@dataclass(slots=True)
class SnapshotLine:
    entry: SnapshotEntry
    attachments: Sequence[SnapshotAttachment]


@dataclass(kw_only=True)
class TicketSnapshot:
    """The state of a ticket as it was last read.  ``owner`` is its user; ``last_line`` is the id of its last log line,
    0 if there is none.

    ``details`` are the encoded responses with state and log, by the value of ``since``: each contains the log lines
    with ids above it.  Those of a waiting ticket contain its place in the queue, so they are valid only while
    ``queue_version`` equals that of the Snapshots.
    """

    number: int
    owner: int
    status: Status
    service: str
    progress: float
    last_line: int
    queue_version: int
    details: dict[int, bytes] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.details.values()))


class Snapshots:
    """The cached responses of one portal process.  The argument ``keep`` of its methods is False while the feed does
    not report all changes in time; then they read the database and cache nothing.
    """

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url
        self._tickets: Cache[int, TicketSnapshot] = Cache(MOST_TICKETS, self._uncount)
        self._lists: Cache[tuple[int, bool], bytes] = Cache(MOST_LISTS)
        self._services: Cache[bool, bytes] = Cache(2)
        self._queue_version = 0
        self._bytes = 0

    async def ticket(self, number: int, *, keep: bool) -> TicketSnapshot | None:
        """The snapshot of the ticket with that number; None if there is no such ticket.  With ``keep``, a cached one, or
        one that is read and cached; without, it is read from the database and not cached.
        """
        if not keep:
            return await self._load_ticket(number)
        found = self._tickets.get(number)
        return found or await self._tickets.load(number, lambda: self._load_ticket(number))

    async def detail(self, ticket: TicketSnapshot, since: int) -> bytes | None:
        """The encoded response (JSON) with the state, the progress and the log lines with ids above ``since``.  It is
        kept in ``ticket``.  None if it is longer than LONGEST_BYTES or has more than ``store.PAGE_LINES`` lines.
        """
        since = min(since, ticket.last_line)
        if ticket.status is Status.READY and ticket.queue_version != self._queue_version:
            ticket.queue_version = self._queue_version
            if self._tickets.holds(ticket.number, ticket):
                self._uncount(ticket)
            ticket.details = {}
        details = ticket.details
        found = details.get(since)
        if found is None:
            found = await self._detail(ticket, since)
            if found is not None and details is ticket.details:
                self._store(ticket, since, found)
        return found

    async def list(self, user_id: int, *, wants_json: bool, keep: bool) -> bytes | None:
        """The encoded response, JSON or CSV, with the list of the user's tickets that are not deleted; None if there are
        more than LIST_ROWS, or if it is longer than LONGEST_BYTES.  With ``keep``, from the cache or cached; without, it
        is read from the database and not cached.
        """
        if not keep:
            return await _list(user_id, wants_json=wants_json)
        key = (user_id, wants_json)
        found = self._lists.get(key)
        if found is None:
            found = await self._lists.load(key, lambda: _list(user_id, wants_json=wants_json))
        return found

    async def services(self, *, wants_json: bool, keep: bool) -> bytes | None:
        """The encoded response, JSON or CSV, with the list of services that take tickets; None if it is longer than
        LONGEST_BYTES.  With ``keep``, from the cache or cached; without, it is read from the database and not cached.
        """
        if not keep:
            return await _services(wants_json=wants_json)
        found = self._services.get(wants_json)
        if found is None:
            found = await self._services.load(wants_json, lambda: _services(wants_json=wants_json))
        return found

    def apply(self, change: Change) -> None:
        """Invalidate the responses that ``change`` makes outdated: those about the ticket; all for a changed service;
        those with places in queues for a changed user or tier.
        """
        match change.subject:
            case Subject.STATE:
                self.forget_ticket(change.number, change.owner)
            case Subject.TICKET:
                self.forget_ticket(change.number, of_state=False)
            case Subject.SERVICE:
                self.forget_all()
            case Subject.USER | Subject.TIER:
                self._queue_version += 1

    def forget_ticket(
        self, number: int, owner: int | None = None, *, of_state: bool = True
    ) -> None:
        """Invalidate the responses about a ticket.  With ``of_state``, the ticket's state has changed, so the list of
        its owner and all places in queues are invalidated as well.

        ``owner`` is the id of the ticket's user.  If it is None and the ticket is not cached, the lists of all users
        are invalidated.
        """
        if not of_state:
            self._tickets.forget(number)
            return
        known = self._tickets.get(number)
        owner = known.owner if owner is None and known is not None else owner
        self._tickets.forget(number)
        self._queue_version += 1
        if owner is None:
            self._lists.forget_all()
        else:
            self.forget_list(owner)

    def forget_list(self, user_id: int) -> None:
        for wants_json in (False, True):
            self._lists.forget((user_id, wants_json))

    def forget_all(self) -> None:
        self._queue_version += 1
        self._tickets.forget_all()
        self._lists.forget_all()
        self._services.forget_all()

    async def _load_ticket(self, number: int) -> TicketSnapshot | None:
        queue_version = self._queue_version
        row = await _first_row(_TICKET, [number])
        if row is None:
            return None
        status = Status(row["status"])
        return TicketSnapshot(
            number=number,
            owner=row["owner"],
            status=status,
            service=row["service"],
            progress=progress.shown(status, (SnapshotPart(*part) for part in row["parts"])),
            last_line=row["last_line"],
            queue_version=queue_version,
        )

    async def _detail(self, ticket: TicketSnapshot, since: int) -> bytes | None:
        lines: list[dict[str, Any]] = []
        if since < ticket.last_line:
            lines = await _rows(_LINES, [ticket.number, since])
            if len(lines) > store.PAGE_LINES:
                return None
        place = None
        if ticket.status is Status.READY:
            place = await queue_places.place_of(ticket.service, ticket.number)
        begin, end = views.detail_around_log(ticket.status, ticket.progress, place)
        shown = [views.log_object(_log_line(row), self._public_url) for row in lines]
        return _kept(begin + json.dumps(shown)[1:-1] + end)

    def _store(self, ticket: TicketSnapshot, since: int, response: bytes) -> None:
        """Keep the response in ``ticket``, and count its bytes if the ticket is still cached.  Two requests may have
        made the same response.
        """
        if self._tickets.holds(ticket.number, ticket):
            self._bytes += len(response) - len(ticket.details.get(since, b""))
        ticket.details[since] = response
        while self._bytes > LARGEST_BYTES and self._tickets.forget_oldest():
            pass

    def _uncount(self, ticket: TicketSnapshot) -> None:
        self._bytes -= ticket.size_bytes


async def _rows(statement: str, values: Sequence[object]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = await get_connection("default").execute_query_dict(
        statement, list(values)
    )
    return rows


async def _first_row(statement: str, values: Sequence[object]) -> dict[str, Any] | None:
    rows = await _rows(statement, values)
    return rows[0] if rows else None


def _log_line(row: dict[str, Any]) -> SnapshotLine:
    """A line of the log from a row of _LINES."""
    return SnapshotLine(
        entry=SnapshotEntry(row["id"], row["at"], row["category"], row["message"]),
        attachments=[SnapshotAttachment(int(n), *words) for n, *words in row["attachments"]],
    )


async def _list(user_id: int, *, wants_json: bool) -> bytes | None:
    rows = await get_connection("default").execute_query_dict(_LIST, [user_id])
    if len(rows) > LIST_ROWS:
        return None
    if not wants_json:
        return _kept(_list_as_csv(rows))
    return _kept(_list_as_json(rows))


def _list_as_json(rows: Sequence[dict[str, Any]]) -> str:
    """The same text as that of ``_table``, made as that of ``_list_as_csv``."""
    ends: dict[tuple[str, str], str] = {}
    shown = []
    for row in rows:
        key = (row["name"], row["status"])
        end = ends.get(key)
        if end is None:
            text = json.dumps(dict(zip(TICKET_COLUMNS, (0, *key), strict=True)))
            end = ends[key] = text.removeprefix('{"id": 0')
        shown.append(f'{{"id": {row["id"]}{end}')
    return f'{{"result": [{", ".join(shown)}]}}'


def _list_as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The same text as that of ``csv_text``.  What follows the ticket's number is the same for many rows, and is
    formatted once.
    """
    ends: dict[tuple[str, str], str] = {}
    lines = []
    for row in rows:
        key = (row["name"], row["status"])
        end = ends.get(key)
        if end is None:
            end = ends[key] = csv_text([key])
        lines.append(f"{row['id']},{end}")
    return "".join(lines)


async def _services(*, wants_json: bool) -> bytes | None:
    found = await services.listed()
    cells = [(s.name, s.githash, s.version, s.shortdesc) for s in found]
    return _kept(_table(SERVICE_COLUMNS, cells, wants_json=wants_json))


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, wants_json: bool) -> str:
    """A table as the body of a response, in the same form as ``web.answers.table`` sends it."""
    if wants_json:
        return json.dumps({"result": [dict(zip(columns, row, strict=True)) for row in rows]})
    return csv_text(rows)


def _kept(text: str) -> bytes | None:
    encoded = text.encode()
    return encoded if len(encoded) <= LONGEST_BYTES else None
