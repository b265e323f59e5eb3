"""What dispatchers and workers may rely on, on a shared folder and in a bucket alike."""

import asyncio
from pathlib import Path, PurePosixPath

import pytest

from dss_datastore import layout
from dss_datastore.access import WorkEnded
from dss_datastore.s3.datastore import S3Datastore
from dss_datastore.s3.scratch import Scratch
from dss_portal.bucket_datastore import BucketDatastore
from dss_portal.datastore.stored import content_of
from support import datastores
from support.datastores import MB, ROOM, Site, as_read, files_below
from support.s3_servers import S3Server

site = datastores.site


async def test_a_dispatcher_reads_what_a_user_has_sent_and_nothing_unfinished(site: Site) -> None:
    await site.kept("a.nii", b"voxels")
    await site.portal.begin_part(7, "p1", 3)
    await site.portal.add_to_part(7, "p1", 0, b"abc")
    area = layout.area_dir(7, "input")

    with site.programs.access() as access:
        access.fetch(area)
        found = {
            path.name: path.read_bytes()
            for path in (access.root / area).iterdir()
            if not path.name.startswith(".")
        }

    assert found == {"a.nii": b"voxels"}


def test_a_worker_sees_that_a_request_is_wanted_and_leaves_its_files(site: Site) -> None:
    folder = layout.inference_dir(7, "c1")
    with site.programs.access() as dispatcher, site.programs.access() as worker:
        assert not worker.is_made(folder)
        dispatcher.make(folder)
        assert worker.is_made(folder)
        worker.fetch(folder)
        (worker.root / folder).mkdir(parents=True, exist_ok=True)
        (worker.root / folder / "seg.nii.gz").write_bytes(b"voxels")
        (worker.root / folder / layout.OUTCOME).write_bytes(b"{}")
        worker.put(folder, last=layout.OUTCOME)

        dispatcher.fetch(folder)

        assert (dispatcher.root / folder / "seg.nii.gz").read_bytes() == b"voxels"
        dispatcher.remove(layout.work_dir(7, "c1"))
        assert not worker.is_made(folder)


async def test_files_in_folders_of_a_folder_are_put_taken_and_removed(site: Site) -> None:
    folder = layout.ticket_dir(7) / "read" / "i1"
    with site.programs.access() as access:
        access.make(folder)
        (access.root / folder / "part" / "0").mkdir(parents=True)
        (access.root / folder / "part" / "0" / "ct.nii.gz").write_bytes(b"voxels")
        (access.root / folder / layout.OUTCOME).write_bytes(b"{}")
        access.put(folder, last=layout.OUTCOME)

    path, size_bytes = await site.portal.take_read(7, f"{folder}/part/0", "ct.nii.gz")
    await site.portal.keep(path, "ct.nii.gz")

    assert size_bytes == 6
    assert await site.content("ct.nii.gz") == b"voxels"
    assert await asyncio.to_thread(site.portal.has_leftovers, 7)
    shown = {layout.area_dir(7, "input") / "ct.nii.gz"}
    await site.portal.remove_leftovers(7, as_read(shown))
    assert site.names() == {str(place) for place in shown}


def test_only_the_files_of_a_name_are_fetched(site: Site) -> None:
    for claim in ("c1", "c2"):
        with site.programs.access() as access:
            folder = layout.inference_dir(7, claim)
            access.make(folder)
            (access.root / folder / layout.OUTCOME).write_text(claim)
            (access.root / folder / "seg.nii.gz").write_text("voxels")
            access.put(folder, last=layout.OUTCOME)

    with site.programs.access() as access:
        work = layout.inference_dir(7, "c1").parent.parent
        access.fetch(work, only=layout.OUTCOME)
        found = {path.read_text() for path in (access.root / work).rglob(layout.OUTCOME)}

    assert found == {"c1", "c2"}


