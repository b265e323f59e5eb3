"""Who is alive, by one rule in pages, ``/readyz``, gauges and tickets' logs."""

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from quart.typing import TestClientProtocol as Client

from dss_broker.liveness import ALIVE_S, ANNOUNCE_S, POLLS_S
from dss_broker.messages import ServiceAnnounced, WorkerAnnounced
from dss_portal.admin import store as admin
from dss_portal.database import clock
from dss_portal.models import Claim, Dispatcher, Run, Service, Status, Ticket, Worker
from dss_portal.services import liveness
from dss_portal.services.liveness import SENTENCES, Missed
from dss_portal.tickets import presence
from dss_portal.tickets.presence import Presence
from support.portals import (
    DESCRIPTOR,
    Portal,
    eventually,
    new_ticket,
    post,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack

LUNGS = "lung-segmentation"
PATIENCE_S = presence.PATIENCE_S
NOBODY_SERVES = "Nobody serves 'lung-segmentation' at present."
NO_WORKER = "No inference worker serves 'lung-segmentation' at present."


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "PATIENCE_S", 0.0)


@pytest.fixture
def looks(portal: Portal) -> Presence:
    """Only when a test asks it to: the portal's own is far slower than that."""
    return Presence(portal.broker)


@pytest.fixture
async def root(portal: Portal) -> Client:
    return await portal.user("root@example.com", sysadmin=True)


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def service(instance: str = "d1", *, bundle: str = LUNGS, ends: bool = False) -> ServiceAnnounced:
    return ServiceAnnounced(
        service=LUNGS,
        provider="dss",
        instance=instance,
        descriptor=DESCRIPTOR,
        bundle=bundle,
        ends=ends,
    )


def worker(instance: str = "w1", *, bundle: str = LUNGS, ends: bool = False) -> WorkerAnnounced:
    return WorkerAnnounced(bundle=bundle, instance=instance, device="cpu", ends=ends)


async def hear(portal: Portal, *said: ServiceAnnounced | WorkerAnnounced) -> None:
    """Returns when the portal has heard them; they are heard in order."""
    for message in said:
        await portal.tell(message)
    last = said[-1]

    lately = clock.now() - timedelta(seconds=5)

    async def noted() -> bool:
        same = {"instance": last.instance, "ended": last.ends, "heard_at__gt": lately}
        if isinstance(last, WorkerAnnounced):
            return await Worker.filter(bundle=last.bundle, **same).exists()
        return await Dispatcher.filter(**same).exists()

    await eventually(noted, bool)


async def killed(kind: type[Worker] | type[Dispatcher], instance: str) -> None:
    """What the database says ALIVE_S after the last word of a program that was killed."""
    last = clock.now() - timedelta(seconds=ALIVE_S + 0.1)
    await kind.filter(instance=instance).update(heard_at=last)


async def log_of(client: Client, ticket_id: int) -> list[str]:
    answer = await client.get(f"/api/tickets/{ticket_id}/log", query_string={"format": "json"})
    return [line["message"] for line in (await answer.get_json())["result"]]


async def told(looks: Presence, owners: int) -> None:
    """Look until so many have been told, and no more; a row that is locked is left to the next look."""
    total = 0

    async def look() -> int:
        nonlocal total
        total += await looks.look()
        return total

    await eventually(look, lambda count: count >= owners)
    assert total == owners


def test_a_killed_program_is_shown_as_dead_within_fifteen_seconds() -> None:
    assert ALIVE_S + presence.PERIOD_S < 15
    assert ALIVE_S >= 4 * ANNOUNCE_S


async def test_a_worker_that_was_killed_is_dead_everywhere(
    portal: Portal, root: Client, looks: Presence
) -> None:
    await hear(portal, service(), worker())
    assert "At work" in await text(root, "/services")
    assert await text(root, "/readyz") == "ok"

    await killed(Worker, "w1")
    await looks.look()

    page = await text(root, "/services")
    assert "No inference worker is at work" in page
    assert "Not heard of" in page
    assert "<b>0</b> workers at work" in await text(root, "/admin")
    assert await text(root, "/readyz") == f"ok\n{NO_WORKER}"
    assert value("dss_workers", bundle=LUNGS) == 0
    assert value("dss_dispatchers", service=LUNGS) == 1


async def test_a_dispatcher_that_was_killed_is_dead_everywhere(
    portal: Portal, root: Client, looks: Presence
) -> None:
    await hear(portal, service(), worker())

    await killed(Dispatcher, "d1")
    await looks.look()

    assert "Nobody is at work" in await text(root, "/services")
    assert await text(root, "/readyz") == f"ok\n{NOBODY_SERVES}"
    assert value("dss_dispatchers", service=LUNGS) == 0
    assert value("dss_workers", bundle=LUNGS) == 1


