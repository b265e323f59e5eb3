"""Items that fail in every round of the portal, at the front of what the round reads, hold up none of those behind."""

import json

import pytest
from quart.typing import TestClientProtocol as Client
from tortoise.connection import get_connection

from dss_portal.intake import rounds
from dss_portal.intake import store as intakes
from dss_portal.intake.states import State
from dss_portal.models import Intake, Status, Ticket
from dss_portal.tickets import deadlines
from support.portals import LONG_AGO, Portal, new_ticket, send_file

pytestmark = pytest.mark.stack

MALFORMED = "{"
READ = json.dumps([{"folder": "gone/1", "files": [{"name": "a.nii.gz", "size_bytes": 1}]}])
REQUEST = json.dumps({"files": [{"name": "a.nii.gz", "size_bytes": 1}]})

# A ticket named "sick" cannot be changed any more.
_REFUSING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON ticket FOR EACH ROW WHEN (OLD.title = 'sick') EXECUTE FUNCTION refuse();
"""

# More uploads of one user than a round once looked at.
_WAITING = """
WITH made AS (
    INSERT INTO ticket (user_id, service_id, status, created_at, uploaded_at)
        SELECT $1, $2, 'init', now(), now() FROM generate_series(1, 5001) RETURNING id
)
INSERT INTO intake (ticket_id, attempt_id, state, request) SELECT id, '1', 'waiting', '' FROM made
"""


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


async def make_sick(*tickets: int) -> None:
    await get_connection("default").execute_script(_REFUSING)
    await Ticket.filter(id__in=tickets).update(title="sick")


async def intake(client: Client, state: State, request: str = REQUEST, images: str = "[]") -> int:
    """The number of a ticket with an intake in that state, and with a workspace, so that it can be submitted."""
    number = await new_ticket(client)
    await send_file(client, f"/api/tickets/{number}/files/input", "a.itksnap", b"<registry/>")
    await Intake.create(
        ticket_id=number,
        attempt_id=str(number),
        state=state,
        request=request,
        images=images,
        asked_at=LONG_AGO,
    )
    return number


async def test_tickets_that_cannot_be_ended_do_not_keep_others_from_their_deadline(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "PAGE_NUMBERS", 2)
    *sick, sound = [await new_ticket(client) for _ in range(4)]
    await Ticket.all().update(created_at=LONG_AGO)
    await make_sick(*sick)

    await portal.sweep()

    assert (await Ticket.get(id=sound)).status is Status.TIMEOUT
    assert {t.status for t in await Ticket.filter(id__in=sick)} == {Status.INIT}


async def test_uploads_that_cannot_be_requested_do_not_keep_others_from_being_read(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "MOST_ASKED", 2)
    for _ in range(3):
        await intake(client, State.READING, request=MALFORMED)
    sound = await intake(client, State.READING)
    await intakes.record_reader("reader", ends=False)

    assert await rounds.run_once(portal.components.datastore, portal.settings) == 1

    assert (await Intake.get(ticket_id=sound)).asked_at != LONG_AGO


async def test_uploads_that_cannot_be_placed_do_not_keep_others_from_being_queued(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "MOST_PLACED", 2)
    for _ in range(3):
        await intake(client, State.PLACING, images=MALFORMED)
    bob = await portal.user("bob@example.com")
    sound = await intake(bob, State.PLACING, images=READ)

    await rounds.run_once(portal.components.datastore, portal.settings)

    assert (await Intake.get(ticket_id=sound)).state != State.PLACING


async def test_a_ticket_that_cannot_be_queued_does_not_hold_up_the_next_of_its_user(
    portal: Portal, client: Client
) -> None:
    sick, sound = [await intake(client, State.WAITING) for _ in range(2)]
    await make_sick(sick)

    await rounds.run_once(portal.components.datastore, portal.settings)

    assert (await Ticket.get(id=sound)).status is Status.READY


async def test_many_uploads_that_wait_for_the_quota_of_one_user_do_not_hide_those_of_another(
    portal: Portal, client: Client
) -> None:
    first = await Ticket.get(id=await new_ticket(client))
    await get_connection("default").execute_query(_WAITING, [first.user_id, first.service_id])
    bob = await portal.user("bob@example.com")
    sound = await intake(bob, State.WAITING)

    await rounds.run_once(portal.components.datastore, portal.settings)

    assert (await Ticket.get(id=sound)).status is Status.READY
