"""Files of a ticket over the consumer's routes: names, order, limits, broken uploads, downloads."""

import pytest

from dss_portal.models import Status, TicketHistory
from support.portals import (
    Portal,
    new_ticket,
    send_file,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack


async def test_the_index_of_a_file_is_the_order_of_its_first_upload(portal: Portal) -> None:
    """The ancestors' fault 3, the reference's weakness 16."""
    await portal.announce_service()
    client = await portal.user()
    files = f"/api/tickets/{await new_ticket(client)}/files/input"
    for name, data in (("b.nii", b"old"), ("a.nii", b"2"), ("b.nii", b"new")):
        assert await send_file(client, files, name, data) == (200, "success")

    assert await text(client, files) == "0,b.nii\r\n1,a.nii\r\n"
    assert await text(client, f"{files}/0") == "new"


async def test_a_download_has_its_length_and_name(portal: Portal) -> None:
    """The reference's weakness 17."""
    await portal.announce_service()
    client = await portal.user()
    files = f"/api/tickets/{await new_ticket(client)}/files/input"
    await send_file(client, files, "ct.nii", bytes(range(256)))

    answer = await client.get(f"{files}/0")

    assert await answer.get_data() == bytes(range(256))
    assert answer.headers["Content-Length"] == "256"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="ct.nii"'
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("name", [".hidden", "..", "dir/"])
async def test_an_upload_without_a_usable_name_is_refused(portal: Portal, name: str) -> None:
    await portal.announce_service()
    client = await portal.user()
    files = f"/api/tickets/{await new_ticket(client)}/files/input"

    status, sentence = await send_file(client, files, name, b"x")

    assert status == 400
    assert "name" in sentence


async def test_a_file_over_the_limit_is_refused_and_leaves_nothing(portal: Portal) -> None:
    await portal.announce_service()
    portal.components.datastore._max_file_bytes = 1000
    client = await portal.user()
    ticket_id = await new_ticket(client)
    files = f"/api/tickets/{ticket_id}/files/input"

    status, sentence = await send_file(client, files, "big.nii", b"x" * 1001)

    assert (status, sentence) == (413, "The file is larger than 1000 bytes.")
    assert [path for path in portal.datastore.rglob("*") if path.is_file()] == []


async def test_a_file_that_is_announced_too_large_is_refused_at_once(portal: Portal) -> None:
    await portal.announce_service()
    client = await portal.user()
    headers = {
        "Content-Type": "multipart/form-data; boundary=X",
        "Content-Length": str(portal.settings.max_upload_bytes * 2),
    }

    answer = await client.post(
        f"/api/tickets/{await new_ticket(client)}/files/input", headers=headers
    )

    assert answer.status_code == 413


async def test_an_upload_that_is_cut_off_leaves_nothing(portal: Portal) -> None:
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await new_ticket(client)
    body = b'--X\r\nContent-Disposition: form-data; name="myfile"; filename="a"\r\n\r\nabc'
    headers = {"Content-Type": "multipart/form-data; boundary=X"}

    answer = await client.post(f"/api/tickets/{ticket_id}/files/input", data=body, headers=headers)

    assert answer.status_code == 400
    assert await answer.get_data() == b"The upload is no complete multipart form."
    assert await text(client, f"/api/tickets/{ticket_id}/files/input") == ""
    assert [path for path in portal.datastore.rglob("*") if path.is_file()] == []


async def test_a_file_after_the_submission_is_refused(portal: Portal) -> None:
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await submitted_ticket(client)

    status, sentence = await send_file(
        client, f"/api/tickets/{ticket_id}/files/input", "late.nii", b"x"
    )

    assert status == 400
    assert sentence.startswith(f"Ticket {ticket_id} not found for user")


async def test_a_deleted_ticket_leaves_no_files_and_frees_the_quota(portal: Portal) -> None:
    await portal.announce_service()
    client = await portal.user()
    ticket_id = await submitted_ticket(client)

    assert await text(client, f"/api/tickets/{ticket_id}/delete") == "deleted"
    assert await text(client, f"/api/tickets/{ticket_id}/delete") == "deleted"

    assert await text(client, "/api/tickets") == ""
    assert await text(client, f"/api/tickets/{ticket_id}/status") == "deleted"
    assert await TicketHistory.filter(ticket_id=ticket_id, status=Status.DELETED).count() == 1
    assert not (portal.datastore / "tickets" / f"{ticket_id:08d}").exists()
