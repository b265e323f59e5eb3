"""A user who is removed from a provider works on no ticket and reads none, from the next request on."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.accounts import store as accounts
from dss_portal.admin import store as admin
from dss_portal.models import Status, Ticket, User
from support.portals import Portal, post, send_file, submitted_ticket, text

pytestmark = pytest.mark.stack


@pytest.fixture
async def githash(portal: Portal) -> str:
    await portal.announce_service()
    listed = json.loads(await text(await portal.user(), "/api/services?format=json"))["result"]
    return str(listed[0]["githash"])


async def _member(portal: Portal, email: str) -> Client:
    client = await portal.user(email)
    await admin.add_provider_user("dss", email, admin=False)
    return client


@pytest.fixture
async def pro(portal: Portal, githash: str) -> Client:
    return await _member(portal, "pro@example.com")


async def _claim(client: Client, githash: str, provider: str = "dss") -> tuple[int, str]:
    return await post(client, f"/api/pro/services/{githash}/claims", provider=provider)


async def _leaves() -> None:
    user = await User.get(email="pro@example.com")
    await admin.remove_provider_user("dss", user.id)


async def _is_disabled() -> None:
    await accounts.disable_user("pro@example.com")


async def _provider_ends() -> None:
    await admin.remove_provider("dss")


WAYS = [_leaves, _is_disabled, _provider_ends]


@pytest.mark.parametrize("goes", WAYS)
async def test_a_claimed_ticket_waits_again_when_its_holder_goes(
    portal: Portal, pro: Client, githash: str, goes: Callable[[], Awaitable[None]]
) -> None:
    ann = await portal.user()
    ticket_id = await submitted_ticket(ann)
    assert await _claim(pro, githash) == (200, str(ticket_id))
    await send_file(pro, f"/api/pro/tickets/{ticket_id}/files/results", "half.nii.gz", b"half")
    later = await submitted_ticket(await portal.user("bob@example.com"))

    await goes()

    assert await text(ann, f"/api/tickets/{ticket_id}/status") == "ready"
    assert await text(ann, f"/api/tickets/{ticket_id}/queuepos") == "1"
    assert await text(ann, f"/api/tickets/{ticket_id}/files/results") == ""
    assert "the ticket waits again" in await text(ann, f"/api/tickets/{ticket_id}/log")
    ticket = await Ticket.get(id=ticket_id)
    assert (ticket.attempt, ticket.status) == (1, Status.READY)
    assert await Ticket.filter(id=later, status=Status.READY).exists()


async def test_a_colleague_gets_the_ticket_next(portal: Portal, pro: Client, githash: str) -> None:
    colleague = await _member(portal, "colleague@example.com")
    ticket_id = await submitted_ticket(await portal.user())
    await _claim(pro, githash)

    await _leaves()

    assert await _claim(pro, githash) == (401, f"You are not a provider for service {githash} ")
    assert await _claim(colleague, githash) == (200, str(ticket_id))
    assert await text(colleague, f"/api/pro/tickets/{ticket_id}/files/input") == "0,a.itksnap\r\n"


async def test_a_colleagues_claim_goes_on(portal: Portal, pro: Client, githash: str) -> None:
    colleague = await _member(portal, "colleague@example.com")
    ticket_id = await submitted_ticket(await portal.user())
    await _claim(colleague, githash)

    await _leaves()

    log = f"/api/pro/tickets/{ticket_id}/info"
    assert (await post(colleague, log, message="still here"))[0] == 200


@pytest.mark.parametrize("goes", [_leaves, _provider_ends])
async def test_who_has_gone_reads_nothing_that_was_ever_claimed(
    portal: Portal, pro: Client, githash: str, goes: Callable[[], Awaitable[None]]
) -> None:
    ended, held = [await submitted_ticket(await portal.user()) for _ in range(2)]
    for ticket_id in (ended, held):
        assert await _claim(pro, githash) == (200, str(ticket_id))
        if ticket_id == ended:
            await post(pro, f"/api/pro/tickets/{ended}/status", status="failed")

    await goes()

    user = await User.get(email="pro@example.com")
    for ticket_id in (ended, held):
        base = f"/api/pro/tickets/{ticket_id}"
        refused = f"Ticket {ticket_id} has not been claimed by user {user.id}"
        for path in ("files/input", "files/input/0", "files/results", "progress"):
            assert await text(pro, f"{base}/{path}") == refused
        assert await post(pro, f"{base}/status", status="failed") == (400, refused)
        assert await post(pro, f"{base}/info", message="x") == (400, refused)
        assert await send_file(pro, f"{base}/files/results", "a.nii", b"x") == (400, refused)
        assert "not found" in await text(pro, f"{base}/status")


async def test_another_provider_s_name_in_the_claim_keeps_nothing(
    portal: Portal, pro: Client, githash: str
) -> None:
    await admin.add_provider("other")
    await admin.add_provider_user("other", "pro@example.com", admin=False)
    ticket_id = await submitted_ticket(await portal.user())
    await _claim(pro, githash, provider="other")

    await _leaves()

    assert "has not been claimed" in await text(pro, f"/api/pro/tickets/{ticket_id}/files/input")
    assert (await Ticket.get(id=ticket_id)).status is Status.READY


@pytest.mark.parametrize("goes", [_leaves, _is_disabled])
async def test_nobody_claims_while_being_removed(
    portal: Portal, pro: Client, githash: str, goes: Callable[[], Awaitable[None]]
) -> None:
    ann = await portal.user()
    for _ in range(5):
        await accounts.save_user("pro@example.com")
        await admin.add_provider_user("dss", "pro@example.com", admin=False)
        await submitted_ticket(ann)

        await asyncio.gather(_claim(pro, githash), goes(), _claim(pro, githash))

        assert not await Ticket.filter(status=Status.CLAIMED).exists()
