"""The portal's own rounds over 100,000 tickets: nobody who asks for something waits for them."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from prometheus_client import REGISTRY

from dss_portal import gauges
from dss_portal.datastore import Datastore
from dss_portal.models import OutboxMessage, Service, Ticket, User
from dss_portal.services import liveness
from dss_portal.tickets import cleanup, reaper
from support.portals import Portal, eventually, submitted_ticket
from support.probes import LATE_S, lateness_s

pytestmark = pytest.mark.stack

WAITING, ENDED = 100_000, 5_000

# Announced so often that the next time is far away, and so long ago that each has to be looked at.
FILL = f"""
INSERT INTO ticket (user_id, service_id, status, created_at, queued_at, announced_at, announcements)
    SELECT $1, $2, CASE WHEN i > {ENDED} THEN 'ready' ELSE 'success' END,
        now(), now(), now() - interval '2 minutes', 6
    FROM generate_series(1, {WAITING + ENDED}) AS i;
"""
HISTORY = """
INSERT INTO ticket_history (ticket_id, status, at)
    SELECT id, status, now() - interval '2 minutes' FROM ticket;
"""
FILES = f"""
INSERT INTO ticket_file (ticket_id, area, index, name, size_bytes)
    SELECT id, 'results', i, 'f' || i, 1 FROM ticket, generate_series(0, 2) AS i
    WHERE ticket.status = 'success' AND id <= {ENDED};
"""


@pytest.fixture
async def datastore(portal: Portal) -> Datastore:
    """Of a site with very many tickets."""
    await portal.announce_service()
    await portal.user()
    service, user = await Service.get(current=True), await User.get(email="ann@example.com")
    connection = await asyncpg.connect(portal.settings.database_url.get_secret_value())
    try:
        await connection.execute(FILL, user.id, service.id)
        for statement in (HISTORY, FILES, "ANALYZE"):
            await connection.execute(statement)
    finally:
        await connection.close()
    return portal.components.datastore


async def test_no_round_over_all_tickets_keeps_anybody_waiting(
    portal: Portal, datastore: Datastore
) -> None:
    rounds = {
        "reaper": lambda: reaper.sweep(portal.settings, datastore),
        "gauges": gauges.refresh,
        "cleanup": lambda: cleanup.clean_ended(datastore),
        "availability": liveness.availability,
    }
    worst_s: dict[str, float] = {}
    for name, look in rounds.items():
        async with lateness_s() as late:
            await look()
        worst_s[name] = late.worst_s

    assert {name: late for name, late in worst_s.items() if late >= LATE_S} == {}
    labels = {"service": "lung-segmentation", "status": "ready"}
    assert REGISTRY.get_sample_value("dss_tickets", labels) == WAITING


async def test_forgotten_tickets_are_announced_in_rounds_that_leave_time_for_claims(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "PAGE_TICKETS", 3)
    monkeypatch.setattr(reaper, "ANNOUNCE_S", 0)
    await portal.announce_service()
    client = await portal.user()
    for _ in range(5):
        await submitted_ticket(client)
    await Ticket.all().update(announced_at=None)

    touched = [await portal.sweep() for _ in range(3)]

    assert touched == [3, 2, 0]


async def test_no_announcement_is_added_while_the_outbox_has_very_many(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "MOST_UNSENT", 3)
    await portal.announce_service()
    await submitted_ticket(await portal.user())
    await Ticket.all().update(announced_at=None)
    later = datetime.now(UTC) + timedelta(hours=1)
    for number in range(3):
        await OutboxMessage.create(
            message_id=str(number), type_name="TicketReady", body=b"", not_before=later
        )

    assert await portal.sweep() == 0

    await OutboxMessage.filter(message_id="0").delete()
    # The relay may hold the ticket's row, because nobody listens, or still store its first announcement.
    await eventually(portal.sweep, lambda announced: announced == 1)
