"""What a portal reads from the database and tells Prometheus."""

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from dss_portal import gauges
from dss_portal.database import clock
from dss_portal.models import Status, Ticket, TicketHistory
from support.portals import LONG_AGO, Portal, new_ticket, submitted_ticket, text

pytestmark = pytest.mark.stack


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_every_event_of_an_offered_service_has_a_series(portal: Portal) -> None:
    await portal.announce_service(name="quiet-service")

    await gauges.refresh()

    for event in ("Submitted", "Claimed", "Failed", "LeaseLapsed"):
        assert value("dss_ticket_events_total", service="quiet-service", event=event) == 0
    for outcome in ("success", "failed", "timeout"):
        assert value("dss_tickets_finished_total", service="quiet-service", outcome=outcome) == 0


async def test_errors_have_a_series_before_the_first_one(portal: Portal) -> None:
    before = value("dss_http_errors_total")

    await (await portal.user()).get("/api/services")

    assert before is not None  # a series that appears with its first error hides it
    assert value("dss_http_errors_total") == before


async def test_the_longest_wait_is_that_of_the_first_ticket(portal: Portal) -> None:
    await portal.announce_service()
    await submitted_ticket(await portal.user())

    await gauges.refresh()

    assert value("dss_tickets", service="lung-segmentation", status="ready") == 1
    waits_s = value("dss_ticket_oldest_waiting_seconds", service="lung-segmentation")
    assert waits_s is not None
    assert 0 < waits_s < 60


async def test_a_ticket_that_came_back_waits_since_then(portal: Portal) -> None:
    await portal.announce_service()
    ann = await portal.user()
    returned, fresh = await submitted_ticket(ann), await submitted_ticket(ann)
    await Ticket.filter(id=returned).update(queued_at=LONG_AGO, attempt=2)

    async def longest_s() -> float:
        await gauges.refresh()
        return value("dss_ticket_oldest_waiting_seconds", service="lung-segmentation") or 0.0

    assert 0 < await longest_s() < 60
    await Ticket.filter(id=fresh).update(queued_at=clock.now() - timedelta(hours=1))
    assert 3600 <= await longest_s() < 3660
    await Ticket.filter(id=fresh).update(status=Status.CLAIMED)
    assert 0 < await longest_s() < 60
    await TicketHistory.filter(ticket_id=returned).update(at=clock.now() - timedelta(hours=2))
    assert 7200 <= await longest_s() < 7260


async def test_an_upload_that_is_given_up_is_no_failure_of_its_service(portal: Portal) -> None:
    await portal.announce_service(name="abandoned")
    await new_ticket(await portal.user(), "abandoned")
    await Ticket.all().update(created_at=LONG_AGO)

    await portal.sweep()

    assert value("dss_ticket_events_total", service="abandoned", event="UploadGivenUp") == 1
    assert not value("dss_ticket_events_total", service="abandoned", event="StageOverdue")
    assert not value("dss_tickets_finished_total", service="abandoned", outcome="timeout")


async def test_a_wait_that_ends_without_a_claim_adds_no_negative_time(portal: Portal) -> None:
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await submitted_ticket(client)
    await portal.granted(ticket_id)
    await Ticket.filter(id=ticket_id).update(claimed_at=LONG_AGO)
    assert await portal.sweep() == 1  # the attempt took too long, so the ticket waits again
    await Ticket.filter(id=ticket_id).update(queued_at=LONG_AGO)
    labels = {"service": "lung-segmentation", "stage": "queued"}
    before = value("dss_ticket_stage_seconds_sum", **labels) or 0.0

    assert await portal.sweep() == 1

    assert await text(client, f"/api/tickets/{ticket_id}/status") == "timeout"
    assert (value("dss_ticket_stage_seconds_sum", **labels) or 0.0) == before
