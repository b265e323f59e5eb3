"""What users and providers do with files by HTTP, with the datastore in a folder and in a bucket."""

import hashlib
import io
import re
import zipfile

import pytest
from quart.typing import TestClientProtocol as Client

from dss_broker.messages import AttachedFile, ClaimLogged, ClaimSucceeded, ResultFile
from dss_datastore import layout
from dss_portal.models import Attachment, Status, Ticket
from dss_portal.tickets import cleanup, store
from support.portals import (
    DATASTORES,
    Portal,
    eventually,
    post,
    send_file,
    submitted_ticket,
    text,
)

pytestmark = [pytest.mark.stack, DATASTORES]

VOXELS = bytes(range(256)) * 3000


async def done(portal: Portal, ann: Client, **contents: bytes) -> int:
    """A ticket that a dispatcher has done, with these results."""
    number = await submitted_ticket(ann)
    claim = (await portal.granted(number)).claim_id
    staged = layout.staging_dir(number, claim) / "attempt"
    if not portal.settings.is_s3:
        staged = staged.parent
    for name, content in contents.items():
        portal.write(staged / name, content)
    portal.write(layout.attached_dir(number, claim) / "found.csv", b"a,b\r\n1,2\r\n")
    await portal.tell(
        ClaimLogged(
            ticket_id=number,
            claim_id=claim,
            level="info",
            text="Found.",
            attachments=(
                AttachedFile(name="found.csv", description="found", mime_type="text/csv"),
            ),
        )
    )
    files = tuple(ResultFile(name=n, size_bytes=len(c), sha256="") for n, c in contents.items())
    await portal.tell(
        ClaimSucceeded(ticket_id=number, claim_id=claim, files=files, staged_dir=str(staged))
    )
    await eventually(lambda: Ticket.get(id=number), lambda t: t.status is Status.SUCCESS)
    return number