async def test_a_program_that_says_goodbye_has_ended_at_once(
    portal: Portal, root: Client, looks: Presence
) -> None:
    await hear(portal, service(), worker(), worker(ends=True))

    assert await text(root, "/readyz") == f"ok\n{NO_WORKER}"
    assert "Ended" in await text(root, "/services")

    await hear(portal, worker(), service(ends=True))

    assert await text(root, "/readyz") == f"ok\n{NOBODY_SERVES}"


async def test_one_that_ended_does_not_hide_another_that_works(
    portal: Portal, root: Client
) -> None:
    await hear(portal, service("d1"), service("d2"), worker("w1"), worker("w2"))

    await hear(portal, worker("w1", ends=True), service("d1", ends=True))

    assert await text(root, "/readyz") == "ok"
    assert "<b>1</b> worker at work" in await text(root, "/admin")


async def test_a_worker_of_another_bundle_is_no_help(portal: Portal, root: Client) -> None:
    await hear(portal, service(), worker(bundle="nodule-detection"))

    assert await text(root, "/readyz") == f"ok\n{NO_WORKER}"


async def test_a_dispatcher_that_asks_a_server_over_http_misses_no_worker(
    portal: Portal, root: Client
) -> None:
    await hear(portal, service(bundle=""))

    assert await text(root, "/readyz") == "ok"


async def test_one_process_with_two_bundles_is_one_worker(
    portal: Portal, root: Client, looks: Presence
) -> None:
    await hear(portal, worker(bundle=LUNGS), worker(bundle="nodule-detection"))

    await looks.look()

    assert "<b>1</b> worker at work" in await text(root, "/admin")
    assert value("dss_workers", bundle=LUNGS) == 1
    assert value("dss_workers", bundle="nodule-detection") == 1


async def test_the_bundle_of_a_worker_that_is_forgotten_keeps_its_series(
    portal: Portal, looks: Presence
) -> None:
    await hear(portal, worker(bundle="retired"))
    await looks.look()
    await Worker.all().update(heard_at=clock.now() - timedelta(days=2))

    await liveness.delete_expired()
    await looks.look()

    assert await Worker.all().count() == 0
    assert value("dss_workers", bundle="retired") == 0


async def test_a_service_is_as_silent_as_its_latest_version(
    portal: Portal, looks: Presence
) -> None:
    await portal.announce_service()
    await portal.announce_service(version="2.0.0")
    long_ago = clock.now() - timedelta(hours=1)
    await Service.filter(version="1.0.0").update(heard_at=long_ago)

    await looks.look()

    silent_s = value("dss_service_silent_seconds", service=LUNGS)
    assert silent_s is not None
    assert silent_s < 60


async def test_a_service_that_was_removed_is_not_missed(
    portal: Portal, root: Client, looks: Presence
) -> None:
    await hear(portal, service(), service(ends=True))
    await looks.look()
    assert value("dss_dispatchers", service=LUNGS) == 0

    await Service.all().update(current=False)
    await looks.look()

    assert value("dss_dispatchers", service=LUNGS) is None
    assert await text(root, "/readyz") == "ok"


def test_of_the_end_of_any_program_users_are_told_within_a_minute() -> None:
    ours_s = ALIVE_S + PATIENCE_S
    assert max(ours_s, POLLS_S) + presence.PERIOD_S < 60
    assert POLLS_S > 30 + 20  # itksnap-wt asks every 30 s, and may be late


async def test_who_polls_over_http_is_at_work_for_a_minute(portal: Portal, root: Client) -> None:
    await portal.announce_service()
    await Dispatcher.all().delete()
    await Service.all().update(polled_at=clock.now() - timedelta(seconds=POLLS_S - 5))
    assert "At work" in await text(root, "/services")

    await Service.all().update(polled_at=clock.now() - timedelta(seconds=POLLS_S + 1))

    assert "Nobody is at work" in await text(root, "/services")


