"""Who is alive, by one rule in pages, ``/readyz``, gauges and tickets' logs."""

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from quart.typing import TestClientProtocol as Client

from dss_broker.liveness import ALIVE_S, ANNOUNCE_S
from dss_portal.database import clock
from dss_portal.models import Dispatcher, Service, Worker
from dss_portal.services import liveness
from dss_portal.tickets import service_watch
from dss_portal.tickets.service_watch import ServiceWatch
from support import absences
from support.liveness import LUNGS, hear, killed, service, worker
from support.portals import (
    Portal,
    text,
)

pytestmark = pytest.mark.stack
NOBODY_SERVES = "Nobody serves 'lung-segmentation' at present."
NO_WORKER = "No inference worker serves 'lung-segmentation' at present."

impatient = absences.impatient
checks = absences.checks
root = absences.root


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_a_killed_program_is_shown_as_dead_within_fifteen_seconds() -> None:
    assert ALIVE_S + service_watch.PERIOD_S < 15
    assert ALIVE_S >= 4 * ANNOUNCE_S


async def test_a_worker_that_was_killed_is_dead_everywhere(
    portal: Portal, root: Client, checks: ServiceWatch
) -> None:
    await hear(portal, service(), worker())
    assert "At work" in await text(root, "/services")
    assert await text(root, "/readyz") == "ok"

    await killed(Worker, "w1")
    await checks.check()

    page = await text(root, "/services")
    assert "No inference worker serves this at present" in page
    assert "Not heard of" in page
    assert "<b>0</b> workers at work" in await text(root, "/admin")
    assert await text(root, "/readyz") == f"ok\n{NO_WORKER}"
    assert value("dss_workers", bundle=LUNGS) == 0
    assert value("dss_dispatchers", service=LUNGS) == 1


async def test_a_dispatcher_that_was_killed_is_dead_everywhere(
    portal: Portal, root: Client, checks: ServiceWatch
) -> None:
    await hear(portal, service(), worker())

    await killed(Dispatcher, "d1")
    await checks.check()

    assert "Nobody serves this at present" in await text(root, "/services")
    assert await text(root, "/readyz") == f"ok\n{NOBODY_SERVES}"
    assert value("dss_dispatchers", service=LUNGS) == 0
    assert value("dss_workers", bundle=LUNGS) == 1


async def test_a_program_that_says_goodbye_has_ended_at_once(
    portal: Portal, root: Client, checks: ServiceWatch
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
    portal: Portal, root: Client, checks: ServiceWatch
) -> None:
    await hear(portal, worker(bundle=LUNGS), worker(bundle="nodule-detection"))

    await checks.check()

    for page in ("/admin", "/services"):
        assert "<b>1</b> worker at work" in await text(root, page)
    assert value("dss_workers", bundle=LUNGS) == 1
    assert value("dss_workers", bundle="nodule-detection") == 1


async def test_the_bundle_of_a_worker_that_is_forgotten_keeps_its_series(
    portal: Portal, checks: ServiceWatch
) -> None:
    await hear(portal, worker(bundle="retired"))
    await checks.check()
    await Worker.all().update(heard_at=clock.now() - timedelta(days=2))

    await liveness.delete_expired()
    await checks.check()

    assert await Worker.all().count() == 0
    assert value("dss_workers", bundle="retired") == 0


async def test_a_service_is_as_silent_as_its_latest_version(
    portal: Portal, checks: ServiceWatch
) -> None:
    await portal.announce_service()
    await portal.announce_service(version="2.0.0")
    long_ago = clock.now() - timedelta(hours=1)
    await Service.filter(version="1.0.0").update(heard_at=long_ago)

    await checks.check()

    silent_s = value("dss_service_silent_seconds", service=LUNGS)
    assert silent_s is not None
    assert silent_s < 60


async def test_a_service_that_was_removed_is_not_missed(
    portal: Portal, root: Client, checks: ServiceWatch
) -> None:
    await hear(portal, service(), service(ends=True))
    await checks.check()
    assert value("dss_dispatchers", service=LUNGS) == 0

    await Service.all().update(current=False)
    await checks.check()

    assert value("dss_dispatchers", service=LUNGS) is None
    assert await text(root, "/readyz") == "ok"
