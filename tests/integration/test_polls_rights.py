"""A poll is refused within a second after its session, token or right has ended."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from dss_portal.accounts import api_tokens
from dss_portal.accounts import store as accounts
from dss_portal.changes.watcher import CURRENT_S
from dss_portal.models import Session, User
from support.portals import Portal, submitted_ticket
from support.replicas import Site, signed_in, two_replicas, within_a_second

pytestmark = pytest.mark.stack


@pytest.fixture
async def site(portal: Portal) -> AsyncIterator[Site]:
    async with two_replicas(portal) as both:
        yield both


async def test_a_session_that_ended_is_over_here_at_once_and_elsewhere_within_a_second(
    portal: Portal, site: Site
) -> None:
    cookie = await signed_in(portal, "ann@example.com")
    for asked in (site.first, site.second):
        assert (await asked.get("/api/tickets", **cookie)).status_code == 200

    await site.first.get("/logout", **cookie)

    assert (await site.first.get("/api/tickets", **cookie)).status_code == 401
    await within_a_second(
        lambda: site.second.get("/api/tickets", **cookie), lambda a: a.status_code == 401
    )


async def test_a_session_that_ended_cannot_write_any_more(portal: Portal, site: Site) -> None:
    cookie = await signed_in(portal, "ann@example.com")
    create = partial(
        site.first.client.post, "/api/tickets", data={"name": "lung-segmentation"}, headers=cookie
    )
    assert (await create()).status_code == 200

    await site.first.get("/logout", **cookie)

    assert (await create()).status_code == 401


async def test_a_session_that_another_portal_ended_cannot_write_after_a_second(
    portal: Portal, site: Site
) -> None:
    cookie = await signed_in(portal, "ann@example.com")
    create = partial(
        site.first.client.post, "/api/tickets", data={"name": "lung-segmentation"}, headers=cookie
    )
    assert (await create()).status_code == 200

    await Session.all().update(revoked_at=datetime.now(UTC))

    await within_a_second(create, lambda answer: answer.status_code == 401)


@pytest.mark.parametrize(
    ("change", "status"), [({"sysadmin": False}, 400), ({"disabled": True}, 401)]
)
async def test_a_right_that_was_taken_away_is_gone_within_a_second(
    portal: Portal, site: Site, change: dict[str, bool], status: int
) -> None:
    cookie = await signed_in(portal, "root@example.com", sysadmin=True)
    number = await submitted_ticket(await portal.user("ann@example.com"))
    path = f"/api/tickets/{number}/status"
    assert (await site.second.get(path, **cookie)).status_code == 200

    await User.filter(email="root@example.com").update(**change)

    await within_a_second(
        lambda: site.second.get(path, **cookie), lambda a: a.status_code == status
    )


async def test_a_token_that_was_revoked_is_over_elsewhere_within_a_second(
    portal: Portal, site: Site
) -> None:
    """For polls and for requests that write."""
    user = await accounts.save_user("ann@example.com")
    headers = await bearer(user, None)
    create = partial(
        site.second.client.post, "/api/tickets", data={"name": "lung-segmentation"}, headers=headers
    )
    poll = partial(site.second.get, "/api/tickets", **headers)
    assert [(await ask()).status_code for ask in (poll, create, poll)] == [200] * 3
    assert "/api/tickets" not in site.second.framework[1:]

    await api_tokens.revoke((await api_tokens.listed())[0].id)

    for ask in (poll, create):
        await within_a_second(ask, lambda answer: answer.status_code == 401)


async def test_a_token_that_expires_is_refused(portal: Portal, site: Site) -> None:
    """While it is in use, too: nothing tells the portals of that."""
    user = await accounts.save_user("ann@example.com")
    expired, expires = await bearer(user, timedelta()), await bearer(user, timedelta(seconds=2))
    ends_s = asyncio.get_running_loop().time() + 2
    poll = partial(site.second.get, "/api/tickets", **expires)

    assert (await site.second.get("/api/tickets", **expired)).status_code == 401
    while (answer := await poll()).status_code == 200:
        assert asyncio.get_running_loop().time() < ends_s + CURRENT_S
        await asyncio.sleep(0.1)

    assert answer.status_code == 401
    assert asyncio.get_running_loop().time() > ends_s - 0.5


async def bearer(user: User, life: timedelta | None) -> dict[str, str]:
    """The header of a new token."""
    return {"Authorization": f"Bearer {await api_tokens.create(user, 't', ['tickets'], life)}"}
