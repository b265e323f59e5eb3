"""What owners of waiting tickets read when nobody serves them, and when a program is back."""

import pytest

from dss_broker.liveness import ALIVE_S, POLL_ALIVE_S
from dss_portal.models import Dispatcher, Worker
from dss_portal.services.liveness import SENTENCES, MissingProgram
from dss_portal.tickets import service_watch
from dss_portal.tickets.service_watch import ServiceWatch
from support import absences
from support.liveness import hear, killed, log_of, service, told, worker
from support.portals import (
    Portal,
    new_ticket,
    submitted_ticket,
)

pytestmark = pytest.mark.stack
GRACE_S = service_watch.GRACE_S

impatient = absences.impatient
checks = absences.checks


def test_of_the_end_of_any_program_users_are_told_within_a_minute() -> None:
    ours_s = ALIVE_S + GRACE_S
    assert max(ours_s, POLL_ALIVE_S) + service_watch.PERIOD_S < 60
    assert POLL_ALIVE_S > 30 + 20  # itksnap-wt asks every 30 s, and may be late


async def test_owners_of_waiting_tickets_are_told_once_of_each_change(
    portal: Portal, checks: ServiceWatch
) -> None:
    ann = await portal.user()
    await hear(portal, worker(), service())
    ticket_id = await submitted_ticket(ann)
    unsubmitted = await new_ticket(ann)
    before = await log_of(ann, ticket_id)

    for change in (
        killed(Worker, "w1"),
        killed(Dispatcher, "d1"),
        hear(portal, service()),
        hear(portal, worker()),
    ):
        await change
        await told(checks, 1)
        assert await checks.check() == 0

    assert (await log_of(ann, ticket_id))[len(before) :] == [
        SENTENCES[MissingProgram.WORKER],
        SENTENCES[MissingProgram.DISPATCHER],
        SENTENCES[MissingProgram.WORKER],
        SENTENCES[MissingProgram.NONE],
    ]
    assert await log_of(ann, unsubmitted) == []


async def test_a_ticket_that_is_taken_at_once_when_the_service_is_back_says_so_first(
    portal: Portal, checks: ServiceWatch
) -> None:
    ann = await portal.user()
    await hear(portal, service(), service(ends=True))
    ticket_id = await submitted_ticket(ann)
    await told(checks, 1)

    await portal.granted(ticket_id)

    assert SENTENCES[MissingProgram.NONE] in await log_of(ann, ticket_id)
    await hear(portal, service(bundle=""))
    assert await checks.check() == 0


async def test_a_ticket_in_the_hands_of_a_dispatcher_misses_a_worker_only(
    portal: Portal, checks: ServiceWatch
) -> None:
    ann = await portal.user()
    await hear(portal, worker(), service())
    ticket_id = await submitted_ticket(ann)
    await portal.granted(ticket_id)

    await killed(Dispatcher, "d1")
    assert await checks.check() == 0  # its claim lapses, which is told
    await hear(portal, service(), worker(ends=True))
    await told(checks, 1)

    assert (await log_of(ann, ticket_id))[-1] == SENTENCES[MissingProgram.WORKER]


async def test_a_ticket_that_is_submitted_to_a_dead_service_is_told_too(
    portal: Portal, checks: ServiceWatch
) -> None:
    ann = await portal.user()
    await hear(portal, service(), service(ends=True))
    ticket_id = await submitted_ticket(ann)

    await told(checks, 1)

    assert (await log_of(ann, ticket_id))[-1] == SENTENCES[MissingProgram.DISPATCHER]


async def test_a_short_absence_is_not_told(
    portal: Portal, checks: ServiceWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_watch, "GRACE_S", 30.0)
    await hear(portal, service(), service(ends=True))
    await submitted_ticket(await portal.user())

    assert await checks.check() == 0


async def test_a_portal_without_its_broker_misses_nobody(
    portal: Portal, checks: ServiceWatch
) -> None:
    await hear(portal, service(), service(ends=True))
    await submitted_ticket(await portal.user())
    portal.broker.close()

    assert await checks.check() == 0
