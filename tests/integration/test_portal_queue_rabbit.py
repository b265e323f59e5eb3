"""The fair queue with a real RabbitMQ: turns, lost messages, dispatchers killed in the middle of a claim."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue

import pika  # no py.typed
import pytest

from dss_broker.broker import Delivery
from dss_broker.messages import ClaimFailed, ClaimGranted, ClaimRefused, ClaimTicket, TicketReady
from dss_broker.rabbit import RabbitBroker
from dss_broker.topology import dispatch
from dss_portal.accounts import store as accounts
from dss_portal.app import create_app
from dss_portal.models import Claim, OutboxMessage, Status, Ticket, TicketHistory, User
from dss_portal.models import Dispatcher as DispatcherRow
from dss_portal.settings import Settings
from dss_portal.tickets import submission
from support.brokers import Node, fresh_vhost
from support.portals import Portal, eventually

pytestmark = [pytest.mark.stack]

SERVICE = "lung-segmentation"
DOOMED = Path(__file__).parents[1] / "support" / "claims_and_dies.py"


@pytest.fixture
def vhost(rabbit: Node) -> Iterator[str]:
    with fresh_vhost(rabbit) as url:
        yield url


@pytest.fixture
async def portal(settings: Settings, vhost: str) -> AsyncIterator[Portal]:
    broker = RabbitBroker(vhost, "portal", "p1")
    app = create_app(settings, broker)
    async with app.test_app():
        running = Portal(app=app, broker=broker, settings=settings)
        await running.announce_service()
        yield running
    await asyncio.to_thread(broker.close)


class Dispatcher:
    """Claims and does one ticket after another, as fast as it can; ``done`` has them in order."""

    def __init__(self, vhost: str, name: str) -> None:
        self.broker = RabbitBroker(vhost, "dispatch", name)
        self.done: Queue[ClaimGranted] = Queue()
        self.refused = 0
        self._name = name

    def start(self) -> None:
        self.broker.consume(dispatch(SERVICE), self._handle)

    def _handle(self, delivery: Delivery) -> None:
        ready = delivery.message
        assert isinstance(ready, TicketReady)
        conversation = self.broker.request(
            ClaimTicket(
                ticket_id=ready.ticket_id,
                service=ready.service,
                provider="dss",
                instance=self._name,
                delivery_id=delivery.message_id,
            )
        )
        answer = conversation.next(30)
        conversation.close()
        if isinstance(answer, ClaimRefused):
            self.refused += 1
            return
        assert isinstance(answer, ClaimGranted)
        end = ClaimFailed(ticket_id=answer.ticket_id, claim_id=answer.claim_id, reason="Done.")
        self.broker.publish(end).result(30)
        self.done.put(answer)


@pytest.fixture
def dispatcher(vhost: str) -> Iterator[Callable[[str], Dispatcher]]:
    started: list[Dispatcher] = []

    def named(name: str) -> Dispatcher:
        started.append(Dispatcher(vhost, name))
        return started[-1]

    yield named
    for each in started:
        each.broker.close()


async def submitted(portal: Portal, user: User) -> int:
    ticket_id = await submission.create(user, None, SERVICE, quiet_s=600)
    await submission.lock_and_submit(ticket_id, user, quiet_s=600)
    return ticket_id


def make_queue(vhost: str) -> None:
    """As a dispatcher that has run once leaves it."""
    broker = RabbitBroker(vhost, "dispatch", "first")
    broker.consume(dispatch(SERVICE), lambda delivery: None)
    broker.stop_consuming(5)
    broker.close()


def in_channel(
    vhost: str, act: Callable[[pika.adapters.blocking_connection.BlockingChannel], int]
) -> int:
    with pika.BlockingConnection(pika.URLParameters(vhost)) as connection:
        return act(connection.channel())


def purge(vhost: str) -> int:
    """Delete the messages of the service's queue; how many there were."""
    queue = dispatch(SERVICE).queue
    return in_channel(vhost, lambda channel: int(channel.queue_purge(queue).method.message_count))


def waiting(vhost: str) -> int:
    queue = dispatch(SERVICE).queue
    return in_channel(
        vhost,
        lambda channel: int(channel.queue_declare(queue, passive=True).method.message_count),
    )


async def all_sent() -> None:
    await eventually(OutboxMessage.all().count, lambda left: left == 0)


async def all_ended() -> None:
    open_ones = Ticket.filter(status__in=[Status.READY, Status.CLAIMED])
    await eventually(open_ones.count, lambda left: left == 0, within_s=90)


async def test_one_ticket_is_not_kept_waiting_by_200_of_another_user(
    portal: Portal, vhost: str, dispatcher: Callable[[str], Dispatcher]
) -> None:
    ann = await accounts.save_user("ann@example.com", tier="xnat")
    bob = await accounts.save_user("bob@example.com")
    await asyncio.to_thread(make_queue, vhost)
    for _ in range(200):
        await submitted(portal, ann)
    last = await submitted(portal, bob)
    await all_sent()
    assert await asyncio.to_thread(waiting, vhost) == 201

    only = dispatcher("d1")
    await asyncio.to_thread(only.start)
    await all_ended()

    order = [only.done.get().ticket_id for _ in range(201)]
    assert order.index(last) <= 1
    assert sorted(order) == sorted(set(order))
    await eventually(lambda: asyncio.to_thread(waiting, vhost), lambda left: left == 0)
    assert only.refused == 0


