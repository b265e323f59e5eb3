"""What the command line asks of a portal beside ITK-SNAP's requests: lists with names and times, one archive, checksums."""

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import ClaimSucceeded, ResultFile
from dss_datastore import layout
from dss_portal.models import Status, Ticket
from support.portals import Portal, eventually, new_ticket, submitted_ticket, text

pytestmark = pytest.mark.stack

CONTENTS = {"a.itksnap": b"<registry/>", "lungs.nii.gz": b"voxels" * 100}


@pytest.fixture
async def done(portal: Portal, ann: Client) -> int:
    """A ticket with two results."""
    number = await submitted_ticket(ann)
    granted = await portal.granted(number)
    folder = portal.datastore / layout.staging_dir(number, granted.claim_id)
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    files = tuple(
        ResultFile(name=name, size_bytes=len(content), sha256="")
        for name, content in CONTENTS.items()
    )
    await portal.tell(
        ClaimSucceeded(ticket_id=number, claim_id=granted.claim_id, files=files, verdict="good")
    )
    await eventually(lambda: Ticket.get(id=number), lambda t: t.status is Status.SUCCESS)
    return number


async def test_the_summary_has_names_and_times_of_the_users_own_tickets(
    portal: Portal, ann: Client, done: int
) -> None:
    await Ticket.filter(id=done).update(title="Knee, left")
    open_one = await new_ticket(ann)
    await new_ticket(await portal.user("bob@example.com"))

    rows = json.loads(await text(ann, "/api/tickets/summary?format=json"))["result"]

    first, second = rows
    assert (first["id"], first["title"], first["verdict"]) == (done, "Knee, left", "good")
    assert (first["service"], first["version"]) == ("lung-segmentation", "1.0.0")
    made, ended = (datetime.fromisoformat(first[name]) for name in ("created_at", "ended_at"))
    assert made <= ended <= datetime.now(UTC)
    assert (second["id"], second["status"], second["ended_at"]) == (open_one, "init", "")


async def test_all_results_come_as_one_sound_archive(ann: Client, done: int) -> None:
    answer = await ann.get(f"/api/tickets/{done}/archive")

    with zipfile.ZipFile(io.BytesIO(await answer.get_data(as_text=False))) as archive:
        assert archive.testzip() is None
        assert {n.rpartition("/")[2]: archive.read(n) for n in archive.namelist()} == CONTENTS


async def test_checksums_are_those_of_the_files(ann: Client, done: int) -> None:
    rows = json.loads(await text(ann, f"/api/tickets/{done}/checksums?format=json"))["result"]

    assert {row["name"]: row["sha256"] for row in rows} == {
        name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()
    }
