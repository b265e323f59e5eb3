"""What two transactions do to one ticket at the same time, and what is left when one is not committed."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import asyncpg
import pytest
from quart.typing import TestClientProtocol as Client

from dss_datastore import layout
from dss_portal.database.hidden_values import HiddenValues
from dss_portal.models import OutboxMessage, Status, Ticket
from dss_portal.tickets import deletions, submission
from support.portals import Portal, eventually, new_ticket, post, send_file, submitted_ticket, text

pytestmark = pytest.mark.stack

REFUSE_TO_COMMIT = """
CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE 'not now'; END $$ LANGUAGE plpgsql;
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON ticket DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse();
"""
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
async def other(database_url: str) -> AsyncIterator["asyncpg.Connection"]:
    """A connection beside those of the portal."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.mark.parametrize("name", ["a.itksnap", "a.nii"])
async def test_a_ticket_that_is_being_deleted_is_not_submitted(
    ann: Client, other: "asyncpg.Connection", name: str
) -> None:
    ticket_id = await new_ticket(ann)
    await send_file(ann, f"/api/tickets/{ticket_id}/files/input", name, b"<registry/>")
    async with other.transaction():
        await other.execute("UPDATE ticket SET status = 'deleted' WHERE id = $1", ticket_id)
        submitting = asyncio.create_task(
            post(ann, f"/api/tickets/{ticket_id}/status", status="ready")
        )
        await eventually(lambda: other.fetchval(WAITS), lambda waiting: waiting == 1)

    status, _ = await submitting

    assert status != 200
    assert (await Ticket.get(id=ticket_id)).status is Status.DELETED
    assert not await OutboxMessage.filter(type_name="TicketReady").exists()


async def test_a_ticket_that_is_being_deleted_is_not_retried(
    ann: Client, other: "asyncpg.Connection"
) -> None:
    ticket_id = await new_ticket(ann)  # never announced, so that nothing else waits for its row
    await other.execute("UPDATE ticket SET status = 'failed' WHERE id = $1", ticket_id)
    async with other.transaction():
        await other.execute("UPDATE ticket SET status = 'deleted' WHERE id = $1", ticket_id)
        retrying = asyncio.create_task(ann.get(f"/api/tickets/{ticket_id}/retry"))
        await eventually(lambda: other.fetchval(WAITS), lambda waiting: waiting == 1)

    assert (await retrying).status_code != 200

    assert (await Ticket.get(id=ticket_id)).status is Status.DELETED


async def test_a_submission_asks_the_database_seldom(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each statement costs the portal a quarter of a millisecond and more."""
    await portal.announce_service()
    ann = await portal.user()
    await submitted_ticket(ann)
    asked: list[str] = []
    is_of_a_request = ContextVar("is_of_a_request", default=False)  # not of a background task
    translate = HiddenValues._translate_exceptions

    async def noted(client: Any, act: Any, *args: Any) -> Any:
        if is_of_a_request.get():
            asked.append(" ".join(str(args[0]).split())[:60] if args else "BEGIN")
        return await translate(client, act, *args)

    monkeypatch.setattr(HiddenValues, "_translate_exceptions", noted)
    is_of_a_request.set(True)

    ticket_id = await new_ticket(ann)
    await send_file(ann, f"/api/tickets/{ticket_id}/files/input", "a.nii", b"x")
    await post(ann, f"/api/tickets/{ticket_id}/status", status="ready")

    assert 0 < len(asked) <= 12, asked
    assert await OutboxMessage.filter(ticket_id=ticket_id).exists() or await Ticket.exists(
        id=ticket_id, announced_at__isnull=False
    )


async def test_a_planned_deletion_that_is_not_committed_leaves_the_files_to_its_undoing(
    portal: Portal, ann: Client, other: "asyncpg.Connection"
) -> None:
    ticket_id = await submitted_ticket(ann)
    user = (await Ticket.get(id=ticket_id).select_related("user")).user
    await deletions.plan(ticket_id, user, after_s=-1)
    await other.execute(REFUSE_TO_COMMIT)

    assert await deletions.delete_due(portal.components.datastore) == 0

    await other.execute("DROP TRIGGER refuse ON ticket")
    await deletions.undo(ticket_id, user)
    assert await text(ann, f"/api/tickets/{ticket_id}/files/input/0") == "<registry/>"


async def test_a_ticket_that_cannot_be_deleted_stops_no_other_planned_deletion(
    portal: Portal, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = [await submitted_ticket(ann) for _ in range(2)]
    forget = submission.forget

    async def broken(ticket: Ticket) -> None:
        if ticket.id == tickets[0]:
            raise ValueError("a row that nobody foresaw")
        await forget(ticket)

    monkeypatch.setattr(submission, "forget", broken)
    for number in tickets:
        user = (await Ticket.get(id=number).select_related("user")).user
        await deletions.plan(number, user, after_s=-1)

    assert await deletions.delete_due(portal.components.datastore) == 1

    assert (await Ticket.get(id=tickets[1])).status is Status.DELETED


async def test_many_tickets_that_cannot_be_deleted_leave_room_for_the_others(
    portal: Portal, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletions, "PAGE_TICKETS", 2)
    tickets = [await submitted_ticket(ann) for _ in range(4)]
    forget = submission.forget

    async def broken(ticket: Ticket) -> None:
        if ticket.id != tickets[-1]:
            raise ValueError("a row that nobody foresaw")
        await forget(ticket)

    monkeypatch.setattr(submission, "forget", broken)
    user = (await Ticket.get(id=tickets[0]).select_related("user")).user
    for number in tickets:
        await deletions.plan(number, user, after_s=-1)

    assert await deletions.delete_due(portal.components.datastore) == 1

    assert (await Ticket.get(id=tickets[-1])).status is Status.DELETED


async def test_a_deletion_that_is_not_committed_leaves_the_files(
    portal: Portal, ann: Client, other: "asyncpg.Connection"
) -> None:
    ticket_id = await submitted_ticket(ann)
    await other.execute(REFUSE_TO_COMMIT)

    assert (await ann.get(f"/api/tickets/{ticket_id}/delete")).status_code >= 500

    folder = portal.datastore / layout.area_dir(ticket_id, "input")
    assert [file.name for file in folder.iterdir()] == ["a.itksnap"]
    await other.execute("DROP TRIGGER refuse ON ticket")
    assert await text(ann, f"/api/tickets/{ticket_id}/delete") == "deleted"
    assert not folder.exists()