async def test_an_attachment_is_taken_over_from_its_claim(site: Site) -> None:
    folder = layout.attached_dir(7, "c1")
    with site.programs.access() as access:
        (access.root / folder).mkdir(parents=True)
        (access.root / folder / "picture.png").write_bytes(b"picture")
        access.put(folder)

    path, size_bytes = await site.portal.take_attached(7, "c1", "picture.png")
    await site.portal.keep(path, "kept.png")

    assert size_bytes == 7
    assert content_of(await site.portal.attachment(7, "kept.png")) == b"picture"
    with pytest.raises(FileNotFoundError):
        await site.portal.take_attached(7, "c1", "other.png")


async def test_a_site_that_is_there_has_no_problem(site: Site) -> None:
    assert not site.programs.problem()
    assert not await site.portal.problem()


@pytest.mark.stack
def test_two_attempts_of_one_claim_do_not_share_their_results(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    programs = S3Datastore(bucket, Scratch(tmp_path, ROOM))
    folder = layout.staging_dir(7, "c1")

    def attempt(content: str) -> PurePosixPath:
        with programs.access() as access:
            (access.root / folder).mkdir(parents=True)
            (access.root / folder / "seg").write_text(content)
            return access.put_results(folder)

    first, second = attempt("first"), attempt("second")

    assert bucket.open(f"{first}/seg").read() == b"first"
    assert bucket.open(f"{second}/seg").read() == b"second"


@pytest.mark.stack
def test_work_that_has_ended_is_not_copied_to_its_end(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    bucket.put_bytes("tickets/00000007/input/a.nii", b"x" * MB)
    scratch = Scratch(tmp_path, ROOM)

    with S3Datastore(bucket, scratch).access(lambda: True) as access, pytest.raises(WorkEnded):
        access.fetch(layout.area_dir(7, "input"))

    assert files_below(scratch.folder) == {".lock"}


@pytest.mark.stack
def test_a_scratch_folder_holds_no_more_than_it_may(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    bucket.put_bytes("tickets/00000007/input/a.nii", b"x" * 600)
    programs = S3Datastore(bucket, Scratch(tmp_path, 1000))

    with programs.access() as first:
        first.fetch(layout.area_dir(7, "input"))
        with programs.access() as second, pytest.raises(OSError, match="No space left"):
            second.fetch(layout.area_dir(7, "input"))
    with programs.access() as third:
        third.fetch(layout.area_dir(7, "input"))


@pytest.mark.stack
async def test_the_results_of_another_claim_cannot_be_published(
    s3: S3Server, tmp_path: Path
) -> None:
    bucket = s3.new_bucket()
    portal = BucketDatastore(bucket, Scratch(tmp_path, ROOM), MB)
    bucket.put_bytes("tickets/00000007/work/c2/results/x/seg", b"voxels")

    for staged in ("tickets/00000007/work/c2/results/x", "tickets/00000007/work/c1/results/../x"):
        with pytest.raises(FileNotFoundError):
            await portal.publish_results(7, "c1", [("seg", 6)], staged)


@pytest.mark.stack
def test_a_key_that_some_tool_made_for_a_folder_is_no_file(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    bucket.put_bytes("tickets/00000007/input/", b"")
    bucket.put_bytes("tickets/00000007/input/a.nii", b"voxels")
    area = layout.area_dir(7, "input")

    with S3Datastore(bucket, Scratch(tmp_path, ROOM)).access() as access:
        access.fetch(area)

        assert files_below(access.root / area) == {"a.nii"}


@pytest.mark.stack
def test_a_link_does_not_bring_a_file_of_the_machine_into_the_bucket(
    s3: S3Server, tmp_path: Path
) -> None:
    bucket, secret = s3.new_bucket(), tmp_path / "secret"
    secret.write_text("of the machine")
    folder = layout.inference_dir(7, "c1")

    with S3Datastore(bucket, Scratch(tmp_path / "scratch", ROOM)).access() as access:
        access.make(folder)
        (access.root / folder / "seg.nii.gz").symlink_to(secret)
        access.put(folder)

    assert bucket.find(f"{folder}/seg.nii.gz") is None
