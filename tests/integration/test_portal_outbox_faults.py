"""Messages of the outbox that cannot be sent: each alone, seen by an operator, and no other with it."""

import json
from collections.abc import AsyncIterator
from concurrent.futures import Future

import asyncpg
import pytest
from prometheus_client import REGISTRY
from quart.typing import TestClientProtocol as Client

from dss_broker.errors import MessageRefused
from dss_broker.memory import MemoryBroker
from dss_broker.messages import Message, TicketReady
from dss_portal import gauges
from dss_portal.app import create_app
from dss_portal.models import OutboxMessage, Ticket
from dss_portal.outbox import relay as outbox
from dss_portal.outbox import store, unsent
from dss_portal.outbox.unsent import UNSENT_SENTENCE
from dss_portal.settings import Settings
from support.portals import Portal, eventually, new_ticket, post, send_file, text

pytestmark = [pytest.mark.stack]

LUNG, HEART = "lung-segmentation", "heart"
LETTERS = "/api/admin/dead-letters"
TOO_LARGE = "PRECONDITION_FAILED - message size 9 larger than configured max size 4"


class Picky(MemoryBroker):
    """Refuses every ticket of HEART, or never says that it has one, while it does not ``take`` them."""

    takes = False
    silent = False
    asked = 0

    def publish(self, message: Message, *, message_id: str | None = None) -> "Future[None]":
        if self.takes or not isinstance(message, TicketReady) or message.service != HEART:
            return super().publish(message, message_id=message_id)
        self.asked += 1
        sent: Future[None] = Future()
        sent.set_running_or_notify_cancel()
        if not self.silent:
            sent.set_exception(MessageRefused(TOO_LARGE))
        return sent


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "IDLE_S", 0.05)
    monkeypatch.setattr(outbox, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(outbox, "LONGEST_DELAY_S", 0.02)
    monkeypatch.setattr(outbox, "CONFIRM_TIMEOUT_S", 0.1)


@pytest.fixture
def broker() -> Picky:
    return Picky()


@pytest.fixture
async def portal(settings: Settings, broker: Picky) -> AsyncIterator[Portal]:
    app = create_app(settings, broker)
    async with app.test_app():
        portal = Portal(app=app, broker=broker, settings=settings)
        await portal.announce_service()
        await portal.announce_service(name=HEART)
        yield portal
    broker.close()


@pytest.fixture
async def ann(portal: Portal) -> Client:
    return await portal.user()


@pytest.fixture
async def root(portal: Portal) -> Client:
    return await portal.user("root@example.com", sysadmin=True)


async def submitted(client: Client, service: str) -> int:
    ticket_id = await new_ticket(client, service)
    await send_file(client, f"/api/tickets/{ticket_id}/files/input", "a.itksnap", b"<registry/>")
    await post(client, f"/api/tickets/{ticket_id}/status", status="ready")
    return ticket_id


async def listed(root: Client) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(await text(root, f"{LETTERS}?format=json"))[
        "result"
    ]
    return found


async def one_letter(root: Client) -> dict[str, object]:
    (letter,) = await eventually(lambda: listed(root), lambda found: len(found) == 1)
    return letter


async def put_many(count: int) -> None:
    for number in range(1, count + 1):
        await store.put(TicketReady(ticket_id=10**6 + number, service=HEART, service_hash="h"))


async def test_what_cannot_be_sent_holds_nothing_behind_it(
    portal: Portal, ann: Client, root: Client
) -> None:
    await put_many(outbox.BATCH + 50)
    portal.serve()

    ticket_id = await submitted(ann, LUNG)

    ready = (await portal.next_ready()).message
    assert isinstance(ready, TicketReady)
    assert ready.ticket_id == ticket_id
    letters = await eventually(
        lambda: listed(root), lambda found: len(found) == outbox.BATCH + 50, within_s=60
    )
    assert {letter["reason"] for letter in letters} == {f"RabbitMQ refuses it: {TOO_LARGE}"}
    assert await text(root, "/readyz") == "ok"


async def test_its_ticket_is_told_once_and_waits(portal: Portal, ann: Client, root: Client) -> None:
    ticket_id = await submitted(ann, HEART)
    letter = await one_letter(root)
    assert (letter["ticket"], letter["queue"], letter["type"]) == (
        ticket_id,
        "outbox",
        "TicketReady",
    )

    await Ticket.filter(id=ticket_id).update(announced_at=None)
    await portal.sweep()  # it is announced again, in vain

    await eventually(lambda: listed(root), lambda found: found[0]["id"] != letter["id"])
    assert len(await listed(root)) == 1
    log = await text(ann, f"/api/tickets/{ticket_id}/log")
    assert log.count(UNSENT_SENTENCE) == 1
    assert await text(ann, f"/api/tickets/{ticket_id}/status") == "ready"
    page = await text(root, "/admin/dead-letters")
    assert TOO_LARGE in page
    assert f"/admin/tickets/{ticket_id}/detail" in page
    await gauges.refresh()
    assert REGISTRY.get_sample_value("dss_outbox_set_aside_messages") == 1
    assert REGISTRY.get_sample_value("dss_outbox_messages") == 0


@pytest.mark.parametrize("which", ["id", "all"])
async def test_an_operator_who_has_mended_the_cause_sends_it_again(
    portal: Portal, broker: Picky, ann: Client, root: Client, which: str
) -> None:
    ticket_id = await submitted(ann, HEART)
    letter = await one_letter(root)
    portal.serve(HEART)
    broker.takes = True

    answer = await post(
        root, f"{LETTERS}/requeue", **{which: "1" if which == "all" else str(letter["id"])}
    )

    assert answer == (200, "1 message was requeued.")
    ready = (await portal.next_ready()).message
    assert isinstance(ready, TicketReady)
    assert ready.ticket_id == ticket_id
    assert await listed(root) == []


async def test_an_announcement_that_leaves_takes_the_letter_away(
    portal: Portal, broker: Picky, ann: Client, root: Client
) -> None:
    ticket_id = await submitted(ann, HEART)
    await one_letter(root)
    broker.takes = True

    await Ticket.filter(id=ticket_id).update(announced_at=None)
    await portal.sweep()

    await eventually(lambda: listed(root), lambda found: found == [])


async def test_an_operator_may_discard_it(portal: Portal, ann: Client, root: Client) -> None:
    await submitted(ann, HEART)
    letter = await one_letter(root)

    answer = await post(root, f"{LETTERS}/discard", id=str(letter["id"]), confirm="1")

    assert answer == (200, "Discarded 1 messages")
    assert await OutboxMessage.all().count() == 0


async def test_a_message_of_a_newer_portal_is_tried_for_a_while_and_then_set_aside(
    portal: Portal, ann: Client, root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_TRIES", 3)
    body = b'{"ticket_id": 99999999999}'
    await OutboxMessage.create(message_id="tomorrow", type_name="FromTomorrow", body=body)
    portal.serve()

    await submitted(ann, LUNG)

    await portal.next_ready()
    letter = await one_letter(root)
    assert (letter["id"], letter["attempt"]) == ("tomorrow", 3)
    assert letter["reason"] == "Malformed: unknown message type 'FromTomorrow'"


async def test_what_the_broker_keeps_silent_about_is_asked_for_once_and_holds_nothing(
    portal: Portal, broker: Picky, ann: Client
) -> None:
    broker.silent = True
    portal.serve()
    await submitted(ann, HEART)

    await submitted(ann, LUNG)

    await portal.next_ready()
    stored = OutboxMessage.all().order_by("id").first

    async def tries() -> int:
        row = await stored()
        return row.tries if row else 0

    await eventually(tries, lambda count: count > 2)  # of tries, with one question
    assert broker.asked == 1


async def test_what_the_broker_keeps_silent_about_delays_others_once(
    portal: Portal, broker: Picky, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.silent = True
    portal.serve()
    await submitted(ann, HEART)
    tried = OutboxMessage.filter(tries__gt=0).count
    await eventually(tried, lambda count: count == 1)
    monkeypatch.setattr(outbox, "CONFIRM_TIMEOUT_S", 60.0)  # from now on for first attempts alone

    await submitted(ann, LUNG)

    await portal.next_ready()


async def test_a_portal_whose_outbox_stands_still_is_not_ready(
    portal: Portal, ann: Client, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "STUCK_S", 0.5)
    holder = await asyncpg.connect(database_url)
    await holder.execute("SELECT pg_advisory_lock($1)", outbox.RELAY_LOCK)
    await submitted(ann, LUNG)

    found = await eventually(lambda: text(ann, "/readyz"), lambda found: found != "ok")
    await holder.close()

    assert found.startswith("The outbox stands still: its oldest message has waited for ")
    await eventually(lambda: text(ann, "/readyz"), lambda found: found == "ok")


async def test_one_that_cannot_be_set_aside_holds_no_other(
    portal: Portal, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("no use")

    monkeypatch.setattr(unsent, "set_aside", fails)
    portal.serve()
    await submitted(ann, HEART)

    for _ in range(3):
        await submitted(ann, LUNG)
        await portal.next_ready()
