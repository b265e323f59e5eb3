"""Polls are answered before the framework, to the byte as it would, and never with what is over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import httpx
import pytest

from dss_broker.messages import ClaimLogged, ClaimProgressed
from dss_portal.accounts import api_tokens
from dss_portal.accounts import store as accounts
from dss_portal.admin import store as admin
from dss_portal.changes.feed import Feed
from dss_portal.models import Attachment, Session, Status, Ticket, TicketLog
from dss_portal.polls import requests, snapshots
from dss_portal.services import store as services
from support.portals import Portal, eventually, submitted_ticket, text
from support.replicas import Replica, Site, replica, signed_in, two_replicas, within_a_second

pytestmark = pytest.mark.stack


TELL_THE_FEED = {
    "/api/tickets",
    "/api/pro/services/claims",
    "/api/pro/services/<regex('[a-f0-9]+'):githash>/claims",
}
"""Their own tests show that what they change is seen at once."""


@pytest.fixture
async def site(portal: Portal) -> AsyncIterator[Site]:
    async with two_replicas(portal) as both:
        yield both


def shown(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body, without what differs each time."""
    headers = [(k, v) for k, v in answer.headers.multi_items() if k != "x-request-id"]
    return answer.status_code, sorted(headers), answer.content


async def tickets_in_all_states(portal: Portal) -> list[int]:
    """One claimed, one done, one deleted, one that waits; with a log and progress, as far as they were claimed."""
    ann = await portal.user("ann@example.com")
    numbers = [await submitted_ticket(ann) for _ in range(4)]
    for number in numbers[:2]:
        claim_id = (await portal.granted(number, f"d{number}")).claim_id
        for start in (0.1, 0.2):
            event = ClaimProgressed(
                ticket_id=number,
                claim_id=claim_id,
                chunk_start=start,
                chunk_end=start + 0.1,
                progress=0.7,
            )
            await portal.tell(event)
        said = ClaimLogged(ticket_id=number, claim_id=claim_id, level="info", text='é "x", y')
        await portal.tell(said)
        await eventually(partial(text, ann, f"/api/tickets/{number}/log"), lambda log: "é" in log)
    (line,) = await TicketLog.filter(ticket_id=numbers[1], message='é "x", y')
    for n in range(2):
        await Attachment.create(
            ticket_id=numbers[1],
            log=line,
            public_id=f"p{n}",
            description='ü "y"',
            mime_type="image/png",
            file_name="a.png",
            size_bytes=1,
        )
    await Ticket.filter(id=numbers[1]).update(status=Status.SUCCESS)
    await ann.get(f"/api/tickets/{numbers[2]}/delete")
    return numbers


async def test_a_poll_is_answered_as_the_framework_would(portal: Portal, site: Site) -> None:
    numbers = await tickets_in_all_states(portal)
    whole = [await signed_in(portal, "ann@example.com")]
    whole.append(await signed_in(portal, "root@example.com", sysadmin=True))
    user = await accounts.user_named("ann@example.com")
    for scopes in (["tickets"], ["provider"]):
        token = await api_tokens.create(user, "t", scopes, None)
        whole.append({"Authorization": f"Bearer {token}"})
    whole += [await signed_in(portal, "stranger@example.com"), {}, {"Cookie": "webpy_session_id=x"}]
    whole += [
        whole[0] | {"Accept": "text/html"},
        whole[0] | {"Sec-Fetch-Site": "same-origin"},
        whole[0] | {"Origin": "https://elsewhere.example.com"},
        whole[0] | {"X-Request-Id": "abcdefgh-1"},
    ]
    paths = ["/api/tickets", "/api/services", "/api/tickets/999999/status", "/api//tickets"]
    paths += [
        f"/api/{what}?format={kind}"
        for what in ("tickets", "services")
        for kind in ("json", "csv", "x")
    ]
    for number in numbers:
        paths += [f"/api/tickets/{number}/{what}" for what in ("status", "detail", "log")]
        paths += [
            f"/api/tickets/{number}/detail?since={s}"
            for s in ("0", "1", "3", "99999", "", "x", "-1")
        ]

    few = [*paths[:4], f"/api/tickets/{numbers[0]}/status", f"/api/tickets/{numbers[0]}/detail"]
    for headers in whole:
        for path in paths if headers is whole[0] else few:
            expected = shown(await site.bare.get(path.replace("//", "/"), **headers))
            for _ in range(2):  # from the database, then from memory
                assert shown(await site.first.get(path, **headers)) == expected, (path, headers)


