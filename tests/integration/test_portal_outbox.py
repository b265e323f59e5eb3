"""The outbox's relay: woken at once by whatever puts a message there, and one portal's at a time."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from quart.typing import TestClientProtocol as Client
from tortoise.transactions import in_transaction

from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.messages import (
    ClaimFailed,
    ClaimHeartbeat,
    LeaseOverdue,
    TicketReady,
    TicketWithdrawn,
)
from dss_broker.rabbit import RabbitBroker
from dss_portal import database
from dss_portal.models import Claim, OutboxMessage
from dss_portal.outbox import relay as outbox
from dss_portal.outbox import store
from support.brokers import Node, fresh_vhost
from support.portals import LONG_AGO, Portal, eventually, submitted_ticket, text
from support.wire import Wire

pytestmark = [pytest.mark.stack]

SERVICE = "lung-segmentation"


@pytest.fixture(autouse=True)
def only_when_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that nobody woke the relay for stays; else it would leave within IDLE_S."""
    monkeypatch.setattr(outbox, "IDLE_S", 3600)


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


class Withdrawals:
    """What dispatchers are told to stop."""

    def __init__(self, portal: Portal) -> None:
        self.claims: list[str] = []
        portal.broker.consume(topology.withdrawn("dispatch"), self._hear)

    def _hear(self, delivery: Delivery) -> None:
        assert isinstance(delivery.message, TicketWithdrawn)
        self.claims.append(delivery.message.claim_id)

    async def told(self, claim_id: str, times: int = 1) -> None:
        """Of the claim, or of the whole ticket if that is "", so many times by now."""

        async def count() -> int:
            return self.claims.count(claim_id)

        await eventually(count, lambda now: now == times)


async def test_a_submission_is_announced_at_once(portal: Portal, client: Client) -> None:
    portal.serve()

    ticket_id = await submitted_ticket(client)

    message = (await portal.next_ready()).message
    assert isinstance(message, TicketReady)
    assert message.ticket_id == ticket_id


async def test_who_has_lost_a_claim_is_told_at_once_however_it_was_lost(
    portal: Portal, client: Client
) -> None:
    withdrawals = Withdrawals(portal)
    ticket_id = await submitted_ticket(client)
    first = await portal.granted(ticket_id, "d1")
    second = await portal.granted(ticket_id, "d1", deliveries=2)  # in other hands
    await withdrawals.told(first.claim_id)
    await Claim.filter(id=second.claim_id).update(expires_at=LONG_AGO)
    await portal.tell(LeaseOverdue(ticket_id=ticket_id, claim_id=second.claim_id))
    await withdrawals.told(second.claim_id)
    third = await portal.granted(ticket_id, "d2")
    root = await portal.user("root@example.com", sysadmin=True)
    await root.get(f"/api/tickets/{ticket_id}/retry")
    await withdrawals.told(third.claim_id)
    fourth = await portal.granted(ticket_id, "d3")
    await portal.tell(
        ClaimFailed(ticket_id=ticket_id, claim_id=fourth.claim_id, reason="No lungs.")
    )
    status = f"/api/tickets/{ticket_id}/status"
    await eventually(lambda: text(client, status), lambda now: now == "failed")

    assert withdrawals.claims == [claim.claim_id for claim in (first, second, third)]


async def test_who_has_missed_that_his_claim_is_over_is_told_again(
    portal: Portal, client: Client
) -> None:
    """His withdrawal was lost with a connection; he gives signs of life."""
    withdrawals = Withdrawals(portal)
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")
    await portal.granted(ticket_id, "d1", deliveries=2)
    await withdrawals.told(old.claim_id)
    alive = ClaimHeartbeat(ticket_id=ticket_id, claim_id=old.claim_id)

    await portal.tell(alive)

    await withdrawals.told(old.claim_id, times=2)
    await client.get(f"/api/tickets/{ticket_id}/delete")
    await withdrawals.told("")
    await portal.tell(alive)
    await withdrawals.told("", times=2)


async def test_who_works_on_what_was_parked_is_told_at_once(portal: Portal, client: Client) -> None:
    withdrawals = Withdrawals(portal)
    claimed = threading.Event()

    def hold_and_fail(delivery: Delivery) -> None:
        portal.ready.put(delivery)
        claimed.wait(10)
        raise ValueError("no use")

    portal.broker.consume(topology.dispatch(SERVICE), hold_and_fail)
    ticket_id = await submitted_ticket(client)
    delivery_id = (await portal.next_ready()).message_id
    granted = await portal.granted(ticket_id, delivery_id)

    claimed.set()

    await withdrawals.told(granted.claim_id)


@pytest.fixture
def wire(rabbit: Node) -> Iterator[Wire]:
    with fresh_vhost(rabbit) as url:
        wire = Wire(url)
        yield wire
        wire.close()


@pytest.fixture
def cut_off(wire: Wire) -> Iterator[RabbitBroker]:
    """A portal's, without a connection."""
    wire.cut()
    with closing(RabbitBroker(wire.url, "portal", "p1")) as broker:
        yield broker


async def test_what_was_put_while_the_broker_was_away_leaves_when_it_is_back(
    wire: Wire, cut_off: RabbitBroker, database_url: str
) -> None:
    async with database.connected(database_url):
        await store.put(TicketWithdrawn(ticket_id=1, service=SERVICE))
        relay = asyncio.create_task(outbox.Relay(cut_off).run())
        await asyncio.sleep(1)
        assert await OutboxMessage.all().count() == 1

        wire.mend()

        await eventually(OutboxMessage.all().count, lambda left: left == 0, within_s=30)
        relay.cancel()
        await asyncio.gather(relay, return_exceptions=True)


@pytest.fixture
def brokers(rabbit: Node) -> Iterator[list[RabbitBroker]]:
    """Of two portals and a dispatcher."""
    with fresh_vhost(rabbit) as url, ExitStack() as running:
        programs = [("portal", "p1"), ("portal", "p2"), ("dispatch", "d1")]
        connected = [RabbitBroker(url, *program) for program in programs]
        for broker in connected:
            running.enter_context(closing(broker))
        yield connected


async def test_of_two_portals_one_publishes_each_message_once_and_in_order(
    brokers: list[RabbitBroker], database_url: str
) -> None:
    tickets = list(range(outbox.BATCH * 3 // 2))
    heard: list[int] = []

    def hear(delivery: Delivery) -> None:
        assert isinstance(delivery.message, TicketReady)
        heard.append(delivery.message.ticket_id)

    async def count() -> int:
        return len(heard)

    async def connected() -> bool:
        return all(broker.connected for broker in brokers)

    await asyncio.to_thread(brokers[2].consume, topology.dispatch(SERVICE), hear)
    await eventually(connected, bool)
    async with database.connected(database_url):
        async with in_transaction():
            for ticket_id in tickets:
                ready = TicketReady(ticket_id=ticket_id, service=SERVICE, service_hash="h")
                await store.put(ready)
        relays = [asyncio.create_task(outbox.Relay(broker).run()) for broker in brokers[:2]]
        await eventually(OutboxMessage.all().count, lambda left: left == 0, within_s=30)
        await eventually(count, lambda number: number >= len(tickets), within_s=30)
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)

    assert heard == tickets
