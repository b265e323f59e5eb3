"""What a resumable upload must announce, and how a client learns of them."""

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.models import Tier
from support.portals import Portal, new_ticket, text
from support.tus import TUS, add, begin, begun, named

pytestmark = pytest.mark.stack


async def test_an_empty_file_is_there_at_once(ann: Client) -> None:
    ticket = await new_ticket(ann)
    await begun(ann, ticket, "a.raw", 0)

    assert await text(ann, f"/api/tickets/{ticket}/files/input") == "0,a.raw\r\n"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412),
        ({"Upload-Length": "-1"}, 400),
        ({"Upload-Length": str(2**60)}, 400),
        ({"Upload-Length": str(10**17)}, 413),
        ({"Upload-Metadata": "other eA=="}, 400),
        ({"Upload-Metadata": "filename ?"}, 400),
        ({"Upload-Metadata": f"{named('a')},sha256 eA=="}, 400),
        ({"Upload-Metadata": named(".hidden")}, 400),
        ({"Upload-Metadata": named("a:b")}, 400),
    ],
)
async def test_a_wrong_beginning_is_refused_in_a_sentence(
    ann: Client, changes: dict[str, str], status: int
) -> None:
    ticket = await new_ticket(ann)
    headers = {**TUS, "Upload-Length": "10", "Upload-Metadata": named("a"), **changes}

    answer = await ann.post(f"/api/tickets/{ticket}/uploads", headers=headers)

    assert answer.status_code == status
    assert (await answer.get_data(as_text=True)).endswith(".")


async def test_everybody_learns_that_there_are_resumable_uploads(portal: Portal) -> None:
    stranger = portal.app.test_client()

    answer = await stranger.options("/api/tickets/1/uploads")

    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,termination,expiration"
    assert answer.headers["Tus-Max-Size"] == str(portal.settings.max_upload_bytes)


async def test_a_proxy_that_lets_no_patch_through_is_gone_around(ann: Client) -> None:
    ticket = await new_ticket(ann)
    address = await begun(ann, ticket, "a.raw", 3)
    kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}

    assert (await ann.post(address, headers={**TUS, **kind}, data=b"123")).status_code == 405
    over = {"X-HTTP-Method-Override": "PATCH"}
    assert (
        await ann.post(address, headers={**TUS, **kind, **over}, data=b"123")
    ).status_code == 204

    assert await text(ann, f"/api/tickets/{ticket}/files/input") == "0,a.raw\r\n"


async def test_bytes_of_another_type_are_refused(ann: Client) -> None:
    address = await begun(ann, await new_ticket(ann), "a.raw", 3)

    headers = {**TUS, "Content-Type": "text/plain", "Upload-Offset": "0"}
    assert (await ann.patch(address, headers=headers, data=b"123")).status_code == 415


async def test_a_file_too_many_is_refused_before_it_is_sent(ann: Client) -> None:
    await Tier.filter(name="guest").update(max_files=2)
    ticket = await new_ticket(ann)
    await begun(ann, ticket, "a.raw", 10)
    await begun(ann, ticket, "b.raw", 10)

    answer = await begin(ann, ticket, "c.raw", 10)

    assert answer.status_code == 413
    assert await answer.get_data(as_text=True) == (
        "Your tickets may hold 2 files; delete some to make room for this one."
    )


async def test_an_upload_whose_creation_was_not_answered_counts_once(
    portal: Portal, ann: Client
) -> None:
    await Tier.filter(name="guest").update(max_stored_bytes=1000)
    ticket = await new_ticket(ann)
    await begun(ann, ticket, "a.raw", 900)

    again = await begun(ann, ticket, "a.raw", 900)

    assert (await add(ann, again, 0, bytes(900))).status_code == 204
    assert list(portal.datastore.rglob("*.part")) == []