async def test_a_request_is_named_as_the_client_named_it(portal: Portal, site: Site) -> None:
    cookie = await signed_in(portal, "ann@example.com")

    given = await site.first.get("/api/tickets", **cookie, **{"X-Request-Id": "abcdefgh-1"})
    odd = await site.first.get("/api/tickets", **cookie, **{"X-Request-Id": "a b"})

    assert given.headers["X-Request-Id"] == "abcdefgh-1"
    assert len(odd.headers["X-Request-Id"]) == 32
    assert site.first.framework == []


async def test_only_what_is_usual_is_answered_before_the_framework(
    portal: Portal, site: Site
) -> None:
    cookie = await signed_in(portal, "ann@example.com")
    number = await submitted_ticket(await portal.user("ann@example.com"))
    usual = ["/api/tickets", "/api/services", f"/api/tickets/{number}/status"]
    usual += [f"/api/tickets/{number}/detail?since=7", f"/api/tickets/{number}/detail"]

    for path in usual:
        assert (await site.first.get(path, **cookie)).status_code == 200

    assert site.first.framework == []


async def test_a_state_that_was_answered_is_never_followed_by_an_older_one(
    portal: Portal, site: Site
) -> None:
    """While others poll the same ticket all the time."""
    cookie = await signed_in(portal, "ann@example.com")
    ends = asyncio.Event()

    async def poll(number: int) -> None:
        while not ends.is_set():
            await site.first.get(f"/api/tickets/{number}/status", **cookie)
            await site.first.get("/api/tickets", **cookie)
            await asyncio.sleep(0)

    for _ in range(5):
        made = await site.first.client.post(
            "/api/tickets", data={"name": "lung-segmentation"}, headers=cookie
        )
        path = f"/api/tickets/{made.text}"
        assert (
            f"{made.text},lung-segmentation,init"
            in (await site.first.get("/api/tickets", **cookie)).text
        )
        ends.clear()
        polls = [asyncio.create_task(poll(int(made.text))) for _ in range(4)]
        await site.first.client.post(f"{path}/status", data={"status": "ready"}, headers=cookie)
        assert (await site.first.get(f"{path}/status", **cookie)).text == "ready"
        assert (
            f"{made.text},lung-segmentation,ready"
            in (await site.first.get("/api/tickets", **cookie)).text
        )
        await site.first.get(f"{path}/delete", **cookie)
        assert (await site.first.get(f"{path}/status", **cookie)).text == "deleted"
        assert made.text not in (await site.first.get("/api/tickets", **cookie)).text
        ends.set()
        await asyncio.gather(*polls)


