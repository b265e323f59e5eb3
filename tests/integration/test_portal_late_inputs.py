"""A portal that lost its transaction goes on with the disk; what it does late changes no input file of a ticket.

The size in the database, the bytes that clients fetch and those that a dispatcher reads are always of one upload.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import PurePosixPath

import asyncpg
import pytest
from quart.typing import TestClientProtocol as Client

from dss_datastore import layout
from dss_portal.models import TicketFile
from support.lost_transactions import Held, hold_first, lose_transactions
from support.portals import DATASTORES, Portal, eventually, new_ticket, post, send_file, text

pytestmark = [pytest.mark.stack, DATASTORES]

REFUSE_TO_COMMIT = """
CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE 'not now'; END $$ LANGUAGE plpgsql;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON ticket_file DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse();
"""


async def send(ann: Client, number: int, content: bytes, name: str = "ct.nii") -> int:
    return (await send_file(ann, f"/api/tickets/{number}/files/input", name, content))[0]


async def read_by_a_dispatcher(portal: Portal, ann: Client, number: int) -> dict[str, str]:
    """Submit the ticket; the files in the folder that the grant of its claim names, with their contents."""
    assert (await post(ann, f"/api/tickets/{number}/status", status="ready"))[0] == 200
    granted = await portal.granted(number)
    folder = PurePosixPath(granted.input_dir or layout.area_dir(number, "input"))
    found = [PurePosixPath(name) for name in portal.files]
    return {
        place.name: portal.read(place).decode()
        for place in found
        if place.parent == folder and not place.name.startswith(".")
    }


async def begin_late(ann: Client, number: int, held: Held, content: bytes) -> "asyncio.Task[int]":
    """An upload whose database session ends while the datastore keeps the file."""
    late = asyncio.create_task(send(ann, number, content))
    await asyncio.wait_for(held.arrived.wait(), 60)
    await lose_transactions()
    return late


@pytest.mark.parametrize("before", [None, b"the one before both"])
async def test_a_late_upload_replaces_no_newer_file_of_its_name(
    portal: Portal, ann: Client, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    number = await new_ticket(ann)
    if before is not None:
        assert await send(ann, number, before) == 200
    held = hold_first(portal, monkeypatch, "keep_new")
    late = await begin_late(ann, number, held, b"late")
    assert await send(ann, number, b"newer") == 200

    held.go_on.set()
    assert await late >= 500

    assert await text(ann, f"/api/tickets/{number}/files/input/0") == "newer"
    assert (await TicketFile.get(ticket_id=number)).size_bytes == 5
    assert await read_by_a_dispatcher(portal, ann, number) == {"ct.nii": "newer"}


@pytest.fixture
async def other(database_url: str) -> AsyncIterator["asyncpg.Connection"]:
    """A connection beside those of the portal."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_an_upload_that_is_not_committed_leaves_the_file_before(
    portal: Portal, ann: Client, other: "asyncpg.Connection"
) -> None:
    number = await new_ticket(ann)
    assert await send(ann, number, b"before") == 200
    await other.execute(REFUSE_TO_COMMIT)
    assert await send(ann, number, b"not committed") >= 500
    await other.execute("DROP TRIGGER refuse ON ticket_file")

    assert await text(ann, f"/api/tickets/{number}/files/input/0") == "before"
    assert await read_by_a_dispatcher(portal, ann, number) == {"ct.nii": "before"}


async def test_the_files_of_a_ticket_stay_in_one_folder_when_one_is_replaced(
    portal: Portal, ann: Client
) -> None:
    number = await new_ticket(ann)
    for name, content in (("a.nii", b"1"), ("b.nii", b"2"), ("a.nii", b"3"), ("a.nii", b"4")):
        assert await send(ann, number, content, name) == 200
    assert await send(ann, number, b"5", "c.nii") == 200

    assert await text(ann, f"/api/tickets/{number}/files/input/0") == "4"
    assert await read_by_a_dispatcher(portal, ann, number) == {
        "a.nii": "4",
        "b.nii": "2",
        "c.nii": "5",
    }


async def test_a_replaced_file_takes_no_room_and_earlier_programs_find_the_new_one(
    portal: Portal, ann: Client
) -> None:
    number = await new_ticket(ann)
    for content in (b"1", b"2", b"3"):
        assert await send(ann, number, content, "a.nii") == 200

    async def contents() -> list[bytes]:
        found = []
        for name in portal.files:
            with suppress(FileNotFoundError):  # removed meanwhile
                found.append(portal.read(PurePosixPath(name)))
        return sorted(found)

    # in a folder, the second is a link
    expected = [b"3"] if portal.settings.is_s3 else [b"3", b"3"]
    await eventually(contents, lambda found: found == expected)
