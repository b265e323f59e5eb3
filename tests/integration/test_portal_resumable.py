"""Resumable uploads by tus 1.0.0: whatever is cut, the file arrives identical, once, and within the quota."""

import base64
import hashlib
import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.datastore import Datastore
from dss_portal.models import ResumableUpload, Tier
from dss_portal.resumable import store
from dss_portal.tickets import cleanup
from support.portals import DATASTORES, Portal, new_ticket, post, send_file, text
from support.tus import TUS, add, begin, begun, named

pytestmark = pytest.mark.stack


async def offset(client: Client, address: str) -> int:
    answer = await client.head(address, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


@DATASTORES
async def test_a_file_in_two_requests_becomes_an_input_file(portal: Portal, ann: Client) -> None:
    ticket, data = await new_ticket(ann), os.urandom(3_000_000)
    address = await begun(ann, ticket, "a.raw", len(data))

    first = await add(ann, address, 0, data[:1_000_000])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "1000000")
    assert await text(ann, f"/api/tickets/{ticket}/files/input") == ""
    assert await offset(ann, address) == 1_000_000
    assert (await add(ann, address, 1_000_000, data[1_000_000:])).status_code == 204

    assert await offset(ann, address) == len(data)
    answer = await ann.get(f"/api/tickets/{ticket}/files/input/0")
    assert await answer.get_data(as_text=False) == data
    assert await portal.has_no_parts()


async def test_another_offset_than_the_portal_has_is_refused(ann: Client) -> None:
    address = await begun(ann, await new_ticket(ann), "a.raw", 10)
    await add(ann, address, 0, b"12345")

    assert [(await add(ann, address, at, b"x")).status_code for at in (0, 4, 6)] == [409] * 3
    assert await offset(ann, address) == 5


async def test_only_one_request_at_a_time_writes_until_it_falls_silent(
    ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "HOLD_S", 600.0)
    ticket = await new_ticket(ann)
    address = await begun(ann, ticket, "a.raw", 10)
    _, holder = await store.hold(ticket, address.rpartition("/")[2])

    assert (await add(ann, address, 0, b"12345")).status_code == 423
    silent = datetime.now(UTC) - timedelta(seconds=store.HOLD_S + 1)
    await ResumableUpload.all().update(heard_at=silent)
    assert (await add(ann, address, 0, b"12345")).status_code == 204
    await store.release(address.rpartition("/")[2], holder)  # the first one comes too late
    assert await offset(ann, address) == 5


async def test_more_bytes_than_announced_are_refused(ann: Client) -> None:
    address = await begun(ann, await new_ticket(ann), "a.raw", 3)

    assert (await add(ann, address, 0, b"1234")).status_code == 413
    assert await offset(ann, address) == 0


async def test_a_file_that_is_coming_counts_with_its_whole_size(ann: Client) -> None:
    await Tier.filter(name="guest").update(max_stored_bytes=1000)
    ticket = await new_ticket(ann)
    address = await begun(ann, ticket, "a.raw", 900)
    path = f"/api/tickets/{ticket}/files/input"

    assert (await begin(ann, ticket, "b.raw", 101)).status_code == 413
    assert (await send_file(ann, path, "b.raw", b"x" * 101))[0] == 413
    assert (await ann.delete(address, headers=TUS)).status_code == 204
    assert (await send_file(ann, path, "b.raw", b"x" * 101))[0] == 200


async def test_a_portal_that_died_after_the_last_byte_stores_the_file_later(ann: Client) -> None:
    ticket = await new_ticket(ann)
    address = await begun(ann, ticket, "a.raw", 5)
    await add(ann, address, 0, b"1234")
    upload = await ResumableUpload.get()
    portal_part = (await store.find(ticket, upload.id)).id
    assert portal_part == upload.id
    await ResumableUpload.all().update(length_bytes=4)  # as if the last block had been its last act

    assert await offset(ann, address) == 4
    assert await text(ann, f"/api/tickets/{ticket}/files/input") == "0,a.raw\r\n"


@DATASTORES
@pytest.mark.parametrize("how", ["deleted", "submitted", "stale", "given up by the client"])
async def test_a_part_does_not_outlive_its_use(portal: Portal, ann: Client, how: str) -> None:
    ticket = await new_ticket(ann)
    await send_file(ann, f"/api/tickets/{ticket}/files/input", "a.itksnap", b"<registry/>")
    address = await begun(ann, ticket, "a.raw", 10)
    await add(ann, address, 0, b"1234")
    match how:
        case "deleted":
            await text(ann, f"/api/tickets/{ticket}/delete")
        case "submitted":
            await post(ann, f"/api/tickets/{ticket}/status", status="ready")
        case "stale":
            late = datetime.now(UTC) - timedelta(seconds=portal.settings.abandoned_upload_s + 1)
            await ResumableUpload.all().update(heard_at=late)
        case _:
            await ann.delete(address, headers=TUS)

    await cleanup.clean_all(portal.components.datastore, portal.settings)

    assert await portal.has_no_parts()
    assert await ResumableUpload.all().count() == 0
    assert (await add(ann, address, 4, b"5")).status_code in {400, 404}


