# mypy: allow-untyped-calls
# (SimpleITK ships no types)
"""What a run has left behind, read from outside: database, queues and files."""

import asyncio
import json
import tempfile
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import asyncpg
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from chaos.cases import Voxels
from chaos.site import Site
from chaos.told import Delivery
from dss_broker.topology import DEAD_QUEUE, DEATH_EXCHANGE, REPLY_EXCHANGE
from dss_datastore import layout
from support.databases import number_from


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A row with what belongs to it; ``history`` and ``claims`` in their order, times in seconds since 1970.

    ``files`` are those that clients are shown, attachments too, as paths in the datastore; ``links`` are the paths under
    which programs of release 0.1.0 look for them.
    """

    number: int
    status: str
    claim_id: str | None
    history: list[tuple[str, float]] = field(default_factory=list)
    claims: list[tuple[str, float]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)

    @property
    def of_last_claim(self) -> list[str]:
        """The log since it was claimed for the last time."""
        claimed = [n for n, line in enumerate(self.log) if line.startswith(CLAIMED)]
        return self.log[claimed[-1] :] if claimed else []

    @property
    def ended_s(self) -> float | None:
        """When it came to its end, if it did."""
        ends = [at for status, at in self.history if status in TERMINAL]
        return ends[-1] if ends else None


CLAIMED = "Ticket claimed by"
TERMINAL = frozenset({"success", "failed", "timeout", "deleted"})


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """``labels`` are the segmentations (z, y, x) that users would download; ``queued`` are the messages
    by queue, ``dead`` the tickets of the dead letters; ``strays`` are files and folders that belong to
    nothing, ``gone`` files that clients are shown and that are not there.  ``untold`` counts the notifications that
    wait or were set aside.
    """

    tickets: dict[int, Ticket]
    labels: dict[int, Voxels]
    outbox: int
    queued: dict[str, int]
    dead: list[int]
    strays: list[str]
    gone: list[str] = field(default_factory=list)
    untold: int = 0
    deliveries: list[Delivery] = field(default_factory=list)


def holds_work(queue: Mapping[str, object]) -> bool:
    """Not what waits for an operator, nor what programs that were killed leave, which expires: marks and replies."""
    name = str(queue["name"])
    if name.startswith(f"{REPLY_EXCHANGE}."):
        return bool(queue.get("consumers"))
    return name != DEAD_QUEUE and not name.startswith(f"{DEATH_EXCHANGE}.")


def gather(site: Site) -> Evidence:
    url = site.postgres.database_url
    tickets, outbox = asyncio.run(_from_database(url))
    queued = {q["name"]: int(q["messages"]) for q in site.queues() if holds_work(q)}
    places = site.store.places()
    return Evidence(
        tickets=tickets,
        labels={n: _labels(site, t) for n, t in tickets.items() if t.status == "success"},
        outbox=outbox,
        queued={name: n for name, n in queued.items() if n},
        dead=[json.loads(letter["payload"])["ticket_id"] for letter in site.dead_letters()],
        strays=strays(places, tickets),
        gone=_gone(places, tickets),
        untold=asyncio.run(number_from(url, "SELECT count(*) FROM notification")),
        deliveries=site.receivers.deliveries(),
    )


def open_tickets(site: Site) -> int:
    """How many were submitted and have not come to an end."""
    statement = "SELECT count(*) FROM ticket WHERE status IN ('ready', 'claimed')"
    return asyncio.run(number_from(site.postgres.database_url, statement))


async def _from_database(url: str) -> tuple[dict[int, Ticket], int]:
    """As of one moment: the portals may be at work."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        rows = await connection.fetch("SELECT id, status, claim_id FROM ticket")
        tickets = {
            r["id"]: Ticket(number=r["id"], status=r["status"], claim_id=r["claim_id"])
            for r in rows
        }
        for r in await connection.fetch("SELECT * FROM ticket_history ORDER BY id"):
            tickets[r["ticket_id"]].history.append((r["status"], r["at"].timestamp()))
        for r in await connection.fetch("SELECT * FROM claim ORDER BY granted_at"):
            tickets[r["ticket_id"]].claims.append((r["id"], r["granted_at"].timestamp()))
        for r in await connection.fetch("SELECT * FROM ticket_log ORDER BY id"):
            tickets[r["ticket_id"]].log.append(r["message"])
        for r in await connection.fetch("SELECT * FROM ticket_file"):
            place = f"{r['folder']}/{r['name']}".lstrip("/")
            path = str(layout.file_path(r["ticket_id"], r["area"], place))
            link = layout.area_dir(r["ticket_id"], r["area"]) / r["name"]
            tickets[r["ticket_id"]].files.add(path)
            tickets[r["ticket_id"]].links.add(str(link))
            if r["area"] == "results":
                tickets[r["ticket_id"]].published.append(path)
        for r in await connection.fetch("SELECT * FROM attachment"):
            folder = layout.attachments_dir(r["ticket_id"])
            tickets[r["ticket_id"]].files.add(str(folder / r["file_name"]))
        return tickets, int(await connection.fetchval("SELECT count(*) FROM outbox"))
    finally:
        await connection.close()


def _labels(site: Site, ticket: Ticket) -> Voxels:
    (place,) = (p for p in map(PurePosixPath, ticket.published) if p.name.startswith("seg_"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, place.name)
        path.write_bytes(site.store.content(str(place)))
        found: Voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return found


def _gone(places: Set[str], tickets: dict[int, Ticket]) -> list[str]:
    """The links of a deleted ticket's attachments lead nowhere on purpose."""
    kept = [ticket for ticket in tickets.values() if ticket.status != "deleted"]
    return sorted(path for t in kept for path in t.files - places)


def strays(places: Set[str], tickets: dict[int, Ticket]) -> list[str]:
    """Of the files and folders of a datastore, those that belong to nothing."""
    return sorted({left for place in places if (left := _left(place, tickets))})


def _left(place: str, tickets: dict[int, Ticket]) -> str:
    """The stray that ``place`` is or lies in; "" if it belongs to its ticket.

    Of a ticket that has ended, all that nobody is shown, but for the links for earlier portals; of others, what broke
    off.
    """
    parts = PurePosixPath(place).parts
    own = str(PurePosixPath(*parts[:2]))
    ticket = tickets.get(int(parts[1]))
    if ticket is None or ticket.status == "deleted":
        return own
    if ticket.status not in TERMINAL:
        return place if any(part.endswith(".part") for part in parts) else ""
    if parts[2:3] == ("work",):
        return f"{own}/work"
    return "" if place.endswith("/") or place in ticket.files | ticket.links else place
