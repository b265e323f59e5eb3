"""What a finished ticket has cost is kept for estimates, and nothing that names it or its user."""

import gzip
import struct
from pathlib import Path

import pytest

from dss_broker import codec
from dss_broker.messages import ClaimSucceeded
from dss_portal.database import clock
from dss_portal.estimates import runs
from dss_portal.models import Run, Ticket
from dss_portal.scrubbing.image_headers import voxels_in
from support.portals import Portal, eventually, new_ticket, post, send_file, submitted_ticket

pytestmark = pytest.mark.stack

LUNGS = "lung-segmentation"


def nifti(*size: int) -> bytes:
    """A header alone; the voxels are not read."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, len(size), *size, *[1] * (7 - len(size)))
    struct.pack_into("<h", head, 72, 16)
    struct.pack_into("<f", head, 108, 352.0)
    head[344:348] = b"n+1\0"
    return bytes(head)


def test_voxels_are_told_by_the_header_of_a_nifti_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "a"
    found = []
    for data in (nifti(10, 20, 30), gzip.compress(nifti(4, 5, 6, 2)), b"NRRD0005", b"\x1f\x8bx"):
        file.write_bytes(data)
        found.append(voxels_in(file))

    assert found == [6000, 240, None, None]


def test_the_end_of_a_claim_by_an_older_dispatcher_is_still_read() -> None:
    told = codec.decode("ClaimSucceeded", b'{"ticket_id": 1, "claim_id": "c", "files": []}')

    assert told == ClaimSucceeded(ticket_id=1, claim_id="c", files=())
    assert told.work_s == 0


async def _ended(portal: Portal, ticket_id: int, device: str, work_s: float) -> None:
    granted = await portal.granted(ticket_id, f"d{ticket_id}")
    await portal.tell(
        ClaimSucceeded(
            ticket_id=ticket_id,
            claim_id=granted.claim_id,
            files=(),
            device=device,
            work_s=work_s,
        )
    )

    async def status() -> str:
        return (await Ticket.get(id=ticket_id)).status.value

    await eventually(status, lambda now: now == "success")


async def test_a_ticket_that_succeeds_leaves_what_it_has_cost(portal: Portal) -> None:
    ann = await portal.user()
    await portal.announce_service()
    ticket_id = await new_ticket(ann)
    area = f"/api/tickets/{ticket_id}/files/input"
    sent = {"a.itksnap": b"<registry/>", "main.nii": nifti(10, 20, 30), "small.nii": nifti(2, 2)}
    for name, data in sent.items():
        await send_file(ann, area, name, data)
    await post(ann, f"/api/tickets/{ticket_id}/status", status="ready")

    await _ended(portal, ticket_id, "cuda:3 (NVIDIA H200)", 12.5)

    (run,) = await Run.all()
    assert (run.service, run.device, run.voxels, run.seconds) == (
        LUNGS,
        "cuda (NVIDIA H200)",
        6000,
        12.5,
    )
    assert run.size_bytes == sum(map(len, sent.values()))


async def test_a_ticket_whose_dispatcher_has_not_measured_leaves_nothing(portal: Portal) -> None:
    await portal.announce_service()

    await _ended(portal, await submitted_ticket(await portal.user()), "", 0.0)

    assert await Run.all().count() == 0


async def test_only_the_newest_runs_of_each_service_are_kept(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert portal
    monkeypatch.setattr(runs, "KEPT_RUNS", 2)
    for service in "aba":
        for seconds in (1.0, 2.0):
            await Run.create(
                service=service, device="", size_bytes=1, seconds=seconds, ended_at=clock.now()
            )

    await runs.forget_old()

    kept = await Run.all().order_by("id")
    assert [(run.service, run.seconds) for run in kept] == [
        ("b", 1.0),
        ("b", 2.0),
        ("a", 1.0),
        ("a", 2.0),
    ]
    assert [run.seconds for run in await runs.newest(["b"])] == [1.0, 2.0]
