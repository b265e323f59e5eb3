"""Resumable uploads beside other requests of the user: the quota of tickets holds, and no upload loses its bytes."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from quart import Response
from quart.typing import TestClientProtocol as Client

from dss_portal.datastore import Datastore
from dss_portal.datastore.names import UploadFolder
from dss_portal.models import ResumableUpload, Ticket, Tier, User
from dss_portal.resumable import store
from dss_portal.resumable.inputs import InputRules
from dss_portal.resumable.receiving import Receiver
from support.portals import Portal, eventually, new_ticket, post, text

pytestmark = pytest.mark.stack

TUS = {"Tus-Resumable": "1.0.0"}
NAMED = {"Upload-Metadata": f"filename {base64.b64encode(b'a.raw').decode()}"}
QUIET = timedelta(minutes=11)
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def begun(client: Client, ticket: int, size_bytes: int) -> str:
    headers = {**TUS, **NAMED, "Upload-Length": str(size_bytes)}
    answer = await client.post(f"/api/tickets/{ticket}/uploads", headers=headers)
    assert answer.status_code == 201, await answer.get_data(as_text=True)
    return str(answer.headers["Location"])


async def add(client: Client, address: str, offset: int, data: bytes) -> Response:
    kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
    return await client.patch(address, headers={**TUS, **kind}, data=data)


async def offset(client: Client, address: str) -> str:
    return str((await client.head(address, headers=TUS)).headers["Upload-Offset"])


async def be_quiet(ticket: int) -> None:
    before = datetime.now(UTC) - QUIET
    await Ticket.filter(id=ticket).update(created_at=before, uploaded_at=before)


async def only_one_ticket() -> None:
    await Tier.filter(name="guest").update(max_tickets=1)


async def test_a_ticket_whose_upload_goes_on_is_not_one_too_many(ann: Client) -> None:
    await only_one_ticket()
    quiet = await new_ticket(ann)
    address = await begun(ann, quiet, 4)
    await add(ann, address, 0, b"12")
    await be_quiet(quiet)
    other = await new_ticket(ann)

    refused = await add(ann, address, 2, b"34")

    assert refused.status_code == 400
    assert f"{other} (init)" in await refused.get_data(as_text=True)
    assert await offset(ann, address) == "2"
    await text(ann, f"/api/tickets/{other}/delete")
    assert (await add(ann, address, 2, b"34")).status_code == 204
    assert await text(ann, f"/api/tickets/{quiet}/files/input") == "0,a.raw\r\n"


async def test_a_ticket_whose_complete_upload_is_stored_later_is_not_one_too_many(
    ann: Client,
) -> None:
    await only_one_ticket()
    quiet = await new_ticket(ann)
    address = await begun(ann, quiet, 4)
    await add(ann, address, 0, b"123")
    await ResumableUpload.all().update(length_bytes=3)  # as if its portal had died now
    await be_quiet(quiet)
    other = await new_ticket(ann)

    assert (await ann.head(address, headers=TUS)).status_code == 400

    await text(ann, f"/api/tickets/{other}/delete")
    assert await offset(ann, address) == "3"
    assert (await post(ann, "/api/tickets", name="lung-segmentation"))[0] == 400


async def test_a_ticket_counts_as_soon_as_its_upload_has_begun(
    portal: Portal, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await only_one_ticket()
    quiet = await new_ticket(ann)
    await begun(ann, quiet, 4)
    await be_quiet(quiet)
    answers: list[tuple[int, str]] = []
    remove = Datastore.remove_part

    async def beside(datastore: Datastore, ticket_id: int, part: str, folder: UploadFolder) -> None:
        """The upload that the client begins anew is removed after the commit."""
        answers.append(await post(ann, "/api/tickets", name="lung-segmentation"))
        await remove(datastore, ticket_id, part, folder)

    monkeypatch.setattr(Datastore, "remove_part", beside)
    await begun(ann, quiet, 4)

    assert [status for status, _ in answers] == [400]


async def test_an_upload_that_begins_anew_leaves_one_that_is_written_to_alone(
    portal: Portal, ann: Client, database_url: str
) -> None:
    """A request has become its writer, which the one that begins anew does not see before the commit."""
    ticket = await new_ticket(ann)
    address = await begun(ann, ticket, 4)
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("UPDATE resumable_upload SET holder = 'writer'")
        beginning = asyncio.create_task(begun(ann, ticket, 4))
        await eventually(lambda: other.fetchval(WAITS), lambda waiting: waiting == 1, 60)
    await beginning
    await other.execute("UPDATE resumable_upload SET holder = ''")
    await other.close()

    assert (await add(ann, address, 0, b"1234")).status_code == 204


async def test_a_file_is_stored_although_its_client_does_not_wait_for_that(
    portal: Portal, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrubbing a large image takes longer than a proxy waits; each further request would begin it anew."""
    ticket = await new_ticket(ann)
    address = await begun(ann, ticket, 4)
    begins, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(_datastore: Datastore, _temporary: Path, _ticket_id: int) -> int:
        begins.set()
        await goes_on.wait()
        return 4

    monkeypatch.setattr(Datastore, "scrub", slow)
    monkeypatch.setattr(store, "HOLD_S", 600.0)
    user = await User.get(email="ann@example.com")
    receiver = Receiver(
        portal.components.datastore, InputRules(portal.components.datastore, portal.settings, user)
    )
    request = asyncio.create_task(
        receiver.take(ticket, address.rpartition("/")[2], 0, pieces(b"1234"))
    )
    await begins.wait()

    request.cancel()
    async with asyncio.timeout(60):
        assert (await ann.head(address, headers=TUS)).status_code == 423
    goes_on.set()

    with pytest.raises(asyncio.CancelledError):
        await request
    assert await text(ann, f"/api/tickets/{ticket}/files/input") == "0,a.raw\r\n"
    assert list(portal.datastore.rglob("*.part")) == []


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data