async def test_a_message_that_was_lost_is_sent_again(
    portal: Portal, vhost: str, dispatcher: Callable[[str], Dispatcher]
) -> None:
    ann = await accounts.save_user("ann@example.com")
    await asyncio.to_thread(make_queue, vhost)
    ticket_id = await submitted(portal, ann)
    await all_sent()
    assert await asyncio.to_thread(purge, vhost) == 1
    assert await portal.sweep() == 0  # it may still be on its way
    await Ticket.filter(id=ticket_id).update(announced_at=datetime(2026, 1, 1, tzinfo=UTC))

    assert await portal.sweep() == 1

    only = dispatcher("d1")
    await asyncio.to_thread(only.start)
    assert (await asyncio.to_thread(only.done.get, timeout=20)).ticket_id == ticket_id


async def test_each_announcement_doubles_the_time_until_the_next(
    portal: Portal, vhost: str
) -> None:
    ann = await accounts.save_user("ann@example.com")
    await asyncio.to_thread(make_queue, vhost)
    ticket_id = await submitted(portal, ann)
    await all_sent()

    for n in range(3):
        late = portal.settings.reconcile_s * 2**n
        await _announced_before(ticket_id, late - 5)
        assert await portal.sweep() == 0
        await _announced_before(ticket_id, late + 5)
        assert await portal.sweep() == 1
    await all_sent()

    assert await asyncio.to_thread(waiting, vhost) == 4


async def _announced_before(ticket_id: int, seconds: float) -> None:
    at = datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds, UTC)
    await Ticket.filter(id=ticket_id).update(announced_at=at)


async def test_a_ticket_for_which_no_queue_exists_is_announced_again_when_a_dispatcher_has_come(
    portal: Portal,
    vhost: str,
    dispatcher: Callable[[str], Dispatcher],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Until then no message is sent; that there is no queue, and that there is one again, is logged once."""
    ann = await accounts.save_user("ann@example.com")
    await DispatcherRow.all().delete()
    tickets = [await submitted(portal, ann) for _ in range(2)]
    unheard = Ticket.filter(announcements=0)
    await eventually(unheard.count, lambda count: count == 2)
    for ticket_id in tickets:
        await _announced_before(ticket_id, 100 * portal.settings.reconcile_s)
    assert [await portal.sweep() for _ in range(3)] == [0, 0, 0]

    only = dispatcher("d1")
    await asyncio.to_thread(only.start)
    await DispatcherRow.create(
        service=SERVICE, instance="d1", bundle="", heard_at=datetime.now(UTC)
    )
    with caplog.at_level(logging.INFO):
        assert await portal.sweep() == 2
        done = [(await asyncio.to_thread(only.done.get, timeout=20)).ticket_id for _ in tickets]

    assert done == tickets
    said = [r.msg for r in caplog.records if r.name == "dss_portal.outbox.relay"]
    assert said == ["no queue takes the messages", "a queue takes the messages again"]


async def test_surplus_messages_find_nothing_and_are_gone(
    portal: Portal, vhost: str, dispatcher: Callable[[str], Dispatcher]
) -> None:
    """A ticket that is deleted while it waits leaves its message."""
    ann = await accounts.save_user("ann@example.com")
    await asyncio.to_thread(make_queue, vhost)
    deleted, kept = [await submitted(portal, ann) for _ in range(2)]
    await all_sent()
    await submission.delete(portal.components.datastore, deleted, ann)

    only = dispatcher("d1")
    await asyncio.to_thread(only.start)

    assert (await asyncio.to_thread(only.done.get, timeout=20)).ticket_id == kept

    async def refused() -> int:
        return only.refused

    await eventually(refused, lambda count: count == 1)


@pytest.mark.parametrize("when", ["asked", "granted"])
async def test_a_dispatcher_killed_in_the_middle_of_a_claim_is_taken_over_exactly_once(
    portal: Portal, vhost: str, dispatcher: Callable[[str], Dispatcher], when: str
) -> None:
    ann = await accounts.save_user("ann@example.com")
    bob = await accounts.save_user("bob@example.com")
    await asyncio.to_thread(make_queue, vhost)
    tickets = [await submitted(portal, user) for user in (ann, ann, bob)]
    await all_sent()

    doomed = await asyncio.create_subprocess_exec(
        sys.executable, str(DOOMED), vhost, SERVICE, when, stderr=subprocess.DEVNULL
    )
    assert await asyncio.wait_for(doomed.wait(), 60) == -9
    await eventually(Claim.filter(instance="doomed").count, lambda count: count == 1)
    heir = dispatcher("heir")
    await asyncio.to_thread(heir.start)
    await all_ended()

    lost = (await Claim.get(instance="doomed")).ticket_id
    claims = {ticket: await Claim.filter(ticket_id=ticket).count() for ticket in tickets}
    assert claims == {ticket: 2 if ticket == lost else 1 for ticket in tickets}
    history = await TicketHistory.filter(ticket_id=lost).order_by("id")
    assert [entry.status.value for entry in history] == [
        "init",
        "ready",
        "claimed",
        "claimed",
        "failed",
    ]
    assert (heir.done.qsize(), heir.refused) == (3, 0)
