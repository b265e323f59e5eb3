"""The commit wakes the outbox: what it makes due is published at once, by any kind of change."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client
from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

import dss_portal
from dss_broker.messages import TicketWithdrawn
from dss_portal.accounts import store as accounts
from dss_portal.admin import store as admin
from dss_portal.database.commits import after_commit
from dss_portal.models import OutboxMessage, Ticket, User
from dss_portal.outbox import relay, store, unsent
from dss_portal.tickets import deadlines, submission
from support.portals import LONG_AGO, Portal, eventually, post, submitted_ticket, text

pytestmark = [pytest.mark.stack]

AT_ONCE_S = 0.5
MESSAGE = TicketWithdrawn(ticket_id=1, service="lung-segmentation")


@pytest.fixture(autouse=True)
def no_periodic_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "IDLE_S", 3600)


@pytest.fixture
def wakes() -> Iterator[list[int]]:
    """One entry for each time that a relay of this process would have been woken."""
    found: list[int] = []
    with store.woken_by_commits(lambda: found.append(1)):
        yield found


async def is_empty() -> bool:
    return not await OutboxMessage.filter(set_aside_at__isnull=True).exists()


async def stored() -> int:
    """How many messages were ever stored."""
    rows = await get_connection("default").execute_query_dict(
        "SELECT last_value FROM pg_sequences WHERE schemaname = 'public' AND sequencename LIKE 'outbox%'"
    )
    return int(rows[0]["last_value"] or 0)


async def published_at_once() -> None:
    await eventually(is_empty, lambda empty: empty, within_s=AT_ONCE_S)


class Site:
    """A portal with a ticket that a provider's user has claimed, and one that waits."""

    def __init__(self, portal: Portal, ann: Client, root: Client, pro: User) -> None:
        self.portal = portal
        self.ann = ann
        self.root = root
        self.pro = pro
        self.claimed = 0
        self.waiting = 0


@pytest.fixture
async def site(portal: Portal) -> Site:
    await portal.announce_service()
    ann, root = await portal.user(), await portal.user("root@example.com", sysadmin=True)
    pro = await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    made = Site(portal, ann, root, await User.get(email="pro@example.com"))
    made.claimed = await submitted_ticket(ann)
    (service,) = json.loads(await text(ann, "/api/services?format=json"))["result"]
    claims = f"/api/pro/services/{service['githash']}/claims"
    assert await post(pro, claims, provider="dss") == (200, str(made.claimed))
    made.waiting = await submitted_ticket(ann)
    await eventually(is_empty, lambda empty: empty)
    return made


async def submits(site: Site) -> None:
    await submitted_ticket(site.ann)


async def deletes(site: Site) -> None:
    await text(site.ann, f"/api/tickets/{site.waiting}/delete")


async def requeues(site: Site) -> None:
    await text(site.root, f"/api/tickets/{site.claimed}/retry")


async def purges(site: Site) -> None:
    await post(site.root, "/api/admin/tickets/purge/all", days="0")


async def retries_what_failed(site: Site) -> None:
    await Ticket.filter(id=site.waiting).update(status="failed")
    await text(site.ann, f"/api/tickets/{site.waiting}/retry")


async def puts_back(site: Site) -> None:
    await Ticket.filter(id=site.waiting).update(status="failed")
    await submission.requeue(site.portal.components.datastore, site.waiting)


async def removes_the_provider(site: Site) -> None:
    await text(site.root, "/api/admin/providers/dss/delete")


async def removes_the_providers_user(site: Site) -> None:
    await text(site.root, f"/api/admin/providers/dss/users/{site.pro.id}/delete")


async def disables_the_user(_site: Site) -> None:
    await accounts.disable_user("pro@example.com")


async def announces_again(site: Site) -> None:
    await Ticket.filter(id=site.waiting).update(announced_at=LONG_AGO)
    assert await site.portal.sweep()


async def ends_a_claim_that_takes_too_long(site: Site) -> None:
    await Ticket.filter(id=site.claimed).update(claimed_at=LONG_AGO)
    components = site.portal.components
    assert await deadlines.enforce(components.settings, components.datastore)


WRITES = [
    submits,
    deletes,
    requeues,
    purges,
    retries_what_failed,
    puts_back,
    removes_the_provider,
    removes_the_providers_user,
    disables_the_user,
    announces_again,
    ends_a_claim_that_takes_too_long,
]


@pytest.mark.parametrize("writes", WRITES)
async def test_every_write_that_stores_a_message_publishes_it_at_once(
    site: Site, writes: Callable[[Site], Awaitable[None]]
) -> None:
    before = await stored()

    await writes(site)

    assert await stored() > before
    await published_at_once()


async def test_a_message_that_an_operator_sends_again_leaves_at_once(site: Site) -> None:
    await OutboxMessage.create(
        message_id="m1",
        type_name="TicketWithdrawn",
        body=b'{"ticket_id":1,"service":"lung-segmentation"}',
        set_aside_at=LONG_AGO,
    )

    await unsent.send_again("m1")

    await published_at_once()
    assert await OutboxMessage.all().count() == 0


async def test_the_relay_is_woken_after_the_outermost_commit_once(
    portal: Portal, wakes: list[int]
) -> None:
    async with in_transaction():
        async with in_transaction():
            await store.put(MESSAGE)
        await store.put(MESSAGE)
        assert wakes == []

    assert wakes == [1]
    await published_at_once()


async def test_a_rollback_wakes_nobody(portal: Portal, wakes: list[int]) -> None:
    async def put_and_fail() -> None:
        async with in_transaction():
            await store.put(MESSAGE)
            raise LookupError

    with pytest.raises(LookupError):
        await put_and_fail()

    assert wakes == []


async def test_a_message_stored_outside_a_transaction_leaves_at_once(
    portal: Portal, wakes: list[int]
) -> None:
    await store.put(MESSAGE)

    assert wakes == [1]
    await published_at_once()


async def test_a_task_that_outlives_the_transaction_that_began_it_wakes_the_relay_itself(
    portal: Portal, wakes: list[int]
) -> None:
    is_over = asyncio.Event()

    async def later() -> None:
        await is_over.wait()
        after_commit(store._wake_relays)

    async with in_transaction():
        task = asyncio.create_task(later())
    is_over.set()
    await task

    assert wakes == [1]


def test_messages_are_made_due_in_one_place() -> None:
    """So no change has to remember the relay."""
    package = Path(dss_portal.__path__[0])
    makes_due = re.compile(
        r"(?<!class )OutboxMessage(\.(bulk_|get_or_|update_or_)?create)?\(|INTO outbox\b|_wake_relays|set_aside_at=None"
    )
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "migrations" not in path.parts and makes_due.search(path.read_text("utf-8"))
    }

    assert found == {"outbox/store.py"}
    assert not hasattr(store, "INSERT")  # else a statement could store a message and wake nobody
