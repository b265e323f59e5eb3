"""Tickets of a service that was removed: their owners read that it was removed, unless a dispatcher still takes them."""

import json
from datetime import timedelta

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.admin import store as admin
from dss_portal.database import clock
from dss_portal.estimates import estimates
from dss_portal.models import Dispatcher, Run, Service
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_portal.tickets import service_watch
from dss_portal.tickets.service_watch import ServiceWatch
from support import absences
from support.liveness import LUNGS, hear, log_of, service, worker
from support.portals import Portal, eventually, post, submitted_ticket, text

pytestmark = pytest.mark.stack

checks = absences.checks
REMOVED = SENTENCES[MissingProgram.REMOVED]
WAITS = "left."
"""The end of the sentence about the time that is left."""


@pytest.fixture(autouse=True)
def fresh_and_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates are never stored, and a program counts as missing only after an hour."""
    monkeypatch.setattr(estimates, "FRESH_S", 0.0)
    monkeypatch.setattr(estimates, "QUIET_S", 0.0)
    monkeypatch.setattr(estimates, "AT_LEAST_S", 0.0)
    monkeypatch.setattr(service_watch, "GRACE_S", 3600.0)


@pytest.fixture
async def publisher(portal: Portal) -> Client:
    """A provider's user whose program serves the service over HTTP.  Its runs took 5 s."""
    await portal.announce_service()
    await Dispatcher.all().delete()
    found = await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    githash = (await Service.get()).githash
    await post(found, "/api/pro/publishers", services=githash, code="host-1")
    ended = clock.now() - timedelta(hours=1)
    for _ in range(5):
        await Run.create(service=LUNGS, device="", size_bytes=11, seconds=5.0, ended_at=ended)
    return found


async def estimate(client: Client) -> str:
    (row,) = json.loads(await text(client, "/api/tickets/estimates?format=json"))["result"]
    return str(row["sentence"])


async def logged(checks: ServiceWatch, client: Client, ticket_id: int, line: str) -> None:
    """Look for missing programs until the ticket's log ends with ``line``; the portal itself looks, too."""

    async def look() -> str:
        await checks.check()
        return (await log_of(client, ticket_id))[-1]

    await eventually(look, lambda last: last == line)


async def remove() -> None:
    await admin.remove_service("dss", (await Service.get()).githash)


async def offer_again() -> None:
    await Service.all().update(current=True)


async def test_owners_read_that_the_service_of_a_waiting_ticket_was_removed(
    portal: Portal, publisher: Client, checks: ServiceWatch
) -> None:
    ann = await portal.user()
    number = await submitted_ticket(ann)
    page = f"/tickets/{number}"
    assert WAITS in await text(ann, page)
    assert "in the queue" in await text(ann, "/tickets")
    assert WAITS in await estimate(ann)

    await remove()

    for path in (page, "/tickets", "/"):
        shown = await text(ann, path)
        assert REMOVED in shown
        assert WAITS not in shown
        assert "in the queue" not in shown
    assert await estimate(ann) == REMOVED
    await logged(checks, ann, number, REMOVED)


async def test_when_the_service_is_offered_again_the_ticket_waits_as_before(
    portal: Portal, publisher: Client, checks: ServiceWatch
) -> None:
    ann = await portal.user()
    number = await submitted_ticket(ann)
    await remove()
    await logged(checks, ann, number, REMOVED)

    await offer_again()

    assert REMOVED not in (await text(ann, f"/tickets/{number}")).partition('id="log"')[0]
    assert WAITS in await estimate(ann)
    await logged(checks, ann, number, SENTENCES[MissingProgram.NONE])


async def test_a_claimed_ticket_of_a_removed_service_is_finished(
    portal: Portal, publisher: Client, checks: ServiceWatch
) -> None:
    ann = await portal.user()
    number = await submitted_ticket(ann)
    githash = (await Service.get()).githash
    words = {"provider": "dss", "code": "host-1-0", "announced": "1"}
    assert (await post(publisher, f"/api/pro/services/{githash}/claims", **words))[1] == str(number)

    await remove()

    assert REMOVED not in await text(ann, f"/tickets/{number}")
    assert await estimate(ann) != REMOVED
    assert await checks.check() == 0


async def test_a_version_that_was_replaced_under_its_number_is_removed_too(
    portal: Portal, publisher: Client, checks: ServiceWatch
) -> None:
    """The provider's programs claim tickets of the new one alone, although it has the same name."""
    ann = await portal.user()
    number = await submitted_ticket(ann)
    old = await Service.get()
    await Service.filter(id=old.id).update(current=False)
    await Service.create(
        githash="b" * 40,
        name=old.name,
        version=old.version,
        shortdesc=old.shortdesc,
        descriptor=old.descriptor,
    )

    for path in (f"/tickets/{number}", "/tickets"):
        assert REMOVED in await text(ann, path)
    assert await estimate(ann) == REMOVED
    await logged(checks, ann, number, REMOVED)


async def test_a_dispatcher_still_takes_tickets_of_a_removed_service(
    portal: Portal, checks: ServiceWatch
) -> None:
    await hear(portal, worker(), service())
    ann = await portal.user()
    number = await submitted_ticket(ann)

    await remove()

    for path in (f"/tickets/{number}", "/tickets"):
        assert REMOVED not in await text(ann, path)
    assert await checks.check() == 0
    await portal.granted(number)


async def test_a_dispatcher_of_a_removed_provider_takes_no_tickets(
    portal: Portal, checks: ServiceWatch
) -> None:
    await hear(portal, worker(), service())
    ann = await portal.user()
    number = await submitted_ticket(ann)

    await admin.remove_provider("dss")

    for path in (f"/tickets/{number}", "/tickets"):
        assert REMOVED in await text(ann, path)
    assert await estimate(ann) == REMOVED
