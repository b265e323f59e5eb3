# mypy: allow-untyped-calls
"""Full disks, really full: a sentence for whom it concerns, nothing half-written, and then it goes on."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.broker import Delivery
from dss_broker.memory import MemoryBroker
from dss_broker.messages import ClaimFailed, RunInference
from dss_datastore import layout
from dss_dispatch.result.files import ALMOST_FULL_BYTES
from dss_images.grid import file_grid_of
from dss_images.patient_axes import lps_order
from dss_inference.ct.reading import Ct
from dss_inference.ct.region import UNRESTRICTED, place_in
from dss_inference.ct.writing import write_segmentation
from dss_portal.datastore import Datastore
from dss_portal.settings import Settings
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.brokers import fresh_vhost
from support.builders import segmentation, submit, write_image
from support.disks import fill, make_room, small_disk
from support.dispatchers import FakePortal, FakeWorker, dispatcher, finished, ready
from support.portals import Portal, new_ticket, send_file, text
from support.sites import Site
from support.sites import new_ticket as submitted_ticket
from support.sites import start as start_site
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

NOT_STORED = (
    "The service has no room on its disk, and the file was not stored; please tell its operator."
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 8) as mounted:
        yield mounted


@pytest.fixture
def settings(database_url: str, disk: Path) -> Settings:
    """Of the portal: its datastore is on the small disk."""
    return Settings(
        database_url=database_url, amqp_url="amqp://memory", datastore=disk, secret_key="k" * 32
    )


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_an_upload_to_a_full_disk_is_refused_and_leaves_nothing(
    portal: Portal, disk: Path
) -> None:
    await portal.announce_service()
    ann = await portal.user()
    ticket = await new_ticket(ann)
    path = f"/api/tickets/{ticket}/files/input"

    assert await send_file(ann, path, "ct.nii.gz", os.urandom(12 << 20)) == (507, NOT_STORED)
    assert await text(ann, path) == ""
    assert files_of(disk) == []

    status, _ = await send_file(ann, path, "ct.nii.gz", os.urandom(1 << 20))
    assert status == 200


async def test_a_resumable_upload_goes_on_when_a_full_disk_has_room_again(
    portal: Portal, disk: Path
) -> None:
    await portal.announce_service()
    ann = await portal.user()
    ticket, data = await new_ticket(ann), os.urandom(3 << 20)
    tus = {"Tus-Resumable": "1.0.0", "Upload-Metadata": "filename YS5yYXc="}
    uploads = f"/api/tickets/{ticket}/uploads"
    too_much = await ann.post(uploads, headers={**tus, "Upload-Length": str(9 << 20)})
    begun = await ann.post(uploads, headers={**tus, "Upload-Length": str(len(data))})
    adding = {**tus, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    fill(disk, but_bytes=1 << 20)

    refused = await ann.patch(begun.headers["Location"], headers=adding, data=data)

    assert too_much.status_code == refused.status_code == 507
    assert await refused.get_data(as_text=True) == NOT_STORED
    make_room(disk)
    asked = await ann.head(begun.headers["Location"], headers=tus)
    assert asked.headers["Upload-Offset"] == "0"
    taken = await ann.patch(begun.headers["Location"], headers=adding, data=data)
    assert taken.status_code == 204
    assert await text(ann, f"/api/tickets/{ticket}/files/input") == "0,a.raw\r\n"


async def test_a_disk_without_any_room_is_named_where_a_folder_cannot_be_made(
    portal: Portal, disk: Path
) -> None:
    await portal.announce_service()
    ann = await portal.user()
    ticket = await new_ticket(ann)
    fill(disk)
    path = f"/api/tickets/{ticket}/files/input"

    status, sentence = await send_file(ann, path, "ct.nii.gz", os.urandom(1 << 16))

    assert status == 507
    assert sentence.startswith("The service has no room on its disk")


async def test_a_report_that_finds_no_room_to_be_attached_leaves_nothing(
    settings: Settings, disk: Path
) -> None:
    """The portal tries again every second until there is room."""
    datastore = Datastore(disk, settings.max_upload_bytes)
    report = disk / layout.attached_dir(7, "c1") / "findings.csv"
    report.parent.mkdir(parents=True)
    report.write_bytes(os.urandom(1 << 20))
    fill(disk, but_bytes=1 << 19)

    with pytest.raises(OSError, match="No space left"):
        await datastore.take_attached(7, "c1", report.name)

    assert files_of(disk / layout.attachments_dir(7)) == []


class Filling:
    """A worker whose first ``times`` segmentations take the last room on the disk."""

    def __init__(self, disk: Path, times: int) -> None:
        self._disk, self._times = disk, times

    def __call__(self, delivery: Delivery, request: RunInference) -> None:
        make_room(self._disk)
        path = Path(request.output_dir) / "segmentation.nii.gz"
        write_image(self._disk / path, segmentation())
        self._times -= 1
        if self._times >= 0:
            fill(self._disk)
        delivery.reply(finished(request, path.as_posix()))


@pytest.fixture
def memory() -> Iterator[MemoryBroker]:
    broker = MemoryBroker()
    yield broker
    broker.stop_consuming(10)
    broker.close()


def test_a_dispatcher_tries_again_when_the_disk_was_full(memory: MemoryBroker, disk: Path) -> None:
    submit(disk)
    portal, worker = FakePortal(memory), FakeWorker(memory, Filling(disk, times=2))
    dispatcher(memory, disk).start(parallel=1)

    memory.publish(ready()).result(60)

    done = portal.succeeded()
    assert len(done.files) == 3
    assert len(worker.requests) == 3
    again = "The service has no room on its disk. The ticket is tried again in a while."
    assert portal.logged().count(again) == 1
    assert portal.of(ClaimFailed) == []
    # What the first two claims have written is gone.
    assert [p.name for p in (disk / "tickets/00000042/work").iterdir()] == ["claim3"]


def test_a_ticket_fails_with_a_sentence_when_the_disk_stays_full(
    memory: MemoryBroker, disk: Path
) -> None:
    submit(disk)
    portal, _ = FakePortal(memory), FakeWorker(memory, Filling(disk, times=99))
    dispatcher(memory, disk).start(parallel=1)

    memory.publish(ready()).result(60)

    assert portal.failed().reason == (
        "The service has no room on its disk. Please tell the operator, and submit again later."
    )
    wait_until(lambda: not any((disk / "tickets/00000042/work").iterdir()))


def test_a_worker_never_hands_out_a_segmentation_that_was_cut_off(disk: Path) -> None:
    """ITK writes NIfTI to a full disk without an error, and reads it back with zeros at the end."""
    noise = np.random.default_rng(1).integers(0, 255, (64, 128, 128), dtype=np.uint8)
    image = sitk.GetImageFromArray(noise.astype(np.int16))
    place = place_in(file_grid_of(image), UNRESTRICTED)
    order = lps_order(place.grid.volume)
    hu = noise.astype(np.int16)
    ct = Ct(hu=hu, grid=place.grid.volume, order=order, place=place, box=place.box)
    fill(disk, but_bytes=ALMOST_FULL_BYTES // 2)  # of the megabyte that it takes

    with pytest.raises(OSError, match="No space left on device"):
        write_segmentation(noise, ct, disk)

    assert not (disk / "segmentation.nii.gz").exists()
    make_room(disk)
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(write_segmentation(noise, ct, disk))))
    assert (written == noise).all()


@pytest.fixture
def cramped(rabbit: RabbitNode, tmp_path: Path) -> Iterator[tuple[Site, Path]]:
    """A portal whose PostgreSQL has a small disk to itself."""
    with small_disk(tmp_path / "small", 160) as disk, fresh_vhost(rabbit) as amqp_url:
        cluster = PostgresCluster(disk / "postgres")
        cluster.start()
        site = start_site(amqp_url, cluster, tmp_path)
        try:
            yield site, disk
        finally:
            make_room(disk)
            site.stack.stop()
            cluster.stop()


def test_a_portal_says_that_its_database_has_no_room_and_recovers(
    cramped: tuple[Site, Path], tmp_path: Path
) -> None:
    site, disk = cramped
    site.offer(tmp_path, "dss")

    numbers = itertools.count()

    def refused(root: httpx.Client) -> httpx.Response | None:
        name = f"provider-{next(numbers)}-{'x' * 60}"
        answer = root.post("/api/admin/providers", data={"name": name})
        return answer if answer.status_code >= 500 else None

    with site.program("root@example.com", "--sysadmin") as root:
        first = submitted_ticket(root)
        fill(disk)
        answer = next(filter(None, (refused(root) for _ in range(3000))))

        assert answer.status_code == 503
        assert answer.text.startswith("The database of this service ")
        make_room(disk)
        wait_until(lambda: loopback.get(f"{site.url}/readyz").text == "ok", 60, site.stack.logs)
        wait_until(lambda: refused(root) is None, 60, site.stack.logs)
        assert root.get(f"/api/tickets/{first}/status").text == "ready"
