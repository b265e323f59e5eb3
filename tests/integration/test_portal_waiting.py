"""A handler of the portal waits for a database that is away, and goes on when it is back."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest
from tortoise.transactions import in_transaction

from dss_broker.messages import ClaimSucceeded, ResultFile
from dss_datastore import layout
from dss_portal import consuming, database
from dss_portal.datastore import Datastore
from dss_portal.datastore.stored import content_of
from dss_portal.lifespan import prepare
from dss_portal.models import Ticket
from support.portals import (
    Portal,
    eventually,
    new_ticket,
    post,
    send_file,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack

MORE_THAN_THE_POOL_HAS = 30
AWAY = "The service cannot reach its files; please try again in a minute."


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.InternalClientError("cannot switch to state 15; another operation is in progress"),
        OSError(28, "No space left on device"),
        OSError(19, "The datastore is not there"),
    ],
)
async def test_an_outage_of_the_database_or_a_disk_is_waited_out(
    portal: Portal, error: Exception
) -> None:
    assert await consuming.is_temporary(error)


async def test_a_mistake_of_ours_is_not_waited_out(portal: Portal) -> None:
    assert not await consuming.is_temporary(KeyError("mistake"))


async def test_connections_that_die_before_a_transaction_begins_are_replaced(
    portal: Portal,
) -> None:
    unexpected = []
    for _ in range(MORE_THAN_THE_POOL_HAS):
        with ThreadPoolExecutor(1) as thread:  # this loop does not notice that its connections died
            thread.submit(asyncio.run, _terminate_others(portal)).result()
        try:
            async with in_transaction():
                await Ticket.all().count()
        except Exception as error:
            unexpected += [] if await database.is_temporary(error) else [error]

    assert unexpected == []
    await eventually(database.answers, bool)
    async with asyncio.timeout(10), in_transaction():
        assert await Ticket.all().count() == 0


async def _terminate_others(portal: Portal) -> None:
    connection = await asyncpg.connect(portal.settings.database_url.get_secret_value())
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


async def test_a_client_is_asked_to_wait_while_an_upgrade_has_not_made_the_functions_yet(
    portal: Portal,
) -> None:
    """A portal may start before the migration, beside those of the version before."""
    await portal.announce_service()
    ann = await portal.user()
    ticket = await new_ticket(ann)
    async with in_transaction() as connection:
        for function in ("new_ticket", "reserve_upload"):
            await connection.execute_query(f"DROP FUNCTION {function}")
        await connection.execute_query(
            "DELETE FROM tortoise_migrations WHERE name = '0019_few_statements'"
        )

    made = await post(ann, "/api/tickets", name="lung-segmentation")
    sent = await send_file(ann, f"/api/tickets/{ticket}/files/input", "ct.nii", b"voxels")

    later = (503, "This service is being set up; please try again in a minute.")
    assert (made, sent) == (later, later)


@pytest.fixture
async def ticket_id(portal: Portal) -> int:
    await portal.announce_service()
    return await submitted_ticket(await portal.user())


async def test_nothing_is_sent_to_or_read_from_a_mount_point_without_its_volume(
    portal: Portal, ticket_id: int
) -> None:
    ann = await portal.user()
    new = await new_ticket(ann)
    away = portal.datastore.rename(portal.datastore.with_name("away"))
    portal.datastore.mkdir()

    sent = await send_file(ann, f"/api/tickets/{new}/files/input", "ct.nii", b"voxels")
    fetched = await ann.get(f"/api/tickets/{ticket_id}/files/input/0")

    assert sent == (503, AWAY)
    assert (fetched.status_code, await fetched.get_data(as_text=True)) == (503, AWAY)
    assert list(portal.datastore.iterdir()) == []
    portal.datastore.rmdir()
    away.rename(portal.datastore)
    assert await text(ann, f"/api/tickets/{ticket_id}/files/input/0") == "<registry/>"


async def test_a_volume_that_goes_before_a_received_file_is_named_is_waited_for(
    portal: Portal, ticket_id: int
) -> None:
    """A chaos run met it: the file was missing, so the ticket failed."""
    datastore = Datastore(portal.datastore, 1000)
    report = portal.datastore / layout.attached_dir(ticket_id, "c1") / "found.csv"
    report.parent.mkdir(parents=True)
    report.write_text("number", encoding="utf-8")
    received, _ = await datastore.take_attached(ticket_id, "c1", "found.csv")
    away = portal.datastore.rename(portal.datastore.with_name("away"))

    with pytest.raises(OSError, match="not there") as gone:
        await datastore.keep(received, "kept.csv")

    assert await consuming.is_temporary(gone.value)
    away.rename(portal.datastore)
    await datastore.keep(received, "kept.csv")
    assert content_of(await datastore.attachment(ticket_id, "kept.csv")) == b"number"


async def test_a_success_that_finds_the_datastore_away_is_published_when_it_is_back(
    portal: Portal, ticket_id: int
) -> None:
    claim = await portal.granted(ticket_id)
    folder = portal.datastore / layout.staging_dir(ticket_id, claim.claim_id)
    folder.mkdir(parents=True)
    (folder / "w.itksnap").write_bytes(b"w")
    away = portal.datastore.rename(portal.datastore.with_name("away"))
    found = ResultFile(name="w.itksnap", size_bytes=1, sha256="")
    done = ClaimSucceeded(ticket_id=ticket_id, claim_id=claim.claim_id, files=(found,))
    await portal.tell(done)
    await asyncio.sleep(0.5)

    away.rename(portal.datastore)

    ann = await portal.user()
    status = f"/api/tickets/{ticket_id}/status"
    await eventually(lambda: text(ann, status), lambda now: now == "success")
    assert await text(ann, f"/api/tickets/{ticket_id}/files/results/0") == "w"


@pytest.mark.usefixtures("ticket_id")
async def test_a_portal_takes_a_mount_point_without_its_volume_for_no_fresh_site(
    portal: Portal,
) -> None:
    away = portal.datastore.rename(portal.datastore.with_name("away"))
    portal.datastore.mkdir()

    starting = asyncio.create_task(prepare(Datastore(portal.datastore, 1)))
    await asyncio.sleep(1.5)

    assert not starting.done()
    assert list(portal.datastore.iterdir()) == []
    portal.datastore.rmdir()
    away.rename(portal.datastore)
    await asyncio.wait_for(starting, 60)


async def test_on_a_fresh_site_the_portal_makes_the_datastore(
    portal: Portal, tmp_path: Path
) -> None:
    assert portal.datastore.is_dir()
    fresh = Datastore(tmp_path / "fresh", 1)

    await prepare(fresh)

    assert not await fresh.problem()