async def test_another_user_neither_sees_nor_adds(portal: Portal, ann: Client) -> None:
    address = await begun(ann, await new_ticket(ann), "a.raw", 10)
    bob = await portal.user("bob@example.com")

    assert (await bob.head(address, headers=TUS)).status_code == 400
    assert (await add(bob, address, 0, b"x")).status_code == 400


async def begun_with_sum(client: Client, ticket: int, announced: bytes, size_bytes: int) -> str:
    digest = base64.b64encode(hashlib.sha256(announced).hexdigest().encode()).decode()
    metadata = f"{named('a.raw')},sha256 {digest}"
    headers = {**TUS, "Upload-Length": str(size_bytes), "Upload-Metadata": metadata}
    answer = await client.post(f"/api/tickets/{ticket}/uploads", headers=headers)
    assert answer.status_code == 201
    return str(answer.headers["Location"])


@DATASTORES
async def test_a_file_whose_sum_is_wrong_is_refused_and_begins_anew(
    portal: Portal, ann: Client
) -> None:
    ticket = await new_ticket(ann)
    address = await begun_with_sum(ann, ticket, b"123", 3)

    answer = await add(ann, address, 0, b"124")

    assert answer.status_code == 460
    assert "'a.raw' are not those that were announced" in await answer.get_data(as_text=True)
    assert (await ann.head(address, headers=TUS)).status_code == 404
    assert await portal.has_no_parts()
    again = await begun_with_sum(ann, ticket, b"124", 3)
    assert (await add(ann, again, 0, b"124")).status_code == 204
    assert await text(ann, f"/api/tickets/{ticket}/files/input") == "0,a.raw\r\n"


@DATASTORES
@pytest.mark.parametrize("is_renamed", [False, True])
async def test_a_file_that_could_not_be_registered_is_stored_by_the_next_request(
    portal: Portal, ann: Client, monkeypatch: pytest.MonkeyPatch, is_renamed: bool
) -> None:
    """The state that a portal leaves which is killed between the renaming and the commit."""
    ticket, data = await new_ticket(ann), image_with_a_description()
    address = await begun_with_sum(ann, ticket, data, len(data))
    kind = type(portal.components.datastore)
    keep = kind.keep_new

    async def killed(
        datastore: Datastore, temporary: Path, target: PurePosixPath, **how: bool
    ) -> None:
        if is_renamed:
            await keep(datastore, temporary, target, **how)
        raise RuntimeError

    monkeypatch.setattr(kind, "keep_new", killed)
    assert (await add(ann, address, 0, data)).status_code == 500
    assert await text(ann, f"/api/tickets/{ticket}/files/input") == ""
    monkeypatch.undo()

    assert await offset(ann, address) == len(data)
    answer = await ann.get(f"/api/tickets/{ticket}/files/input/0")
    stored = await answer.get_data(as_text=False)
    assert len(stored) == len(data)
    assert stored != data  # scrubbed
    assert await portal.has_no_parts()


def image_with_a_description() -> bytes:
    """A NIfTI header whose ``descrip`` (offset 148) names somebody, and one voxel."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", head, 108, 352)
    head[148:153] = b"Smith"
    head[344:348] = b"n+1\0"
    return bytes(head) + b"\1\0"


@pytest.mark.parametrize("left", [None, b"12"])
async def test_an_upload_whose_bytes_are_lost_begins_anew(
    portal: Portal, ann: Client, left: bytes | None
) -> None:
    """The state after the datastore was restored from a backup; zeros must not take the place of lost bytes."""
    ticket = await new_ticket(ann)
    address = await begun(ann, ticket, "a.raw", 10)
    await add(ann, address, 0, b"1234")
    (part,) = portal.datastore.rglob("*.part")
    part.unlink()
    if left is not None:
        part.write_bytes(left)

    assert (await add(ann, address, 4, b"5")).status_code == 404
    assert await ResumableUpload.all().count() == 0


async def test_a_complete_upload_whose_bytes_are_lost_is_not_stored(
    portal: Portal, ann: Client
) -> None:
    ticket = await new_ticket(ann)
    address = await begun(ann, ticket, "a.raw", 5)
    await add(ann, address, 0, b"1234")
    (part,) = portal.datastore.rglob("*.part")
    part.write_bytes(b"12")
    await ResumableUpload.all().update(length_bytes=4)  # as if the last block had been its last act

    assert (await ann.head(address, headers=TUS)).status_code == 404
    assert await text(ann, f"/api/tickets/{ticket}/files/input") == ""