async def test_owners_of_waiting_tickets_are_told_once_of_each_change(
    portal: Portal, looks: Presence
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
        await told(looks, 1)
        assert await looks.look() == 0

    assert (await log_of(ann, ticket_id))[len(before) :] == [
        SENTENCES[Missed.WORKER],
        SENTENCES[Missed.DISPATCHER],
        SENTENCES[Missed.WORKER],
        SENTENCES[Missed.NOBODY],
    ]
    assert await log_of(ann, unsubmitted) == []


async def test_a_ticket_that_is_taken_at_once_when_the_service_is_back_says_so_first(
    portal: Portal, looks: Presence
) -> None:
    ann = await portal.user()
    await hear(portal, service(), service(ends=True))
    ticket_id = await submitted_ticket(ann)
    await told(looks, 1)

    await portal.granted(ticket_id)

    assert SENTENCES[Missed.NOBODY] in await log_of(ann, ticket_id)
    await hear(portal, service(bundle=""))
    assert await looks.look() == 0


async def test_a_ticket_in_the_hands_of_a_dispatcher_misses_a_worker_only(
    portal: Portal, looks: Presence
) -> None:
    ann = await portal.user()
    await hear(portal, worker(), service())
    ticket_id = await submitted_ticket(ann)
    await portal.granted(ticket_id)

    await killed(Dispatcher, "d1")
    assert await looks.look() == 0  # its claim lapses, which is told
    await hear(portal, service(), worker(ends=True))
    await told(looks, 1)

    assert (await log_of(ann, ticket_id))[-1] == SENTENCES[Missed.WORKER]


async def test_a_ticket_that_is_submitted_to_a_dead_service_is_told_too(
    portal: Portal, looks: Presence
) -> None:
    ann = await portal.user()
    await hear(portal, service(), service(ends=True))
    ticket_id = await submitted_ticket(ann)

    await told(looks, 1)

    assert (await log_of(ann, ticket_id))[-1] == SENTENCES[Missed.DISPATCHER]


async def test_a_short_absence_is_not_told(
    portal: Portal, looks: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "PATIENCE_S", 30.0)
    await hear(portal, service(), service(ends=True))
    await submitted_ticket(await portal.user())

    assert await looks.look() == 0


async def test_a_portal_without_its_broker_misses_nobody(portal: Portal, looks: Presence) -> None:
    await hear(portal, service(), service(ends=True))
    await submitted_ticket(await portal.user())
    portal.broker.close()

    assert await looks.look() == 0


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
    portal: Portal, looks: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its silence has lasted when it counts as gone, so nothing more is waited for."""
    monkeypatch.setattr(presence, "PATIENCE_S", 30.0)
    await portal.announce_service()
    await Dispatcher.all().delete()
    at = clock.now() - timedelta(seconds=POLLS_S + 1)
    await Service.all().update(polled_at=at, heard_at=at)
    ann = await portal.user()
    ticket_id = await submitted_ticket(ann)

    await told(looks, 1)

    assert (await log_of(ann, ticket_id))[-1] == SENTENCES[Missed.DISPATCHER]


async def test_a_provider_that_is_silent_with_a_ticket_is_told_to_all_who_wait(
    portal: Portal, looks: Presence
) -> None:
    """Such a one may work or be dead until its lease ends, after hours."""
    ann = await portal.user()
    held = await silent_provider(portal, POLLS_S + 1)
    waiting = await submitted_ticket(ann)

    await told(looks, 2)
    for ticket_id in (held, waiting):
        assert (await log_of(ann, ticket_id))[-1] == SENTENCES[Missed.SILENT]
    assert "At work on a ticket, or gone" in await text(ann, "/services")
    assert SENTENCES[Missed.SILENT] in await text(ann, f"/tickets/{waiting}")

    await heard_ago(1)

    await told(looks, 2)
    assert (await log_of(ann, waiting))[-1] == SENTENCES[Missed.NOBODY]


@pytest.mark.parametrize(("silent_s", "missed"), [(140, Missed.NOBODY), (160, Missed.SILENT)])
async def test_a_provider_may_be_silent_for_as_long_as_it_usually_works(
    portal: Portal, silent_s: float, missed: Missed
) -> None:
    for seconds in (20.0, 100.0, 40.0):
        await Run.create(
            service=LUNGS, device="", size_bytes=1, seconds=seconds, ended_at=clock.now()
        )
    await silent_provider(portal, silent_s)

    assert (await liveness.standings())[LUNGS].missed is missed


@pytest.mark.parametrize("asks", [False, True])
async def test_a_provider_is_heard_of_when_it_ends_or_asks_for_its_ticket(
    portal: Portal, asks: bool
) -> None:
    """It has not polled while it worked, and polls again some seconds later."""
    ticket_id = await silent_provider(portal, 600)
    assert (await liveness.standings())[LUNGS].missed is Missed.SILENT
    provider = await portal.user("pro@example.com")
    path = f"/api/pro/tickets/{ticket_id}/status"

    if asks:
        assert await text(provider, path) == "claimed"
        await Ticket.all().update(status=Status.DELETED)
    else:
        assert await post(provider, path, status="failed") == (200, "failed")

    assert (await liveness.standings())[LUNGS].missed is Missed.NOBODY


async def test_a_provider_whose_lease_has_ended_serves_nothing(portal: Portal) -> None:
    await silent_provider(portal, 5 * 3600)

    assert (await liveness.standings())[LUNGS].missed is Missed.DISPATCHER


async def test_a_silent_provider_hides_no_other_that_works(portal: Portal) -> None:
    await silent_provider(portal, POLLS_S + 1)
    await hear(portal, service(bundle=""))

    assert (await liveness.standings())[LUNGS].missed is Missed.NOBODY
