"""What a portal reads from the database and tells Prometheus."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from dss_portal import gauges
from dss_portal.models import Service, Worker
from portals import Portal, submitted_ticket

pytestmark = pytest.mark.stack


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def _hear_worker(bundle: str, instance: str, ago: timedelta) -> None:
    heard_at = datetime.now(UTC) - ago
    await Worker.create(bundle=bundle, instance=instance, device="cpu", heard_at=heard_at)


async def test_only_workers_that_were_heard_lately_count(portal: Portal) -> None:
    await _hear_worker("threshold", "a", timedelta(seconds=10))
    await _hear_worker("threshold", "b", timedelta(minutes=5))
    await _hear_worker("retired", "c", timedelta(days=5))

    await gauges.look()

    assert value("dss_workers", bundle="threshold") == 1
    assert value("dss_workers", bundle="retired") == 0


async def test_a_service_is_as_silent_as_its_latest_version(portal: Portal) -> None:
    await portal.announce_service()
    await portal.announce_service(version="2.0.0")
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    await Service.filter(version="1.0.0").update(heard_at=long_ago)

    await gauges.look()

    silent_s = value("dss_service_silent_seconds", service="lung-segmentation")
    assert silent_s is not None
    assert silent_s < 60


async def test_every_event_of_an_offered_service_has_a_series(portal: Portal) -> None:
    await portal.announce_service(name="quiet-service")

    await gauges.look()

    for event in ("Submitted", "Claimed", "Failed", "LeaseLapsed"):
        assert value("dss_ticket_events_total", service="quiet-service", event=event) == 0
    for outcome in ("success", "failed", "timeout"):
        assert value("dss_tickets_finished_total", service="quiet-service", outcome=outcome) == 0


async def test_the_longest_wait_is_that_of_the_first_ticket(portal: Portal) -> None:
    await portal.announce_service()
    await submitted_ticket(await portal.user())

    await gauges.look()

    assert value("dss_tickets", service="lung-segmentation", status="ready") == 1
    waits_s = value("dss_ticket_oldest_waiting_seconds", service="lung-segmentation")
    assert waits_s is not None
    assert 0 < waits_s < 60
