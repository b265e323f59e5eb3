"""A poll is refused within a second after its session, token or right has ended."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest

from dss_portal.accounts import api_tokens
from dss_portal.accounts import store as accounts
from dss_portal.models import Session, User
from dss_portal.tickets import store
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


async def test_a_token_that_expires_is_refused(portal: Portal, site: Site) -> None:
    user = await accounts.save_user("ann@example.com")
    life = store.now() - store.now()
    token = await api_tokens.create(user, "t", ["tickets"], life)

    answer = await site.first.get("/api/tickets", Authorization=f"Bearer {token}")

    assert answer.status_code == 401
