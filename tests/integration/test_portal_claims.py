"""Who gets a ticket: claims, repeated deliveries, and events of claims that are over."""

import asyncio
from typing import cast

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker import topology
from dss_broker.handling import Received
from dss_broker.messages import (
    ClaimFailed,
    ClaimGranted,
    ClaimLogged,
    ClaimRefused,
    TicketWithdrawn,
)
from dss_observability.tracing import TRACEPARENT
from dss_portal.models import Claim, OutboxMessage
from support.claimed import log_of
from support.portals import (
    LONG_AGO,
    Portal,
    eventually,
    new_ticket,
    send_file,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


async def test_a_claim_is_seen_by_the_user(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)

    await portal.granted(ticket_id)

    assert await text(client, f"/api/tickets/{ticket_id}/status") == "claimed"
    assert (await log_of(client, ticket_id))[-1] == "Ticket claimed by provider dss instance i1"


async def test_a_second_delivery_is_refused_while_the_first_is_at_work(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    await portal.granted(ticket_id, "d1")

    answer = await portal.claim(ticket_id, "d2", "i2")

    assert isinstance(answer, ClaimRefused)
    assert answer.reason == "No ticket waits any more."


async def test_the_same_delivery_in_new_hands_moves_the_claim_at_once(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")

    new = await portal.claim(ticket_id, "d1", "i2")

    assert isinstance(new, ClaimGranted)
    assert new.claim_id != old.claim_id


async def test_the_same_question_gets_the_same_answer(portal: Portal, client: Client) -> None:
    """Asked again by who has waited long, or delivered again because its portal died."""
    ticket_id = await submitted_ticket(client)
    first = await portal.granted(ticket_id, "d1")
    await Claim.filter(id=first.claim_id).update(expires_at=LONG_AGO)

    again = await portal.granted(ticket_id, "d1")

    assert again == first
    assert (await Claim.get()).expires_at > LONG_AGO
    assert (await log_of(client, ticket_id)).count(
        "Ticket claimed by provider dss instance i1"
    ) == 1


async def test_the_same_hands_take_over_from_themselves_with_a_later_delivery(
    portal: Portal, client: Client
) -> None:
    """They have been restarted, or try again."""
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")

    new = await portal.granted(ticket_id, "d1", deliveries=2)

    assert new.claim_id != old.claim_id


async def test_a_question_that_was_long_under_way_takes_nothing_from_later_hands(
    portal: Portal, client: Client
) -> None:
    """Who asked it has given up, or was frozen; who took over is at work."""
    ticket_id = await submitted_ticket(client)
    current = await portal.granted(ticket_id, "d1", deliveries=2)

    late = await portal.claim(ticket_id, "d1", "i0", deliveries=1)
    again = await portal.claim(ticket_id, "d1", "i2", deliveries=3)

    assert isinstance(late, ClaimRefused)
    assert isinstance(again, ClaimGranted)
    granted = [claim.id for claim in await Claim.filter(ticket_id=ticket_id)]
    assert sorted(granted) == sorted([current.claim_id, again.claim_id])


async def test_a_ticket_stays_in_the_trace_of_its_submission(
    portal: Portal, client: Client
) -> None:
    """By any announcement, and by the message of any ticket."""
    ticket_id = await new_ticket(client)
    await send_file(client, f"/api/tickets/{ticket_id}/files/input", "a.itksnap", b"<registry/>")
    status, headers = {"status": "ready"}, {TRACEPARENT: TRACE}
    await client.post(f"/api/tickets/{ticket_id}/status", form=status, headers=headers)
    await eventually(OutboxMessage.all().count, lambda waiting: waiting == 0)
    portal.serve()
    portal.settings.__dict__["reconcile_s"] = 0

    await portal.sweep()

    assert cast("Received", await portal.next_ready()).envelope.traceparent == TRACE
    assert (await portal.granted(ticket_id, "of another")).traceparent == TRACE


async def test_the_events_of_an_old_claim_change_nothing(portal: Portal, client: Client) -> None:
    """The reference's weakness 12."""
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")
    new = await portal.granted(ticket_id, "d1", deliveries=2)

    await portal.tell(ClaimFailed(ticket_id=ticket_id, claim_id=old.claim_id, reason="Old."))
    await portal.tell(
        ClaimLogged(ticket_id=ticket_id, claim_id=new.claim_id, level="info", text="New.")
    )

    await eventually(lambda: log_of(client, ticket_id), lambda log: log[-1] == "New.")
    assert await text(client, f"/api/tickets/{ticket_id}/status") == "claimed"


async def test_a_deleted_ticket_is_not_given_out(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    await text(client, f"/api/tickets/{ticket_id}/delete")

    answer = await portal.claim(ticket_id)

    assert isinstance(answer, ClaimRefused)
    assert answer.reason == "No ticket waits any more."


async def test_a_deletion_is_told_to_who_is_at_work(portal: Portal, client: Client) -> None:
    withdrawn: list[object] = []
    portal.broker.consume(
        topology.withdrawn("dispatch"), lambda delivery: withdrawn.append(delivery.message)
    )
    ticket_id = await submitted_ticket(client)
    await portal.granted(ticket_id)

    await text(client, f"/api/tickets/{ticket_id}/delete")

    async def seen() -> list[object]:
        return withdrawn

    expected = TicketWithdrawn(ticket_id=ticket_id, service="lung-segmentation")
    await eventually(seen, lambda found: found == [expected])


async def test_one_of_32_claimers_gets_a_ticket(portal: Portal, client: Client) -> None:
    """The ancestors' fault 1."""
    ticket_id = await submitted_ticket(client)

    answers = await asyncio.gather(*(portal.claim(ticket_id, f"d{i}") for i in range(32)))

    assert sum(isinstance(answer, ClaimGranted) for answer in answers) == 1
