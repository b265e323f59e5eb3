"""Dead letters over the admin API: seen, requeued once, discarded only when that is meant."""

import json
from functools import partial

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.memory import MemoryBroker
from support.portals import Portal, eventually, post, submitted_ticket, text

pytestmark = pytest.mark.stack

LETTERS = "/api/admin/dead-letters"


async def listed(root: Client) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(await text(root, f"{LETTERS}?format=json"))[
        "result"
    ]
    return found


def claims_and_breaks(broker: MemoryBroker, delivery: Delivery) -> None:
    request = m.ClaimTicket(
        ticket_id=0,
        service="lung-segmentation",
        provider="dss",
        instance="breaks",
        delivery_id=delivery.message_id,
    )
    assert isinstance(broker.request(request).next(60), m.ClaimGranted)
    raise RuntimeError("no such layer")


async def failed_ticket(portal: Portal, ann: Client, root: Client) -> int:
    """A submitted ticket whose message has broken its dispatcher."""
    assert isinstance(portal.broker, MemoryBroker)
    broken = MemoryBroker(portal.broker.server)
    lungs = topology.dispatch("lung-segmentation")
    broken.consume(lungs, partial(claims_and_breaks, broken))
    ticket_id = await submitted_ticket(ann)
    status = f"/api/tickets/{ticket_id}/status"
    await eventually(lambda: text(ann, status), lambda found: found == "failed")
    await eventually(lambda: listed(root), lambda found: len(found) == 1)
    broken.close()
    return ticket_id


async def quiet_portal(portal: Portal) -> tuple[Client, Client]:
    await portal.announce_service()
    return await portal.user(), await portal.user("root@example.com", sysadmin=True)


async def test_a_dead_letter_is_listed_with_its_story(portal: Portal) -> None:
    ann, root = await quiet_portal(portal)

    ticket_id = await failed_ticket(portal, ann, root)

    (letter,) = await listed(root)
    assert letter["type"] == "TicketReady"
    assert letter["ticket"] == ticket_id
    assert letter["reason"] == "RuntimeError: no such layer"
    assert letter["queue"] == "dss.dispatch.lung-segmentation"
    assert (letter["attempt"], letter["deliveries"]) == (1, 1)
    assert isinstance(letter["age_s"], int)


async def test_requeueing_puts_the_failed_ticket_back_and_announces_it_once(portal: Portal) -> None:
    ann, root = await quiet_portal(portal)
    ticket_id = await failed_ticket(portal, ann, root)
    (letter,) = await listed(root)
    portal.serve()

    answer = await post(root, f"{LETTERS}/requeue", id=str(letter["id"]))

    assert answer == (200, "1 message was requeued.")
    ready = (await portal.next_ready()).message
    assert isinstance(ready, m.TicketReady)
    assert ready.ticket_id == ticket_id
    assert portal.nothing_ready()
    assert await text(ann, f"/api/tickets/{ticket_id}/status") == "ready"
    assert await listed(root) == []


async def test_a_letter_whose_ticket_was_retried_already_is_refused_and_stays(
    portal: Portal,
) -> None:
    ann, root = await quiet_portal(portal)
    ticket_id = await failed_ticket(portal, ann, root)
    (letter,) = await listed(root)
    await ann.get(f"/api/tickets/{ticket_id}/retry")

    status, sentence = await post(root, f"{LETTERS}/requeue", id=str(letter["id"]))

    assert status == 400
    assert sentence == (
        f"Ticket {ticket_id} is in state ready, so its message is of no use any more and can only "
        "be discarded."
    )
    assert await listed(root) == [{**letter, "age_s": pytest.approx(letter["age_s"], abs=5)}]


async def test_a_letter_about_no_ticket_goes_back_to_its_queue(portal: Portal) -> None:
    _, root = await quiet_portal(portal)
    broken = m.ServiceAnnounced(service="x", provider="dss", instance="i", descriptor={"name": 1})
    await portal.tell(broken)
    (letter,) = await eventually(lambda: listed(root), lambda found: len(found) == 1)
    assert letter["ticket"] == ""

    answer = await post(root, f"{LETTERS}/requeue", all="1")

    assert answer == (200, "1 message was requeued.")
    (again,) = await eventually(lambda: listed(root), lambda found: len(found) == 1)
    assert again["id"] == letter["id"]  # it went back, and broke its handler again


async def test_discarding_asks_to_confirm(portal: Portal) -> None:
    ann, root = await quiet_portal(portal)
    ticket_id = await failed_ticket(portal, ann, root)

    refused = await post(root, f"{LETTERS}/discard", all="1")
    assert refused == (
        400,
        "This removes messages for good; send confirm=1 if that is meant.",
    )
    assert len(await listed(root)) == 1
    done = await post(root, f"{LETTERS}/discard", all="1", confirm="1")

    assert done == (200, "Discarded 1 messages")
    assert await listed(root) == []
    assert await text(ann, f"/api/tickets/{ticket_id}/status") == "failed"


@pytest.mark.parametrize("form", [{}, {"id": ""}, {"all": "0"}, {"all": "1", "id": "x"}])
async def test_what_is_meant_must_be_said(portal: Portal, form: dict[str, str]) -> None:
    root = await portal.user("root@example.com", sysadmin=True)

    answer = await post(root, f"{LETTERS}/requeue", **form)

    assert answer == (400, "Say which message: id=..., or all=1.")


async def test_an_unknown_letter_is_refused(portal: Portal) -> None:
    root = await portal.user("root@example.com", sysadmin=True)

    answer = await post(root, f"{LETTERS}/discard", id="no-such", confirm="1")

    assert answer == (400, "There is no message no-such among the dead letters.")


async def test_dead_letters_are_for_sysadmins(portal: Portal) -> None:
    ann = await portal.user()

    assert (await ann.get(LETTERS)).status_code == 401
    assert (await post(ann, f"{LETTERS}/requeue", all="1"))[0] == 401
    assert (await post(ann, f"{LETTERS}/discard", all="1", confirm="1"))[0] == 401
