"""Which ticket a message of the queue leads to, with several readers and repeated deliveries."""

import asyncio

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker import topology
from dss_broker.messages import ClaimFailed, ClaimGranted, ClaimRefused, TicketReady
from dss_portal.accounts import store as accounts
from dss_portal.models import Claim, Service, Status, Ticket
from support.portals import Portal, eventually, submitted_ticket, text
from support.queued import START, waiting

pytestmark = pytest.mark.stack


@pytest.fixture
async def service(portal: Portal) -> Service:
    await portal.announce_service()
    return await Service.get(name="lung-segmentation")


async def test_of_many_dispatchers_at_once_each_gets_a_ticket_of_its_own(
    portal: Portal, service: Service
) -> None:
    ann = await accounts.save_user("ann@example.com")
    for minute in range(20):
        await waiting(service, ann, minute)

    answers = await asyncio.gather(*(portal.claim(0, f"d{n}") for n in range(32)))

    granted = [a.ticket_id for a in answers if isinstance(a, ClaimGranted)]
    assert len(granted) == len(set(granted)) == 20


async def test_of_two_hands_with_one_message_at_once_both_are_given_the_same_ticket(
    portal: Portal, service: Service
) -> None:
    """So the second takes it over; two tickets for one message would leave one to a dead dispatcher."""
    ann = await accounts.save_user("ann@example.com")
    for minute in range(5):
        await waiting(service, ann, minute)

    answers = await asyncio.gather(*(portal.claim(0, "d1", f"i{n}") for n in range(8)))

    assert len({answer.ticket_id for answer in answers if isinstance(answer, ClaimGranted)}) == 1
    assert await Ticket.filter(status=Status.CLAIMED).count() == 1


async def test_a_message_in_new_hands_leads_to_its_ticket_and_not_to_the_next(
    portal: Portal, service: Service
) -> None:
    ann = await accounts.save_user("ann@example.com")
    bob = await accounts.save_user("bob@example.com")
    await waiting(service, ann, 1)
    old = await portal.granted(0, "d1")
    await waiting(service, bob, 0)

    new = await portal.granted(0, "d1", deliveries=2)

    assert (new.ticket_id, new.attempt) == (old.ticket_id, 1)


async def test_a_message_whose_ticket_is_done_leads_nowhere(
    portal: Portal, service: Service
) -> None:
    """Its dispatcher died between the last word and the acknowledgement.  The next ticket has its own."""
    ann = await accounts.save_user("ann@example.com")
    done = await waiting(service, ann, 0)
    following = await waiting(service, ann, 1)
    await portal.granted(0, "d1")
    await Ticket.filter(id=done).update(status=Status.SUCCESS)

    assert isinstance(await portal.claim(0, "d1"), ClaimRefused)
    assert (await portal.granted(0, "d2")).ticket_id == following


async def test_a_message_whose_claim_lapsed_does_not_take_another_ticket_along(
    portal: Portal, service: Service
) -> None:
    """It may have killed its readers, and would be parked with whatever it holds then."""
    ann = await accounts.save_user("ann@example.com")
    await waiting(service, ann)
    await waiting(service, ann)
    granted = await portal.granted(0, "d1")
    await Claim.filter(id=granted.claim_id).update(expires_at=START)
    assert await portal.sweep() == 2  # the lapsed one, and the other, which was never announced

    assert isinstance(await portal.claim(0, "d1"), ClaimRefused)
    assert (await portal.granted(0, "d2")).attempt == 2


async def test_a_message_that_kills_its_readers_fails_the_ticket_that_it_led_to(
    portal: Portal,
) -> None:
    """Which need not be the one that it names."""
    await portal.announce_service()
    service = await Service.get(name="lung-segmentation")
    portal.broker.consume(topology.dispatch(service.name), _gives_up)
    ann = await portal.user("ann@example.com")
    bob = await accounts.save_user("bob@example.com")
    led_to = await waiting(service, bob, 0)
    granted = await portal.granted(0, "poison")
    named = await submitted_ticket(ann)
    ready = TicketReady(ticket_id=named, service=service.name, service_hash=service.githash)

    await portal.tell(ready, "poison")

    async def state() -> Status:
        return (await Ticket.get(id=led_to)).status

    await eventually(state, lambda now: now is Status.FAILED)
    assert granted.ticket_id == led_to
    assert await text(ann, f"/api/tickets/{named}/status") == "ready"


def _gives_up(delivery: object) -> None:
    raise TypeError("cannot handle this")


async def test_the_last_ticket_is_failed_by_its_dispatcher_and_a_surplus_message_finds_nothing(
    portal: Portal, service: Service
) -> None:
    client: Client = await portal.user("ann@example.com")
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id, "d1")
    await portal.tell(ClaimFailed(ticket_id=ticket_id, claim_id=granted.claim_id, reason="Bad."))

    async def state() -> str:
        return await text(client, f"/api/tickets/{ticket_id}/status")

    await eventually(state, lambda now: now == "failed")
    assert isinstance(await portal.claim(ticket_id, "d2"), ClaimRefused)
