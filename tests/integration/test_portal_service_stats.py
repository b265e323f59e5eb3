"""``/api/services/HASH/stats``: how a service did in the last day."""

import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from quart.typing import TestClientProtocol as Client
from tortoise.connection import get_connection

from dss_portal.models import Service, Status, Ticket, TicketHistory, User
from dss_portal.services import statistics
from dss_portal.services.statistics import Statistics
from support.portals import Portal, submitted_ticket, text

pytestmark = pytest.mark.stack


@pytest.fixture
async def ann(portal: Portal) -> Client:
    """A user of a portal that lists one service."""
    await portal.announce_service()
    return await portal.user()


async def _stats(client: Client, form: str = "") -> str:
    service = await Service.get(name="lung-segmentation")
    return await text(client, f"/api/services/{service.githash}/stats{form}")


async def _ended(status: Status, *, hours_ago: float = 1, after_s: float = 30) -> None:
    """A ticket that was claimed twice and ended ``after_s`` seconds after the second claim."""
    service = await Service.get(name="lung-segmentation")
    user = await User.get(email="ann@example.com")
    end = datetime.now(UTC) - timedelta(hours=hours_ago)
    claimed_at = end - timedelta(seconds=after_s)
    ticket = await Ticket.create(user=user, service=service, status=status, claimed_at=claimed_at)
    for state, before_s in ((Status.CLAIMED, 900), (Status.CLAIMED, after_s), (status, 0)):
        entry = await TicketHistory.create(ticket=ticket, status=state)
        moment = end - timedelta(seconds=before_s)
        await TicketHistory.filter(id=entry.id).update(at=moment)


async def test_without_a_success_there_is_no_duration(ann: Client) -> None:
    await submitted_ticket(ann)
    await _ended(Status.TIMEOUT)
    await _ended(Status.FAILED)

    assert re.fullmatch(r"0,2,\d,1\r\n", await _stats(ann))


async def test_with_a_success_the_mean_duration_comes_third(ann: Client) -> None:
    await _ended(Status.SUCCESS, after_s=30)
    await _ended(Status.SUCCESS, after_s=60)

    (row,) = json.loads(await _stats(ann, "?format=json"))["result"]
    assert list(row) == [
        "n_success",
        "n_failed",
        "avg_duration",
        "last_heard_from",
        "queue_length",
    ]
    assert (row["n_success"], row["avg_duration"]) == (2, 45.0)


async def test_what_ended_yesterday_does_not_count(ann: Client) -> None:
    await _ended(Status.SUCCESS, hours_ago=25)

    assert (await _stats(ann)).startswith("0,0,")


async def test_a_service_that_nobody_ever_served_counts_from_its_registration(ann: Client) -> None:
    await Service.all().update(heard_at=None, created_at=datetime.now(UTC) - timedelta(seconds=90))

    assert re.fullmatch(r"0,0,9\d,0\r\n", await _stats(ann))


async def test_an_unknown_service_has_no_statistics(ann: Client) -> None:
    answer = await ann.get("/api/services/abc/stats")

    assert answer.status_code == 400
    assert await answer.get_data(as_text=True) == "Service abc is not available"


async def test_tickets_of_two_services_are_counted_apart(portal: Portal, ann: Client) -> None:
    await portal.announce_service(name="other")
    await submitted_ticket(ann)
    await _ended(Status.SUCCESS)
    await _ended(Status.FAILED)
    ours, other = await Service.get(name="lung-segmentation"), await Service.get(name="other")

    found, none = await Statistics().of([ours, other])

    assert (found.n_success, found.n_failed, found.mean_s, found.queue_length) == (1, 1, 30.0, 1)
    assert (none.n_success, none.n_failed, none.mean_s, none.queue_length) == (0, 0, None, 0)


async def test_counts_are_kept_for_a_while_that_grows_with_the_time_of_counting(
    ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(statistics, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    ours = await Service.get(name="lung-segmentation")

    def slow(name: str) -> object:
        now_s[0] += 0.1
        return get_connection(name)

    monkeypatch.setattr(statistics, "get_connection", slow)
    kept = Statistics()
    seen = []
    for pause_s in (0.0, 1.9, 0.2):
        await _ended(Status.SUCCESS)
        now_s[0] += pause_s
        seen.append((await kept.of([ours]))[0].n_success)

    assert seen == [1, 1, 3]
