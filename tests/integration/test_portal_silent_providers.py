"""When a provider over HTTP counts as gone."""

from datetime import timedelta

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.liveness import POLL_ALIVE_S
from dss_portal.admin import store as admin
from dss_portal.database import clock
from dss_portal.models import Claim, Dispatcher, Run, Service, Status, Ticket
from dss_portal.services import liveness
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_portal.tickets import service_watch
from dss_portal.tickets.service_watch import ServiceWatch
from support import absences
from support.liveness import LUNGS, hear, log_of, service, told
from support.portals import (
    Portal,
    post,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack

impatient = absences.impatient
checks = absences.checks
root = absences.root


async def test_who_polls_over_http_is_at_work_for_a_minute(portal: Portal, root: Client) -> None:
    await portal.announce_service()
    await Dispatcher.all().delete()
    await Service.all().update(polled_at=clock.now() - timedelta(seconds=POLL_ALIVE_S - 5))
    assert "At work" in await text(root, "/services")

    await Service.all().update(polled_at=clock.now() - timedelta(seconds=POLL_ALIVE_S + 1))

    assert "Nobody serves this at present" in await text(root, "/services")


async def silent_provider(portal: Portal, silent_s: float) -> int:
    """The number of a ticket whose provider over HTTP, the only one, claimed it and was heard ``silent_s`` ago."""
    await portal.announce_service()
    await Dispatcher.all().delete()
    provider = await portal.user("pro@example.com")
    await admin.add_provider_user("dss", "pro@example.com", admin=False)
    ticket_id = await submitted_ticket(await portal.user())
    githash = (await Service.get()).githash
    answer = await post(provider, f"/api/pro/services/{githash}/claims", provider="dss")
    assert answer == (200, str(ticket_id))
    await heard_ago(silent_s)
    return ticket_id


async def heard_ago(silent_s: float) -> None:
    """The provider's last word was ``silent_s`` ago."""
    at = clock.now() - timedelta(seconds=silent_s)
    await Service.all().update(polled_at=at, heard_at=at)
    claim = await Claim.get()
    await Claim.all().update(expires_at=at + timedelta(seconds=claim.lease_s))


async def test_owners_are_told_at_once_of_a_provider_over_http_that_has_gone(
    portal: Portal, checks: ServiceWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its silence has lasted when it counts as gone, so nothing more is waited for."""
    monkeypatch.setattr(service_watch, "GRACE_S", 30.0)
    await portal.announce_service()
    await Dispatcher.all().delete()
    at = clock.now() - timedelta(seconds=POLL_ALIVE_S + 1)
    await Service.all().update(polled_at=at, heard_at=at)
    ann = await portal.user()
    ticket_id = await submitted_ticket(ann)

    await told(checks, 1)

    assert (await log_of(ann, ticket_id))[-1] == SENTENCES[MissingProgram.DISPATCHER]


async def test_a_provider_that_is_silent_with_a_ticket_is_told_to_all_who_wait(
    portal: Portal, checks: ServiceWatch
) -> None:
    """Such a one may work or be dead until its lease ends, after hours."""
    ann = await portal.user()
    held = await silent_provider(portal, POLL_ALIVE_S + 1)
    waiting = await submitted_ticket(ann)

    await told(checks, 2)
    for ticket_id in (held, waiting):
        assert (await log_of(ann, ticket_id))[-1] == SENTENCES[MissingProgram.SILENT]
    assert "At work on a ticket, or gone" in await text(ann, "/services")
    assert SENTENCES[MissingProgram.SILENT] in await text(ann, f"/tickets/{waiting}")

    await heard_ago(1)

    await told(checks, 2)
    assert (await log_of(ann, waiting))[-1] == SENTENCES[MissingProgram.NONE]


@pytest.mark.parametrize(
    ("silent_s", "missing"), [(140, MissingProgram.NONE), (160, MissingProgram.SILENT)]
)
async def test_a_provider_may_be_silent_for_as_long_as_it_usually_works(
    portal: Portal, silent_s: float, missing: MissingProgram
) -> None:
    for seconds in (20.0, 100.0, 40.0):
        await Run.create(
            service=LUNGS, device="", size_bytes=1, seconds=seconds, ended_at=clock.now()
        )
    await silent_provider(portal, silent_s)

    assert (await liveness.availability())[LUNGS].missing is missing


@pytest.mark.parametrize("asks", [False, True])
async def test_a_provider_is_heard_of_when_it_ends_or_asks_for_its_ticket(
    portal: Portal, asks: bool
) -> None:
    """It has not polled while it worked, and polls again some seconds later."""
    ticket_id = await silent_provider(portal, 600)
    assert (await liveness.availability())[LUNGS].missing is MissingProgram.SILENT
    provider = await portal.user("pro@example.com")
    path = f"/api/pro/tickets/{ticket_id}/status"

    if asks:
        assert await text(provider, path) == "claimed"
        await Ticket.all().update(status=Status.DELETED)
    else:
        assert await post(provider, path, status="failed") == (200, "failed")

    assert (await liveness.availability())[LUNGS].missing is MissingProgram.NONE


async def test_a_provider_whose_lease_has_ended_serves_nothing(portal: Portal) -> None:
    await silent_provider(portal, 5 * 3600)

    assert (await liveness.availability())[LUNGS].missing is MissingProgram.DISPATCHER


async def test_a_silent_provider_hides_no_other_that_works(portal: Portal) -> None:
    await silent_provider(portal, POLL_ALIVE_S + 1)
    await hear(portal, service(bundle=""))

    assert (await liveness.availability())[LUNGS].missing is MissingProgram.NONE


async def test_a_first_run_that_reports_seldom_is_told_silent_once(
    portal: Portal, checks: ServiceWatch
) -> None:
    """It reports every 90 s; there are no runs that would tell how long it usually works."""
    ann = await portal.user()
    ticket_id = await silent_provider(portal, 90)
    waiting = await submitted_ticket(ann)
    await told(checks, 2)
    provider = await portal.user("pro@example.com")
    for _ in range(3):
        await text(provider, f"/api/pro/tickets/{ticket_id}/status")
        await checks.check()
        await heard_ago(95)
        await checks.check()

    lines = [line for line in await log_of(ann, waiting) if line in SENTENCES.values()]
    assert lines == [SENTENCES[MissingProgram.SILENT], SENTENCES[MissingProgram.NONE]]


@pytest.mark.parametrize(
    ("missed", "told_first", "left"),
    [
        (MissingProgram.DISPATCHER, [SENTENCES[MissingProgram.NONE]], MissingProgram.NONE),
        (MissingProgram.SILENT, [SENTENCES[MissingProgram.NONE]], MissingProgram.NONE),
        (MissingProgram.WORKER, [], MissingProgram.WORKER),
        (MissingProgram.NONE, [], MissingProgram.NONE),
    ],
)
async def test_before_its_claim_a_log_says_that_who_was_missing_is_back(
    portal: Portal, missed: MissingProgram, told_first: list[str], left: MissingProgram
) -> None:
    """A claim shows that somebody takes tickets, but not that a worker is back."""
    await silent_provider(portal, 1)
    ann, provider = await portal.user(), await portal.user("pro@example.com")
    waiting = await submitted_ticket(ann)
    await Ticket.filter(id=waiting).update(missed=missed.value)
    before = await log_of(ann, waiting)
    githash = (await Service.get()).githash

    answer = await post(provider, f"/api/pro/services/{githash}/claims", provider="dss")

    assert answer == (200, str(waiting))
    claimed = "Ticket claimed by provider dss instance default"
    assert await log_of(ann, waiting) == [*before, *told_first, claimed]
    assert (await Ticket.get(id=waiting)).missed == left.value
