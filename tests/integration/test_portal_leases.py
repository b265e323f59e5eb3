"""When a lease has lapsed and the ticket is given again, and when it has not."""

from datetime import UTC, datetime, timedelta

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import (
    ClaimHeartbeat,
    ClaimLogged,
)
from dss_portal.models import Claim, OutboxMessage, TicketHistory
from dss_portal.tickets import claims, leases, store
from support.claimed import log_of, status_becomes
from support.portals import (
    LONG_AGO,
    Portal,
    eventually,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


async def test_a_lapsed_lease_is_given_again_and_times_out_in_the_end(
    portal: Portal, client: Client
) -> None:
    """The ancestors' fault 2, the reference's weakness 18."""
    portal.serve()
    ticket_id = await submitted_ticket(client)
    for attempt in (1, 2, 3):
        assert (await portal.next_ready()).message.attempt == attempt  # type: ignore[union-attr]  # a TicketReady
        granted = await portal.granted(ticket_id, f"d{attempt}")
        await Claim.filter(id=granted.claim_id).update(expires_at=LONG_AGO)

        assert await portal.sweep() == 1

    await status_becomes(client, ticket_id, "timeout")
    history = await TicketHistory.filter(ticket_id=ticket_id).order_by("id")
    assert [entry.status.value for entry in history] == [
        "init",
        *["ready", "claimed"] * 3,
        "timeout",
    ]


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_a_portal_whose_clock_is_wrong_calls_nobody_dead(
    portal: Portal, client: Client, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    ticket_id = await submitted_ticket(client)
    wrong = datetime.now(UTC) + timedelta(minutes=minutes)
    for module in (claims, store):
        monkeypatch.setattr(module, "now", lambda: wrong)

    await portal.granted(ticket_id)

    assert await claims.lapsed() == []
    expires_in = (await Claim.get()).expires_at - datetime.now(UTC)
    assert timedelta(0) < expires_in <= timedelta(seconds=portal.settings.lease_s)


async def test_a_sign_of_life_under_way_saves_the_claim(portal: Portal, client: Client) -> None:
    """It waited in the broker for longer than the lease, say because the portals were frozen."""
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    await Claim.filter(id=granted.claim_id).update(expires_at=LONG_AGO)
    line = ClaimLogged(
        ticket_id=ticket_id, claim_id=granted.claim_id, level="info", text="Still here."
    )
    portal.broker.publish(line)

    await portal.sweep()

    await eventually(lambda: log_of(client, ticket_id), lambda log: log[-1] == "Still here.")
    assert await text(client, f"/api/tickets/{ticket_id}/status") == "claimed"


async def test_a_claim_that_waits_for_its_next_try_is_not_missed(
    portal: Portal, client: Client
) -> None:
    """A full disk is looked at again after two minutes, and a lease is one."""
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    before = (await Claim.get(id=granted.claim_id)).expires_at
    pause = ClaimHeartbeat(ticket_id=ticket_id, claim_id=granted.claim_id, pause_s=120.0)

    portal.broker.publish(pause)

    async def longer_s() -> float:
        return ((await Claim.get(id=granted.claim_id)).expires_at - before).total_seconds()

    await eventually(longer_s, lambda seconds: 120 <= seconds < 180)


async def test_nobody_is_called_dead_before_the_broker_has_been_there_for_a_while(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    await Claim.filter(id=granted.claim_id).update(expires_at=LONG_AGO)

    assert await leases.OverdueClaims(portal.broker, grace_s=60).ask() == 0
    patient = leases.OverdueClaims(portal.broker, grace_s=0)
    assert await patient.ask() == 1
    assert await patient.ask() == 0  # asked once


async def test_a_ticket_whose_announcement_was_missed_is_announced_again(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    await eventually(OutboxMessage.all().count, lambda waiting: waiting == 0)
    portal.serve()
    portal.settings.__dict__["reconcile_s"] = 0

    assert await portal.sweep() == 1

    assert (await portal.next_ready()).message.ticket_id == ticket_id  # type: ignore[union-attr]  # a TicketReady
