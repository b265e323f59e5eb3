"""What the command line asks of a portal beside ITK-SNAP's requests: lists with names and times, one archive, checksums."""

import hashlib
import io
import json
import re
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import ClaimSucceeded, ResultFile
from dss_datastore import layout
from dss_portal.admin import overview
from dss_portal.models import Status, Ticket, TicketHistory, TicketProgress
from dss_portal.tickets import admin_pages, pages
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


async def test_the_time_in_a_state_is_summed_over_all_attempts(
    ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await new_ticket(ann)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    order = (Status.INIT, Status.READY, Status.CLAIMED, Status.READY, Status.CLAIMED)
    await TicketHistory.all().delete()
    (without,) = await overview.newest_tickets(1)
    for place, status in enumerate(order):
        at = noon + timedelta(seconds=10 * place)
        entry = await TicketHistory.create(ticket_id=number, status=status)
        await TicketHistory.filter(id=entry.id).update(at=at)
    monkeypatch.setattr(overview, "now", lambda: noon + timedelta(seconds=100))

    (row,) = await overview.newest_tickets(1)

    assert (row.queued_s, row.running_s) == (20, 10 + 60)
    assert (without.queued_s, without.running_s) == (0, 0)


async def test_a_list_shows_the_progress_of_claimed_and_ended_tickets(
    portal: Portal, ann: Client, done: int
) -> None:
    claimed, waiting = [await submitted_ticket(ann) for _ in range(2)]
    await Ticket.filter(id=claimed).update(status=Status.CLAIMED)
    for start, end, progress in ((0.0, 0.5, 1.0), (0.5, 1.0, 0.5), (0.9, 1.9, 1.0)):
        await TicketProgress.create(
            ticket_id=claimed, chunk_start=start, chunk_end=end, progress=progress
        )
        rows = {row.id: row.progress for row in await overview.newest_tickets(3)}
        if end < 1.9:
            assert rows[claimed] == (0.5 if end == 0.5 else 0.75)

    assert rows == {done: 1.0, claimed: 1.0, waiting: 0.0}  # chunks that overlap


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


def _numbers(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<tr id="(?:ticket|row)-(\d+)"', page)]


async def test_a_user_turns_over_to_older_tickets(
    ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SHOWN", 2)
    numbers = [await submitted_ticket(ann) for _ in range(4)]

    first = await text(ann, "/tickets")
    (address,) = re.findall(r'href="(/tickets\?before=\d+)" rel="next"', first)
    second = await text(ann, address)
    end = await text(ann, f"/tickets?before={numbers[0]}")

    assert _numbers(first) + _numbers(second) == numbers[::-1]
    assert 'href="/tickets">Newest tickets' in second
    assert "You have no older tickets." in end
    for odd in ("x", "-1", "9" * 10, "%00", ""):
        assert _numbers(await text(ann, f"/tickets?before={odd}")) == numbers[:1:-1]


async def test_an_admin_finds_the_tickets_of_a_user_and_turns_over(
    portal: Portal, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_pages, "SHOWN", 2)
    numbers = [await submitted_ticket(ann) for _ in range(3)]
    other = await submitted_ticket(await portal.user("bob%@example.com"))
    root = await portal.user("root@example.com", sysadmin=True)

    found = await text(root, "/admintickets?user=ANN@")
    (address,) = re.findall(r'href="(/admintickets\?[^"]*before=\d+)" rel="next"', found)

    assert _numbers(found) == numbers[:0:-1]
    assert _numbers(await text(root, address.replace("&amp;", "&"))) == numbers[:1]
    assert _numbers(await text(root, "/admintickets?user=b%25")) == [other]
    nobody = await text(root, "/admintickets?user=%3Cb%3Enobody")
    assert "There is no ticket of a user with “&lt;b&gt;nobody” in the e-mail." in nobody
    assert _numbers(await text(root, "/admintickets?user=%00")) == [other, numbers[-1]]
