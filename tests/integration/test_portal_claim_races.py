"""Claims beside a change of the same ticket or right that is not yet committed: they wait, and see what was committed."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest
from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from dss_portal.accounts import store as accounts
from dss_portal.app import served
from dss_portal.models import ProviderAccess, Status, Ticket
from dss_portal.providers import claiming
from support.layered import Both, claimed, scope_of
from support.portals import Portal, eventually, submitted_ticket

pytestmark = pytest.mark.stack

T = TypeVar("T")

_WAITING_FOR_LOCKS = """
SELECT count(*) AS count FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


async def begun_and_blocked(claim: Awaitable[T]) -> "asyncio.Future[T]":
    """The claim, as soon as it waits for a lock."""
    running = asyncio.ensure_future(claim)

    async def blocked() -> int:
        (row,) = await get_connection("default").execute_query_dict(_WAITING_FOR_LOCKS)
        return int(row["count"])

    await asyncio.create_task(eventually(blocked, bool))
    return running


async def test_a_ticket_that_is_deleted_while_it_is_claimed_is_passed_over(
    portal: Portal, both: Both
) -> None:
    ann = await portal.user("ann@example.com")
    first, second = await submitted_ticket(ann), await submitted_ticket(ann)
    # Its own connection: the task of a transaction begins all its statements in it.
    began, ends = asyncio.Event(), asyncio.Event()

    async def delete() -> None:
        async with in_transaction():
            await Ticket.filter(id=first).update(status=Status.DELETED)
            began.set()
            await ends.wait()

    deleting = asyncio.create_task(delete())
    await began.wait()
    claim = await begun_and_blocked(claimed(both.layers, both.githash))
    ends.set()

    assert await claim == second
    await deleting
    assert (await Ticket.get(id=first)).status is Status.DELETED
    assert both.layers.framework == []


async def test_a_client_that_disconnects_before_its_turn_gets_no_ticket(
    portal: Portal, both: Both
) -> None:
    ann = await portal.user("ann@example.com")
    first, second = await submitted_ticket(ann), await submitted_ticket(ann)
    began, ends = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with in_transaction():
            await ProviderAccess.all().select_for_update()
            began.set()
            await ends.wait()

    holding = asyncio.create_task(hold())
    await began.wait()
    claim = await begun_and_blocked(claimed(both.layers, both.githash))
    path, cookie = f"/api/pro/services/{both.githash}/claims", both.layers.client.headers["Cookie"]
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    events.put_nowait({"type": "http.request", "body": b"provider=dss", "more_body": False})
    events.put_nowait({"type": "http.disconnect"})
    layers: Any = served(portal.app)
    await asyncio.wait_for(
        layers(scope_of(path, {"Host": "localhost", "Cookie": cookie}), events.get, unsent), 60
    )
    ends.set()

    assert await claim == first
    await holding
    assert (await Ticket.get(id=second)).status is Status.READY


async def unsent(event: object) -> None:
    raise AssertionError(event)


async def test_a_right_that_is_taken_away_while_it_is_used_gives_no_ticket(
    portal: Portal, both: Both
) -> None:
    await submitted_ticket(await portal.user("ann@example.com"))
    began, ends = asyncio.Event(), asyncio.Event()

    async def remove() -> None:
        async with in_transaction():
            await ProviderAccess.all().select_for_update()
            await get_connection("default").execute_query("UPDATE provider SET current = false")
            began.set()
            await ends.wait()

    removing = asyncio.create_task(remove())
    await began.wait()
    path = f"/api/pro/services/{both.githash}/claims"
    claim = await begun_and_blocked(status_of(both, path))
    ends.set()

    assert await claim == 401
    await removing
    assert await Ticket.filter(status=Status.CLAIMED).count() == 0


async def test_a_provider_who_is_disabled_while_claiming_gets_no_ticket(
    portal: Portal, both: Both
) -> None:
    await submitted_ticket(await portal.user("ann@example.com"))
    began, ends = asyncio.Event(), asyncio.Event()

    async def disable() -> None:
        async with in_transaction():
            await accounts.disable_user("pro@example.com")
            began.set()
            await ends.wait()

    disabling = asyncio.create_task(disable())
    await began.wait()
    claim = await begun_and_blocked(status_of(both, f"/api/pro/services/{both.githash}/claims"))
    ends.set()

    assert await claim == 401
    await disabling
    assert await Ticket.filter(status=Status.CLAIMED).count() == 0


async def test_a_claim_that_is_granted_while_its_provider_is_disabled_ends_with_the_account(
    portal: Portal, both: Both
) -> None:
    ticket = await submitted_ticket(await portal.user("ann@example.com"))
    granted, ends = asyncio.Event(), asyncio.Event()

    async def claim() -> None:
        user = await accounts.user_named("pro@example.com")
        ask = claiming.claim_request(user.id, [both.githash], {"provider": "dss"}, 60)
        async with in_transaction():
            await claiming.grant([ask])
            granted.set()
            await ends.wait()

    claiming_now = asyncio.create_task(claim())
    await granted.wait()
    disabling = await begun_and_blocked(accounts.disable_user("pro@example.com"))
    ends.set()

    await disabling
    await claiming_now
    assert (await Ticket.get(id=ticket)).status is Status.READY


async def status_of(both: Both, path: str) -> int:
    return (await both.layers.post(path, provider="dss")).status_code
