"""What a user may hold: open tickets, bytes and files; exact, and refused before the limit is passed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client

from dss_portal.models import Attachment, Ticket, TicketFile, Upload
from support.portals import DATASTORES, Portal, eventually, new_ticket, send_file
from support.quotas import ago, allow

pytestmark = [pytest.mark.stack, DATASTORES]

MB = 2**20
TENTH = MB // 10
HEAD = b'--b\r\nContent-Disposition: form-data; name="myfile"; filename="%s"\r\n\r\n'
TAIL = b"\r\n--b--\r\n"
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


async def stored_bytes() -> int:
    return sum([int(file.size_bytes) for file in await TicketFile.all()])


async def send_chunks(client: Client, path: str, name: str, pieces: AsyncIterator[bytes]) -> int:
    """Without a Content-Length; the status of the answer, which may come before the end."""
    request: Any = client.request(path, method="POST", headers=FORM)  # its protocol has no status
    async with request as connection:
        await connection.send(HEAD % name.encode())
        async for piece in pieces:
            if connection.status_code is not None:
                return int(connection.status_code)
            await connection.send(piece)
        await connection.send(TAIL)
        await connection.send_complete()
        await connection.receive()
        return int(connection.status_code)


async def pieces(count: int, size_bytes: int = 64 * 1024) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size_bytes
        await asyncio.sleep(0)


async def test_all_files_of_all_tickets_count(client: Client) -> None:
    await allow(max_stored_bytes=20 * TENTH)
    tickets = [await new_ticket(client) for _ in range(4)]

    answers = [
        await send_file(
            client, f"/api/tickets/{tickets[i % 4]}/files/input", f"{i}.nii", bytes(9 * TENTH)
        )
        for i in range(6)
    ]

    assert [status for status, _ in answers] == [200, 200, 413, 413, 413, 413]
    assert answers[2][1].startswith("Your tickets may hold 2 MB; they hold 1.8 MB.")
    assert await stored_bytes() == 18 * TENTH


async def test_parallel_uploads_with_a_length_fill_the_quota_and_do_not_pass_it(
    portal: Portal, client: Client
) -> None:
    await allow(max_stored_bytes=20 * TENTH)
    path = f"/api/tickets/{await new_ticket(client)}/files/input"

    answers = await asyncio.gather(
        *(send_file(client, path, f"{i}.nii", bytes(9 * TENTH)) for i in range(6))
    )

    assert sorted(status for status, _ in answers) == [200, 200, 413, 413, 413, 413]
    assert await stored_bytes() == 18 * TENTH
    assert await Upload.all().count() == 0
    assert await portal.has_no_parts()


async def test_parallel_uploads_without_a_length_fill_the_quota_and_do_not_pass_it(
    portal: Portal, client: Client
) -> None:
    await allow(max_stored_bytes=2 * MB)
    path = f"/api/tickets/{await new_ticket(client)}/files/input"

    answers = await asyncio.gather(
        *(send_chunks(client, path, f"{i}.nii", pieces(14)) for i in range(6))  # 0.9 MB each
    )

    assert sorted(answers) == [200, 200, 413, 413, 413, 413]
    assert await stored_bytes() == 2 * 14 * 64 * 1024
    assert await Upload.all().count() == 0


async def test_a_file_without_a_length_is_refused_when_it_passes_the_limit(client: Client) -> None:
    await allow(max_stored_bytes=MB)
    path = f"/api/tickets/{await new_ticket(client)}/files/input"
    sent = 0

    async def without_end() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MB:
            sent += 64 * 1024
            yield b"x" * 64 * 1024
            await asyncio.sleep(0.001)

    assert await send_chunks(client, path, "a.nii", without_end()) == 413
    assert sent < 8 * MB  # what fits into the buffer has been sent in vain


async def test_a_file_that_just_fits_is_taken_and_may_be_replaced(client: Client) -> None:
    await allow(max_stored_bytes=MB, max_files=1)
    path = f"/api/tickets/{await new_ticket(client)}/files/input"

    first = await send_file(client, path, "a.nii", bytes(MB))
    again = await send_file(client, path, "a.nii", bytes(MB))
    another = await send_file(client, path, "b.nii", b"")

    assert (first[0], again[0], another[0]) == (200, 200, 413)


async def test_attachments_of_a_ticket_count_too(client: Client) -> None:
    await allow(max_stored_bytes=MB)
    ticket_id = await new_ticket(client)
    await Attachment.create(
        ticket_id=ticket_id,
        public_id="0" * 32,
        description="",
        mime_type="",
        file_name="a",
        size_bytes=MB,
    )

    answer = await send_file(client, f"/api/tickets/{ticket_id}/files/input", "a.nii", b"x")

    assert answer[0] == 413


async def test_the_number_of_files_is_exact_among_20_at_the_same_time(client: Client) -> None:
    await allow(max_files=5)
    tickets = [await new_ticket(client) for _ in range(4)]

    answers = await asyncio.gather(
        *(
            send_file(client, f"/api/tickets/{tickets[i % 4]}/files/input", f"{i}.nii", b"x")
            for i in range(20)
        )
    )

    assert sorted(status for status, _ in answers) == [200] * 5 + [413] * 15
    refused = {sentence for status, sentence in answers if status == 413}
    assert refused == {"Your tickets may hold 5 files; delete some to make room for this one."}


async def test_a_sysadmin_s_file_counts_for_the_owner_of_the_ticket(
    portal: Portal, client: Client
) -> None:
    await allow(max_stored_bytes=1000)
    path = f"/api/tickets/{await new_ticket(client)}/files/input"
    root = await portal.user("root@example.com", sysadmin=True)

    await send_file(root, path, "a.nii", b"x" * 900)

    assert (await send_file(client, path, "b.nii", b"x" * 101))[0] == 413
    other = await new_ticket(root)
    assert (await send_file(root, f"/api/tickets/{other}/files/input", "b.nii", b"x" * 900))[
        0
    ] == 200


async def test_an_upload_that_breaks_off_gives_its_room_back(client: Client) -> None:
    await allow(max_stored_bytes=MB)
    path = f"/api/tickets/{await new_ticket(client)}/files/input"
    headers = {**FORM, "Content-Length": str(MB)}
    async with client.request(path, method="POST", headers=headers) as connection:
        await connection.send(HEAD % b"a.nii" + b"x" * 1000)
        await eventually(lambda: Upload.all().count(), lambda count: count == 1)
        await connection.disconnect()

    assert await Upload.all().count() == 0
    assert (await send_file(client, path, "a.nii", bytes(MB)))[0] == 200


async def test_room_kept_by_a_portal_that_died_comes_back(client: Client) -> None:
    await allow(max_stored_bytes=MB)
    ticket_id = await new_ticket(client)
    owner = (await Ticket.get(id=ticket_id)).user_id
    dead = await Upload.create(user_id=owner, reserved_bytes=MB, heard_at=ago(0))
    path = f"/api/tickets/{ticket_id}/files/input"
    assert (await send_file(client, path, "a.nii", b"x" * 1000))[0] == 413

    await Upload.filter(id=dead.id).update(heard_at=ago(5))

    assert (await send_file(client, path, "a.nii", b"x" * 1000))[0] == 200