async def test_claims_at_the_same_time_are_given_once_each_and_seen_at_once(
    portal: Portal, site: Site
) -> None:
    cookie = await signed_in(portal, "ann@example.com")
    ann = await portal.user("ann@example.com")
    numbers = {str(await submitted_ticket(ann)) for _ in range(6)}
    works = await signed_in(portal, "pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    githash = (await services.listed())[0].githash
    assert (await site.first.get("/api/tickets", **cookie)).text.count(",ready") == 6

    async def claim(name: str) -> str:
        answer = await site.first.client.post(
            f"/api/pro/services/{githash}/claims", data={"provider": name}, headers=works
        )
        return answer.text

    found = await asyncio.gather(*(claim(name) for name in ["dss"] * 8 + ["other"]))

    assert numbers == set(found) - {"-1", found[-1]}
    assert found.count("-1") == 2
    assert found[-1] == "Provider other is not one of yours."
    assert (await site.first.get("/api/tickets", **cookie)).text.count(",claimed") == 6


async def test_another_replica_is_at_most_a_second_behind(portal: Portal, site: Site) -> None:
    cookie = await signed_in(portal, "ann@example.com")
    number = await submitted_ticket(await portal.user("ann@example.com"))
    path = f"/api/tickets/{number}/status"
    assert (await site.second.get(path, **cookie)).text == "ready"

    await site.first.get(f"/api/tickets/{number}/delete", **cookie)

    await within_a_second(lambda: site.second.get(path, **cookie), lambda a: a.text == "deleted")
    assert site.second.framework == []


async def test_a_replica_whose_feed_is_down_asks_the_database_each_time(portal: Portal) -> None:
    await portal.announce_service()
    cookie = await signed_in(portal, "ann@example.com")
    number = await submitted_ticket(await portal.user("ann@example.com"))
    async with AsyncExitStack() as clients:
        silent = Feed(portal.settings.database_url.get_secret_value())
        alone = await replica(portal, clients, silent)
        for status in ("ready", "claimed", "failed", "ready"):
            await Ticket.filter(id=number).update(status=status)
            assert (await alone.get(f"/api/tickets/{number}/status", **cookie)).text == status
            assert f",{status}" in (await alone.get("/api/tickets", **cookie)).text
            detail = (await alone.get(f"/api/tickets/{number}/detail", **cookie)).json()["result"]
            assert detail["status"] == status
        assert alone.framework == []
        await Session.all().delete()
        assert (await alone.get("/api/tickets", **cookie)).status_code == 401


async def test_the_place_in_the_queue_moves_on_with_the_queue(portal: Portal, site: Site) -> None:
    cookie = await signed_in(portal, "ann@example.com")
    ann = await portal.user("ann@example.com")
    first, second = await submitted_ticket(ann), await submitted_ticket(ann)
    path = f"/api/tickets/{second}/detail"

    async def place(asked: Replica) -> int:
        found = (await asked.get(path, **cookie)).json()["result"]
        return int(found["queue_position"])

    assert [await place(site.first), await place(site.second)] == [2, 2]
    await site.first.get(f"/api/tickets/{first}/delete", **cookie)

    assert await place(site.first) == 1
    await within_a_second(lambda: place(site.second), lambda number: number == 1)


def test_every_address_that_changes_something_is_known(portal_rules: list[tuple[str, str]]) -> None:
    unknown = [r for r in portal_rules if not requests.may_change_something(*r)]

    assert portal_rules
    assert unknown == []


@pytest.fixture
def portal_rules(portal: Portal) -> list[tuple[str, str]]:
    """Method and address of each view that is marked as changing something, and of each that is not a GET."""
    return [
        (method, rule.rule)
        for rule in portal.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if (method != "GET" and rule.rule not in TELL_THE_FEED)
        or getattr(portal.app.view_functions[rule.endpoint], "changes_state", False)
    ]


async def test_only_responses_that_are_kept_count_and_the_oldest_go_first(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "LARGEST_BYTES", 1000)
    await portal.announce_service()
    ann = await portal.user()
    old, *others = [await submitted_ticket(ann) for _ in range(9)]
    await Ticket.all().update(status=Status.SUCCESS)
    shown = snapshots.Snapshots("http://127.0.0.1")

    async def poll(number: int) -> snapshots.TicketSnapshot:
        ticket = await shown.ticket(number, keep=True)
        assert ticket is not None
        assert await shown.detail(ticket, 0)
        return ticket

    first = await poll(old)
    for _ in range(20):
        await poll(others[0])
        shown.forget_ticket(others[0], of_state=False)
    assert await poll(old) is first

    seen = [await poll(number) for number in others]
    assert await poll(old) is not first
    assert await poll(others[-1]) is seen[-1]
