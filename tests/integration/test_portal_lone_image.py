# mypy: allow-untyped-calls
"""One image without a workspace: the portal writes that, or says why it cannot."""

from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client

from dss_datastore import layout
from dss_dispatch.service import service_from
from dss_dispatch.submission.reading import read_submission
from support.builders import image, service_json, write_image
from support.portals import Portal, new_ticket, post, send_file, text

pytestmark = pytest.mark.stack


@pytest.fixture
def scan(tmp_path: Path) -> bytes:
    return write_image(tmp_path / "scan.nii.gz", image()).read_bytes()


async def sent(client: Client, *files: tuple[str, bytes]) -> int:
    ticket = await new_ticket(client)
    for name, data in files:
        assert await send_file(client, f"/api/tickets/{ticket}/files/input", name, data) == (
            200,
            "success",
        )
    return ticket


async def test_a_dispatcher_reads_the_workspace_that_the_portal_writes(
    portal: Portal, ann: Client, scan: bytes
) -> None:
    ticket = await sent(ann, ("image.nii.gz", scan))

    answer = await post(ann, f"/api/tickets/{ticket}/workspace", title="Chest of May")

    assert answer == (200, "success")
    assert await post(ann, f"/api/tickets/{ticket}/status", status="ready") == (200, "ready")
    folder = portal.datastore / layout.area_dir(ticket, "input")
    tag = {"name": "CT", "type": "MainImage", "required": True}
    submission = read_submission(folder, service_from(service_json(tags=[tag])))
    assert submission.target.file_name == "image.nii.gz"
    assert submission.image.size == (12, 10, 8)
    assert "Chest of May" in await text(ann, f"/tickets/{ticket}")


async def test_asking_twice_is_the_same_as_once(portal: Portal, ann: Client, scan: bytes) -> None:
    ticket = await sent(ann, ("image.nii.gz", scan))

    for _ in range(2):
        assert (await post(ann, f"/api/tickets/{ticket}/workspace"))[0] == 200

    listed = await text(ann, f"/api/tickets/{ticket}/files/input")
    assert listed == f"0,image.nii.gz\r\n1,ticket_{ticket:08d}.itksnap\r\n"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([], "A ticket without a workspace needs exactly one image, and has 0."),
        ([("a.nii", b"x"), ("b.nii", b"x")], "needs exactly one image, and has 2."),
        ([("a.nii.gz", b"\x1f\x8bno")], "The file is no NIfTI file, whatever its name says."),
        ([("a.nii", b"")], "The file is no NIfTI file, whatever its name says."),
    ],
)
async def test_what_cannot_be_sent_alone_is_told(
    ann: Client, files: list[tuple[str, bytes]], sentence: str
) -> None:
    ticket = await sent(ann, *files)

    status, said = await post(ann, f"/api/tickets/{ticket}/workspace")

    assert status == 400
    assert sentence in said


async def test_a_service_that_needs_more_than_an_image_is_told(
    portal: Portal, ann: Client, scan: bytes
) -> None:
    tags = [{"name": "P", "type": "PointLandmark", "required": True, "hint": ""}]
    await portal.announce_service(name="needs-point", tags=tags)
    ticket = await new_ticket(ann, "needs-point")
    await send_file(ann, f"/api/tickets/{ticket}/files/input", "image.nii.gz", scan)

    status, said = await post(ann, f"/api/tickets/{ticket}/workspace")

    assert status == 400
    assert said == "needs-point needs P besides an image; send a workspace from ITK-SNAP."


async def test_a_submitted_ticket_gets_no_workspace(ann: Client, scan: bytes) -> None:
    ticket = await sent(ann, ("image.nii.gz", scan))
    await post(ann, f"/api/tickets/{ticket}/status", status="ready")

    status, said = await post(ann, f"/api/tickets/{ticket}/workspace")

    assert status == 400
    assert said.startswith(f"Ticket {ticket} not found for user ")
