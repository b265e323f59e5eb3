"""What a portal's own looks at the database cost on a site with years of tickets.

``python tests/bench/bench_large_site.py``: the list that every client asks for again and again, against
the same list made of objects; and a round of the janitor, against one without the index on the history.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import asyncpg
import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from dss_portal import database
from dss_portal.accounts import store as accounts
from dss_portal.datastore import Datastore
from dss_portal.models import Service, Status, Ticket
from dss_portal.tickets import cleanup, store
from dss_stack.postgres import PostgresCluster
from support import commands
from support.stacks import leave_nothing_running

ROUNDS = 15

_FILL = """
INSERT INTO ticket (status, attempt, created_at, service_id, user_id, announcements)
    SELECT 'success', 1, now() - interval '1 year', $1, $2, 1 FROM generate_series(1, $3)"""

_HISTORY = """
INSERT INTO ticket_history (status, at, ticket_id)
    SELECT step, now() - interval '1 year', ticket.id
    FROM ticket, unnest(ARRAY['init', 'ready', 'claimed', 'success']) AS step"""

_INDEX = """
SELECT indexname FROM pg_indexes WHERE tablename = 'ticket_history' AND indexdef LIKE '%(at)'"""


def bench(
    tickets: Annotated[int, typer.Option(help="Of the whole site.", min=1)] = 300_000,
    own: Annotated[int, typer.Option(help="Of the user who looks at the list.", min=1)] = 300,
) -> None:
    leave_nothing_running()
    with tempfile.TemporaryDirectory(prefix="dss-bench-") as name:
        postgres = PostgresCluster(Path(name) / "postgres")
        try:
            postgres.start()
            asyncio.run(_compare(postgres.database_url, Path(name), tickets, own))
        finally:
            postgres.stop()


async def _compare(url: str, folder: Path, tickets: int, own: int) -> None:
    await database.migrate_to_latest(url)
    datastore = Datastore(folder / "datastore", 1)
    await datastore.prepare()
    async with database.connected(url):
        user_id = await _fill(url, tickets, own)
        rows_s = await _seconds(lambda: _listed(user_id))
        objects_s = await _seconds(lambda: _listed_as_objects(user_id))
        _tell(f"list of {own} tickets", ("rows", rows_s), ("objects", objects_s))
        with_s = await _seconds(lambda: cleanup.clean_ended(datastore))
        await _drop_index(url)
        without_s = await _seconds(lambda: cleanup.clean_ended(datastore))
        what = f"janitor, {tickets} tickets"
        _tell(what, ("with the index", with_s), ("without", without_s))


async def _fill(url: str, tickets: int, own: int) -> int:
    """The id of the user with ``own`` tickets."""
    await accounts.make_tiers()
    ann, rest = [await accounts.save_user(f"{name}@example.com") for name in ("ann", "rest")]
    service = await Service.create(
        githash="h", name="lungs", version="1", shortdesc="Lungs", descriptor={}
    )
    connection = await asyncpg.connect(url)
    try:
        for user, count in ((ann, own), (rest, tickets - own)):
            await connection.execute(_FILL, service.id, user.id, count)
        await connection.execute(_HISTORY)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
    return int(ann.id)


async def _drop_index(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'DROP INDEX "{await connection.fetchval(_INDEX)}"')
    finally:
        await connection.close()


async def _listed(user_id: int) -> int:
    return sum([len(rows) async for rows in store.listed(user_id)])


async def _listed_as_objects(user_id: int) -> list[tuple[int, str, str]]:
    own = Ticket.filter(user_id=user_id).exclude(status=Status.DELETED)
    found = await own.order_by("id").select_related("service")
    return [(ticket.id, ticket.service.name, ticket.status.value) for ticket in found]


async def _seconds(look: Callable[[], Awaitable[object]]) -> float:
    """Median of ROUNDS, after one that warms up."""
    await look()
    taken: list[float] = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        await look()
        taken.append(time.perf_counter() - began_s)
    return median(taken)


def _tell(what: str, *sides: tuple[str, float]) -> None:
    (name, seconds), (other, other_s) = sides
    times = f"{name} {seconds * 1e3:.1f} ms, {other} {other_s * 1e3:.1f} ms"
    typer.echo(f"{what:26}{times}; ratio {other_s / seconds:.1f}")


if __name__ == "__main__":
    commands.run(bench)
