"""What a claimed ticket tells its user: progress, log lines, files, success and failure."""

import hashlib
import json
from urllib.parse import urlsplit

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import (
    AttachedFile,
    ClaimFailed,
    ClaimGranted,
    ClaimLogged,
    ClaimProgressed,
    ClaimReported,
    ClaimSucceeded,
    ReportedLine,
    ReportedPart,
    ResultFile,
)
from dss_datastore import layout
from dss_portal.tickets.listener import LINES_LOST, Listener
from support.claimed import log_of, status_becomes
from support.deliveries import Heard
from support.portals import (
    Portal,
    eventually,
    post,
    submitted_ticket,
    text,
)

pytestmark = pytest.mark.stack


@pytest.fixture
async def client(portal: Portal) -> Client:
    await portal.announce_service()
    return await portal.user()


def _stage(portal: Portal, granted: ClaimGranted, name: str, data: bytes) -> ResultFile:
    folder = portal.datastore / layout.staging_dir(granted.ticket_id, granted.claim_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return ResultFile(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


async def test_progress_moves_the_bar(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    half = ClaimProgressed(
        ticket_id=ticket_id,
        claim_id=granted.claim_id,
        chunk_start=0,
        chunk_end=1,
        progress=0.5,
    )

    await portal.tell(half)

    await eventually(
        lambda: text(client, f"/api/tickets/{ticket_id}/progress"), lambda now: now == "0.5"
    )


async def test_a_new_claim_begins_at_zero(portal: Portal, client: Client) -> None:
    """The reference's weakness 15."""
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")
    await portal.tell(
        ClaimProgressed(
            ticket_id=ticket_id, claim_id=old.claim_id, chunk_start=0, chunk_end=1, progress=0.5
        )
    )
    await eventually(
        lambda: text(client, f"/api/tickets/{ticket_id}/progress"), lambda now: now == "0.5"
    )

    await portal.granted(ticket_id, "d1", deliveries=2)

    assert await text(client, f"/api/tickets/{ticket_id}/progress") == "0.0"


async def test_a_line_told_twice_is_logged_once(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    line = ClaimLogged(ticket_id=ticket_id, claim_id=granted.claim_id, level="info", text="Once.")
    last = ClaimLogged(ticket_id=ticket_id, claim_id=granted.claim_id, level="info", text="Last.")

    await portal.tell(line, "m1")
    await portal.tell(line, "m1")
    await portal.tell(last, "m2")

    log = await eventually(lambda: log_of(client, ticket_id), lambda found: found[-1] == "Last.")
    assert log.count("Once.") == 1


def _report(granted: ClaimGranted, claim_id: str = "") -> ClaimReported:
    """A report with two lines and the progress of two parts of the work, once twice for the same part."""
    parts = ((0.0, 0.5, 0.2), (0.5, 1.0, 0.5), (0.0, 0.5, 1.0))
    return ClaimReported(
        ticket_id=granted.ticket_id,
        claim_id=claim_id or granted.claim_id,
        lines=(
            ReportedLine(level="info", text="One."),
            ReportedLine(level="warning", text="Two."),
        ),
        parts=tuple(ReportedPart(chunk_start=a, chunk_end=b, progress=p) for a, b, p in parts),
    )


async def test_a_report_told_twice_is_written_once(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    last = ClaimLogged(ticket_id=ticket_id, claim_id=granted.claim_id, level="info", text="Last.")

    await portal.tell(_report(granted), "m1")
    await portal.tell(_report(granted), "m1")
    await portal.tell(last, "m2")

    log = await eventually(lambda: log_of(client, ticket_id), lambda found: found[-1] == "Last.")
    assert log[-3:] == ["One.", "Two.", "Last."]
    assert await text(client, f"/api/tickets/{ticket_id}/progress") == "0.75"


async def test_a_report_of_an_old_claim_is_not_written(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")
    new = await portal.granted(ticket_id, "d1", deliveries=2)
    last = ClaimLogged(ticket_id=ticket_id, claim_id=new.claim_id, level="info", text="Last.")

    await portal.tell(_report(old), "m1")
    await portal.tell(last, "m2")

    log = await eventually(lambda: log_of(client, ticket_id), lambda found: found[-1] == "Last.")
    assert "One." not in log
    assert await text(client, f"/api/tickets/{ticket_id}/progress") == "0.0"


async def test_a_report_that_an_earlier_portal_parked_fails_no_ticket(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    listener = Listener(portal.components.datastore, portal.settings)

    for _ in range(2):  # it may be delivered twice
        await listener.on_parked(
            Heard(message=_report(granted), message_id="m1", parked_reason="unknown")
        )

    assert await text(client, f"/api/tickets/{ticket_id}/status") == "claimed"
    assert (await log_of(client, ticket_id)).count(LINES_LOST) == 1


def _found(granted: ClaimGranted, name: str) -> ClaimLogged:
    """A line with a file of the claim's dispatcher."""
    return ClaimLogged(
        ticket_id=granted.ticket_id,
        claim_id=granted.claim_id,
        level="info",
        text="Found.",
        attachments=(AttachedFile(name=name, description="Findings", mime_type="text/csv"),),
    )


async def _attachments(client: Client, ticket_id: int, line: str) -> list[dict[str, str]]:
    detail = json.loads(await text(client, f"/api/tickets/{ticket_id}/detail?since=0"))
    lines = [entry for entry in detail["result"]["log"] if entry["message"] == line]
    return [found for entry in lines for found in entry["attachments"]]


async def test_a_file_of_the_dispatcher_is_attached_once_though_told_twice(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    left = portal.datastore / layout.attached_dir(ticket_id, granted.claim_id) / "findings.csv"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"number,x_mm\n")

    await portal.tell(_found(granted, left.name), "m1")
    await portal.tell(_found(granted, left.name), "m1")

    (attached,) = await eventually(
        lambda: _attachments(client, ticket_id, "Found."), lambda found: len(found) == 1
    )
    assert (attached["description"], attached["mime_type"]) == ("Findings", "text/csv")
    blob = await portal.app.test_client().get(urlsplit(attached["url"]).path)
    assert await blob.get_data() == b"number,x_mm\n"


@pytest.mark.parametrize("name", ["gone.csv", "link.csv"])
async def test_a_file_that_is_gone_or_a_link_is_left_out_and_the_line_stays(
    portal: Portal, client: Client, name: str
) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    folder = portal.datastore / layout.attached_dir(ticket_id, granted.claim_id)
    folder.mkdir(parents=True)
    (folder / "link.csv").symlink_to(portal.datastore / layout.area_dir(ticket_id, "input"))

    await portal.tell(_found(granted, name))

    await eventually(lambda: log_of(client, ticket_id), lambda log: log[-1] == "Found.")
    assert await _attachments(client, ticket_id, "Found.") == []


async def test_a_success_publishes_the_staged_files(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    files = (
        _stage(portal, granted, "seg.nii.gz", b"seg"),
        _stage(portal, granted, "w.itksnap", b"w"),
    )
    message = ClaimSucceeded(ticket_id=ticket_id, claim_id=granted.claim_id, files=files)

    await portal.tell(message)
    await portal.tell(message)

    await status_becomes(client, ticket_id, "success")
    results = f"/api/tickets/{ticket_id}/files/results"
    assert await text(client, results) == "0,seg.nii.gz\r\n1,w.itksnap\r\n"
    assert await text(client, f"{results}/0") == "seg"
    assert await text(client, f"/api/tickets/{ticket_id}/progress") == "0.0"
    detail = json.loads(await text(client, f"/api/tickets/{ticket_id}/detail"))["result"]
    assert detail["progress"] == 1.0


async def test_a_success_of_an_old_claim_publishes_nothing(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    old = await portal.granted(ticket_id, "d1")
    stale = _stage(portal, old, "seg.nii.gz", b"stale")
    new = await portal.granted(ticket_id, "d1", deliveries=2)
    fresh = _stage(portal, new, "seg.nii.gz", b"fresh")

    await portal.tell(ClaimSucceeded(ticket_id=ticket_id, claim_id=old.claim_id, files=(stale,)))
    await portal.tell(ClaimSucceeded(ticket_id=ticket_id, claim_id=new.claim_id, files=(fresh,)))

    await status_becomes(client, ticket_id, "success")
    assert await text(client, f"/api/tickets/{ticket_id}/files/results/0") == "fresh"


async def test_a_success_whose_files_are_missing_fails_with_a_sentence(
    portal: Portal, client: Client
) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)
    ghost = ResultFile(name="ghost.nii", size_bytes=3, sha256="0" * 64)

    await portal.tell(
        ClaimSucceeded(ticket_id=ticket_id, claim_id=granted.claim_id, files=(ghost,))
    )

    await status_becomes(client, ticket_id, "failed")
    assert "operator" in (await log_of(client, ticket_id))[-1]


async def test_a_failure_tells_its_reason(portal: Portal, client: Client) -> None:
    ticket_id = await submitted_ticket(client)
    granted = await portal.granted(ticket_id)

    await portal.tell(
        ClaimFailed(ticket_id=ticket_id, claim_id=granted.claim_id, reason="No layer is tagged.")
    )

    await status_becomes(client, ticket_id, "failed")
    log = json.loads(await text(client, f"/api/tickets/{ticket_id}/log?format=json"))["result"]
    assert (log[-1]["category"], log[-1]["message"]) == ("error", "No layer is tagged.")


async def test_the_next_ticket_works_after_a_failed_one(portal: Portal, client: Client) -> None:
    first = await submitted_ticket(client)
    granted = await portal.granted(first)
    await portal.tell(ClaimFailed(ticket_id=first, claim_id=granted.claim_id, reason="Bad."))
    await status_becomes(client, first, "failed")

    second = await submitted_ticket(client)

    assert isinstance(await portal.claim(second, "d2"), ClaimGranted)
    assert (await post(client, f"/api/tickets/{second}/status", status="ready"))[0] == 400
