"""Which tickets count as open, and when one that is not submitted is given up."""

import asyncio

import pytest
from quart.typing import TestClientProtocol as Client

from dss_datastore import layout
from dss_portal.models import Status, Ticket
from support.portals import Portal, new_ticket, post, send_file, submitted_ticket, text
from support.quotas import ago, allow

pytestmark = pytest.mark.stack


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


async def test_of_many_tickets_made_at_the_same_time_no_more_than_allowed_are_made(
    client: Client,
) -> None:
    await allow(max_tickets=3)

    answers = await asyncio.gather(
        *(post(client, "/api/tickets", name="lung-segmentation") for _ in range(12))
    )

    assert sorted(status for status, _ in answers) == [200] * 3 + [400] * 9
    assert await Ticket.all().count() == 3


async def test_the_quota_s_sentence_names_the_tickets_that_count(
    portal: Portal, client: Client
) -> None:
    await allow(max_tickets=3)
    quiet = await new_ticket(client)
    await Ticket.filter(id=quiet).update(created_at=ago(11))
    counted = [await new_ticket(client), await submitted_ticket(client), await new_ticket(client)]

    answer = await post(client, "/api/tickets", name="lung-segmentation")

    first, second, third = counted
    sentence = (
        "Maximum allowed number of open tickets (3) exceeded. These count: "
        f"{first} (init), {second} (ready), {third} (init). "
        "Delete those that you do not need, or wait until they are done."
    )
    assert answer == (400, sentence)


async def test_a_ticket_without_an_upload_for_ten_minutes_does_not_count(client: Client) -> None:
    await allow(max_tickets=2)
    for _ in range(2):
        await new_ticket(client)
    await Ticket.all().update(created_at=ago(9.9))
    assert (await post(client, "/api/tickets", name="lung-segmentation"))[0] == 400

    await Ticket.all().update(created_at=ago(10.1))

    assert (await post(client, "/api/tickets", name="lung-segmentation"))[0] == 200


async def test_a_ticket_whose_files_still_come_counts(client: Client) -> None:
    await allow(max_tickets=1)
    ticket_id = await new_ticket(client)
    await Ticket.all().update(created_at=ago(100))
    assert (await send_file(client, f"/api/tickets/{ticket_id}/files/input", "a", b"x"))[0] == 200

    assert (await post(client, "/api/tickets", name="lung-segmentation"))[0] == 400


@pytest.mark.parametrize("step", ["upload", "submit"])
async def test_a_ticket_that_counts_again_is_not_one_too_many(client: Client, step: str) -> None:
    await allow(max_tickets=1)
    quiet = await new_ticket(client)
    await Ticket.all().update(created_at=ago(11))
    other = await new_ticket(client)

    async def go_on() -> tuple[int, str]:
        if step == "upload":
            return await send_file(client, f"/api/tickets/{quiet}/files/input", "a", b"x")
        return await post(client, f"/api/tickets/{quiet}/status", status="ready")

    status, sentence = await go_on()
    assert (status, f"{other} (init)" in sentence) == (400, True)
    await client.get(f"/api/tickets/{other}/delete")
    assert (await go_on())[0] == 200


async def test_a_retried_ticket_is_not_one_too_many(client: Client) -> None:
    await allow(max_tickets=1)
    failed = await submitted_ticket(client)
    await Ticket.filter(id=failed).update(status=Status.FAILED)
    await new_ticket(client)

    assert "Maximum allowed" in await text(client, f"/api/tickets/{failed}/retry")


async def test_a_ticket_without_an_upload_for_an_hour_is_given_up(
    portal: Portal, client: Client
) -> None:
    silent, heard, waiting = (
        await new_ticket(client),
        await new_ticket(client),
        await submitted_ticket(client),
    )
    await send_file(client, f"/api/tickets/{silent}/files/input", "a", b"x")
    await Ticket.all().update(created_at=ago(61), uploaded_at=ago(61))
    await Ticket.filter(id=heard).update(uploaded_at=ago(59))

    assert await portal.sweep() == 1

    states = [await text(client, f"/api/tickets/{i}/status") for i in (silent, heard, waiting)]
    assert states == ["timeout", "init", "ready"]
    log = await text(client, f"/api/tickets/{silent}/log")
    assert "nothing was uploaded for 1 h 00 min" in log
    assert not (portal.datastore / layout.ticket_dir(silent)).exists()


async def test_a_page_lists_every_ticket_that_is_not_submitted(client: Client) -> None:
    old = await new_ticket(client)
    made = await Ticket.get(id=old)
    await Ticket.bulk_create(
        [
            Ticket(user_id=made.user_id, service_id=made.service_id, status=Status.SUCCESS)
            for _ in range(201)
        ]
    )

    page = await text(client, "/tickets")

    assert f'href="/tickets/{old}/delete"' in page
