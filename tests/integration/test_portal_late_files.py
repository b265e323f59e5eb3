"""A ticket that is deleted while a file of it comes leaves nothing behind, and the sender is told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client

from dss_datastore import layout
from dss_portal.accounts import store as accounts
from dss_portal.admin import store as admin
from dss_portal.models import Status, Ticket, TicketFile
from dss_portal.refusals import NotSignedIn
from dss_portal.resumable.inputs import InputRules
from dss_portal.tickets import cleanup, submission, submitting
from dss_portal.writes import small_files
from dss_portal.writes.multipart import LoneFile
from support.portals import Portal, eventually, new_ticket, post, submitted_ticket, text

pytestmark = pytest.mark.stack

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
DESC = b'--b\r\nContent-Disposition: form-data; name="desc"\r\n\r\nA note\r\n'
HEAD = DESC + b'--b\r\nContent-Disposition: form-data; name="myfile"; filename="a.nii"\r\n\r\n'
TAIL = b"\r\n--b--\r\n"


async def send_slowly(
    client: Client, path: str, meanwhile: Callable[[], Awaitable[object]]
) -> tuple[int, str]:
    """``meanwhile`` happens when more than half of the file is on the disk."""
    request: Any = client.request(path, method="POST", headers=FORM)  # its protocol has no status
    async with request as connection:
        await connection.send(HEAD)
        await connection.send(b"x" * 3 * 2**20)
        await meanwhile()
        await connection.send(b"x" + TAIL)
        await connection.send_complete()
    answer = await connection.as_response()
    return int(answer.status_code), await answer.get_data(as_text=True)


def left(portal: Portal, ticket_id: int) -> list[str]:
    """Of the ticket's files and folders."""
    roots = (layout.ticket_dir(ticket_id), layout.attachments_dir(ticket_id))
    return [str(root) for root in roots if (portal.datastore / root).exists()]


async def claimed_ticket(portal: Portal, ann: Client) -> tuple[Client, int]:
    """By a provider over HTTP; that provider, and the ticket's number."""
    number = await submitted_ticket(ann)
    await admin.add_provider_user("dss", "ann@example.com", admin=False)
    githash = (await text(ann, "/api/pro/services")).split(",")[2]
    claimed = await post(ann, f"/api/pro/services/{githash}/claims", provider="dss")
    assert claimed == (200, str(number))
    return ann, number


async def test_a_file_for_a_ticket_that_was_deleted_meanwhile(portal: Portal, ann: Client) -> None:
    number = await new_ticket(ann)

    async def delete() -> None:
        assert await text(ann, f"/api/tickets/{number}/delete") == "deleted"

    answer = await send_slowly(ann, f"/api/tickets/{number}/files/input", delete)

    assert answer[0] == 400
    assert answer[1].startswith(f"Ticket {number} not found for user ")
    assert left(portal, number) == []


@pytest.mark.parametrize("what", ["files/results", "files/input", "attachments"])
async def test_what_a_provider_sends_for_a_ticket_that_was_deleted_meanwhile(
    portal: Portal, ann: Client, what: str
) -> None:
    provider, number = await claimed_ticket(portal, ann)

    async def delete() -> None:
        assert await text(ann, f"/api/tickets/{number}/delete") == "deleted"

    answer = await send_slowly(provider, f"/api/pro/tickets/{number}/{what}", delete)

    assert answer == (400, f"Ticket {number} has been deleted ")
    assert left(portal, number) == []


async def disable() -> None:
    await accounts.disable_user("ann@example.com")


async def test_a_file_of_a_user_who_was_disabled_meanwhile(portal: Portal, ann: Client) -> None:
    number = await new_ticket(ann)

    answer = await send_slowly(ann, f"/api/tickets/{number}/files/input", disable)

    assert answer == (401, "You are not logged in!")
    assert await TicketFile.all().count() == 0
    assert not any("input" in name for name in portal.files)


@pytest.mark.usefixtures("ann")
async def test_a_portal_that_still_knows_a_disabled_user_writes_nothing_for_the_user(
    portal: Portal,
) -> None:
    user = await accounts.user_named("ann@example.com")
    number = await submission.create(user, None, "lung-segmentation", 60)
    small = LoneFile(name="a.nii", pieces=[memoryview(b"x")])
    datastore, settings = portal.components.datastore, portal.settings
    await disable()

    with pytest.raises(NotSignedIn):
        await submission.create(user, None, "lung-segmentation", 60)
    with pytest.raises(NotSignedIn):
        await submitting.submit(datastore, number, user, scrubs=True, quiet_s=60)
    with pytest.raises(NotSignedIn):
        await submission.retry(datastore, number, user, 60)
    with pytest.raises(NotSignedIn):
        await InputRules(datastore, settings, user).lock(number)
    assert not await small_files.receive(datastore, settings, number, small, user)

    assert await Ticket.filter(status=Status.INIT).count() == await Ticket.all().count() == 1
    assert await TicketFile.all().count() == 0


async def test_a_file_for_a_ticket_that_was_given_up_meanwhile(portal: Portal, ann: Client) -> None:
    number = await new_ticket(ann)
    datastore = portal.components.datastore

    async def give_up() -> None:
        await Ticket.filter(id=number).update(status=Status.TIMEOUT)
        assert await cleanup.clean_up(datastore, number)

    answer = await send_slowly(ann, f"/api/tickets/{number}/files/input", give_up)

    assert answer[0] == 400
    assert answer[1].startswith(f"Ticket {number} not found for user ")


async def test_a_sender_that_goes_after_the_ticket_leaves_nothing_either(
    portal: Portal, ann: Client
) -> None:
    number = await new_ticket(ann)

    async def delete() -> None:
        assert await text(ann, f"/api/tickets/{number}/delete") == "deleted"

    request: Any = ann.request(f"/api/tickets/{number}/files/input", method="POST", headers=FORM)
    async with request as connection:
        await connection.send(HEAD)
        await delete()
        await connection.send(b"x" * 3 * 2**20)
        await connection.disconnect()

    await eventually(lambda: asyncio.to_thread(left, portal, number), lambda found: found == [])
