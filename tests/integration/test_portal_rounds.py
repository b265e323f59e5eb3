"""The portal's own rounds: one sick ticket, service or letter holds none of the others."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from quart.typing import TestClientProtocol as Client

from dss_broker import messages as m
from dss_datastore import layout
from dss_portal import batches, gauges
from dss_portal.accounts import store as accounts
from dss_portal.datastore import Datastore
from dss_portal.models import LoginToken, Service, Status, Ticket
from dss_portal.outbox import store
from dss_portal.tickets import announcing, cleanup, submission
from support.portals import LONG_AGO, Portal, eventually, new_ticket, post, submitted_ticket, text

pytestmark = pytest.mark.stack


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


async def statuses(*tickets: int) -> list[str]:
    return [(await Ticket.get(id=ticket_id)).status.value for ticket_id in tickets]


async def test_a_ticket_whose_files_cannot_be_removed_holds_no_other_deadline(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick, sound = await new_ticket(client), await new_ticket(client)
    waiting = await submitted_ticket(client)
    await Ticket.filter(id__in=[sick, sound]).update(created_at=LONG_AGO)
    await Ticket.filter(id=waiting).update(queued_at=LONG_AGO)
    remove = Datastore.remove_ticket

    async def fails_once(self: Datastore, ticket_id: int) -> None:
        if ticket_id == sick:
            raise PermissionError("root owns it")
        await remove(self, ticket_id)

    monkeypatch.setattr(Datastore, "remove_ticket", fails_once)

    assert await portal.sweep() == 2

    assert await statuses(sick, sound, waiting) == ["timeout"] * 3


async def test_a_service_with_an_endless_deadline_holds_no_other(
    portal: Portal, client: Client
) -> None:
    """Listed before deadlines had a limit, or by a setting that means 'never'."""
    endless = {"upload_s": 1e300, "queue_s": 1e300, "run_s": 1e300, "claim_s": 1e300}
    other = await new_ticket(client)
    await Service.all().update(name="endless")
    await portal.announce_service(version="2.0.0")
    service = await Service.get(name="endless")
    service.descriptor = {**service.descriptor, "deadlines": endless}
    await service.save()
    overdue = await new_ticket(client)
    await Ticket.all().update(created_at=LONG_AGO)
    object.__setattr__(portal.settings, "run_deadline_s", 1e300)

    await portal.sweep()

    assert await statuses(overdue) == ["timeout"]
    assert await statuses(other) == ["timeout"]  # by the portal's own deadline


async def test_a_waiting_ticket_that_cannot_be_announced_holds_no_other(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal.serve()
    sick, sound = await submitted_ticket(client), await submitted_ticket(client)
    for _ in range(2):
        await portal.next_ready()
    await Ticket.all().update(announced_at=None)
    message_of = announcing.message_of

    def fails_once(row: dict[str, Any]) -> m.TicketReady:
        if row["id"] == sick:
            raise ValueError("too large")
        return message_of(row)

    monkeypatch.setattr(announcing, "message_of", fails_once)

    assert await portal.sweep() == 1

    ready = (await portal.next_ready()).message
    assert isinstance(ready, m.TicketReady)
    assert ready.ticket_id == sound


async def test_a_folder_that_cannot_be_tidied_holds_nothing_else(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    datastore = portal.components.datastore
    sick, sound = [await new_ticket(client) for _ in range(2)]
    for ticket_id in (sick, sound):
        await client.get(f"/api/tickets/{ticket_id}/delete")
        (portal.datastore / layout.area_dir(ticket_id, "input")).mkdir(parents=True)
    user = await accounts.save_user("ann@example.com", sysadmin=False)
    await accounts.new_login_token(user, life_s=-1)
    has, remove = Datastore.has_ticket, Datastore.remove_ticket

    def unreadable(self: Datastore, ticket_id: int) -> bool:
        if ticket_id == sick:
            raise PermissionError("root owns it")
        return has(self, ticket_id)

    monkeypatch.setattr(Datastore, "has_ticket", unreadable)
    assert await cleanup.clean_ended(datastore) == 1

    async def fails(self: Datastore, ticket_id: int) -> None:
        if ticket_id == sick:
            raise PermissionError("root owns it")
        await remove(self, ticket_id)

    monkeypatch.setattr(Datastore, "has_ticket", has)
    monkeypatch.setattr(Datastore, "remove_ticket", fails)
    await cleanup.clean_all(datastore, portal.settings)

    assert not (portal.datastore / layout.ticket_dir(sound)).exists()
    expired = LoginToken.filter(expires_at__lt=datetime.now(UTC) - timedelta(milliseconds=1))
    assert await expired.count() == 0


async def test_more_tickets_than_a_statement_takes_are_tidied(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_VALUES", 1)
    datastore = portal.components.datastore
    for _ in range(3):
        ticket_id = await new_ticket(client)
        await client.get(f"/api/tickets/{ticket_id}/delete")
        (portal.datastore / layout.area_dir(ticket_id, "input")).mkdir(parents=True)

    assert await cleanup.clean_ended(datastore) == 3


async def test_a_gauge_that_cannot_be_read_keeps_none_of_the_others(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> None:
        raise ValueError("a name that Prometheus cannot take")

    monkeypatch.setattr(gauges, "_refresh_tickets", fails)
    monkeypatch.setattr(portal.components.broker.__class__, "connected", False)
    await store.put(m.TicketWithdrawn(ticket_id=1, service="lung"))

    await gauges.refresh()

    assert REGISTRY.get_sample_value("dss_outbox_messages") == 1


async def test_a_letter_that_cannot_be_requeued_holds_none_of_the_others(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = await portal.user("root@example.com", sysadmin=True)
    letters = "/api/admin/dead-letters"
    sick, sound = [await submitted_ticket(client) for _ in range(2)]
    for ticket_id in (sick, sound):
        claim = await portal.granted(ticket_id, f"d{ticket_id}")
        unstorable = m.ClaimLogged(
            ticket_id=ticket_id, claim_id=claim.claim_id, level="info", text="a\0b"
        )
        await portal.tell(unstorable)

    async def listed() -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(await text(root, f"{letters}?format=json"))[
            "result"
        ]
        return found

    await eventually(listed, lambda found: len(found) == 2)
    await eventually(
        lambda: statuses(sick, sound), lambda found: found == [Status.FAILED.value] * 2
    )
    requeue = submission.requeue

    async def fails_once(datastore: Datastore, ticket_id: int) -> None:
        if ticket_id == sick:
            raise PermissionError("root owns it")
        await requeue(datastore, ticket_id)

    monkeypatch.setattr(submission, "requeue", fails_once)

    status, sentence = await post(root, f"{letters}/requeue", all="1")

    assert status == 200
    assert sentence.startswith("1 message was requeued. Message ")
    assert sentence.endswith("stays: PermissionError; the portal's log says more.")
    assert await statuses(sick, sound) == ["failed", "ready"]