async def test_a_result_is_downloaded_whole_by_ranges_and_not_again_if_it_is_current(
    portal: Portal, ann: Client
) -> None:
    number = await done(portal, ann, **{"seg.nii.gz": VOXELS})
    path = f"/api/tickets/{number}/files/results/0"

    whole = await ann.get(path)
    part = await ann.get(path, headers={"Range": "bytes=1000-1999"})
    tail = await ann.get(path, headers={"Range": "bytes=-7"})
    outside = await ann.get(path, headers={"Range": f"bytes={len(VOXELS)}-"})
    again = await ann.get(path, headers={"If-None-Match": whole.headers["ETag"]})
    of_another = await ann.get(path, headers={"Range": "bytes=5-9", "If-Range": '"another"'})

    assert (whole.status_code, await whole.get_data(as_text=False)) == (200, VOXELS)
    assert whole.headers["Content-Disposition"] == 'attachment; filename="seg.nii.gz"'
    assert whole.headers["Content-Length"] == str(len(VOXELS))
    assert (part.status_code, await part.get_data(as_text=False)) == (206, VOXELS[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(VOXELS)}"
    assert (tail.status_code, await tail.get_data(as_text=False)) == (206, VOXELS[-7:])
    assert outside.status_code == 416
    assert again.status_code == 304
    assert (of_another.status_code, len(await of_another.get_data(as_text=False))) == (
        200,
        len(VOXELS),
    )


IGNORED = (
    "bytes=0-99,200-299",
    "bytes=200-299,0-99",  # not in order
    "bytes=0-0,-1",
    f"bytes=0-9,{len(VOXELS) * 2}-",  # one of them lies outside
    "lines=1-2",
    "bytes=9-1",
    "bytes=first-second",
)
"""Values of the header Range that a server may ignore; it must ignore those with another unit."""


async def test_of_several_ranges_every_download_is_sent_whole(portal: Portal, ann: Client) -> None:
    number = await done(portal, ann, **{"seg.nii.gz": VOXELS, "b.itksnap": b"<registry/>"})
    attached = await Attachment.get(ticket_id=number)
    result = f"/api/tickets/{number}/files/results/0"
    archives = (f"/tickets/{number}/download", f"/api/tickets/{number}/archive")
    paths = (result, *archives, f"/blobs/{attached.public_id}", "/static/portal.css")
    whole = {path: await (await ann.get(path)).get_data(as_text=False) for path in paths}

    for path in paths:
        for wanted in IGNORED:
            answer = await ann.get(path, headers={"Range": wanted})
            found = answer.status_code, await answer.get_data(as_text=False)
            assert found == (200, whole[path]), (path, wanted)
            assert "Content-Range" not in answer.headers


async def test_a_range_that_lies_outside_is_refused_and_a_longer_end_is_sent_whole(
    portal: Portal, ann: Client
) -> None:
    number = await done(portal, ann, **{"seg.nii.gz": VOXELS})

    for path in (f"/api/tickets/{number}/files/results/0", f"/tickets/{number}/download"):
        whole = await (await ann.get(path)).get_data(as_text=False)
        outside = await ann.get(path, headers={"Range": f"bytes={len(whole)}-"})
        longer = await ann.get(path, headers={"Range": f"bytes=-{len(whole) + 1}"})

        assert outside.status_code == 416
        assert outside.headers["Content-Range"] == f"bytes */{len(whole)}"
        assert longer.status_code in {200, 206}
        assert await longer.get_data(as_text=False) == whole


async def test_all_results_are_one_archive_with_checksums_beside_it(
    portal: Portal, ann: Client
) -> None:
    number = await done(portal, ann, **{"a.nii.gz": VOXELS, "b.itksnap": b"<registry/>"})

    answer = await ann.get(f"/tickets/{number}/download")
    packed = zipfile.ZipFile(io.BytesIO(await answer.get_data(as_text=False)))
    sums = await text(ann, f"/api/tickets/{number}/checksums")

    folder = f"ticket_{number:08d}"
    assert packed.testzip() is None
    assert packed.read(f"{folder}/a.nii.gz") == VOXELS
    assert packed.read(f"{folder}/b.itksnap") == b"<registry/>"
    assert hashlib.sha256(VOXELS).hexdigest() in sums


async def test_an_attachment_of_a_dispatcher_is_read_by_its_link_and_on_the_page(
    portal: Portal, ann: Client
) -> None:
    number = await done(portal, ann, **{"seg.nii.gz": VOXELS})
    attachment = await Attachment.get(ticket_id=number)

    assert await text(ann, f"/blobs/{attachment.public_id}") == "a,b\r\n1,2\r\n"
    assert re.search("<th[^>]*>a</th>", await text(ann, f"/tickets/{number}"))


async def test_working_files_are_removed_when_a_ticket_has_ended(
    portal: Portal, ann: Client
) -> None:
    number = await done(portal, ann, **{"seg.nii.gz": VOXELS})

    await cleanup.clean_all(portal.components.datastore, portal.settings)

    folder = str(layout.ticket_dir(number))
    kept = {name.removeprefix(folder) for name in portal.files if name.startswith(folder)}
    (result,) = await store.files(number, "results")
    links = set() if portal.settings.is_s3 else {f"/results/{result.name}"}
    assert kept == {"/input/a.itksnap", f"/attempts/{result.place}"} | links


async def test_a_deleted_ticket_leaves_no_file(portal: Portal, ann: Client) -> None:
    number = await done(portal, ann, **{"seg.nii.gz": VOXELS})

    assert (await ann.get(f"/api/tickets/{number}/delete")).status_code == 200

    assert portal.files == set()


async def test_a_file_larger_than_a_buffer_is_received_and_replaced(
    portal: Portal, ann: Client
) -> None:
    status, number = await post(ann, "/api/tickets", name="lung-segmentation")
    assert status == 200
    path = f"/api/tickets/{number}/files/input"

    first = await send_file(ann, path, "a.raw", VOXELS * 8)
    second = await send_file(ann, path, "a.raw", VOXELS * 7)

    assert (first[0], second[0]) == (200, 200)
    answer = await ann.get(f"{path}/0")
    assert await answer.get_data(as_text=False) == VOXELS * 7
    assert await portal.has_no_parts()
