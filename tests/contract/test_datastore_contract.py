"""What portal, dispatchers and workers may rely on, on a shared folder and in a bucket alike."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from dss_datastore import layout
from dss_datastore.access import SharedDatastore, WorkEnded
from dss_datastore.folder import FolderDatastore
from dss_datastore.s3.bucket import MARK, PART_BYTES, Bucket
from dss_datastore.s3.datastore import S3Datastore
from dss_datastore.s3.scratch import Scratch
from dss_portal.bucket_datastore import BucketDatastore
from dss_portal.datastore import Datastore, content_of
from dss_portal.refusals import Refused
from support.s3_servers import S3Server

MB = 2**20
ROOM = 1 << 40
RESULTS = layout.area_dir(7, "results")


@dataclass(frozen=True, kw_only=True)
class Site:
    """One datastore, as the portal and as the other programs reach it; ``names`` are the places of all files."""

    portal: Datastore
    programs: SharedDatastore
    names: Callable[[], set[str]]

    async def kept(self, name: str, content: bytes) -> None:
        """A file that a user has sent to ticket 7."""
        path, _ = await self.portal.receive(7, "input", sent(content))
        await self.portal.send(path)
        await self.portal.keep(path, name)
        self.portal.discard(path)

    async def content(self, name: str, area: layout.Area = "input") -> bytes:
        return content_of(await self.portal.file(7, area, name))

    def staged(self, claim: str, **files: bytes) -> str:
        """The folder of the results that a dispatcher has left for the claim."""
        folder = layout.staging_dir(7, claim)
        with self.programs.access() as access:
            (access.root / folder).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (access.root / folder / name).write_bytes(content)
            return str(access.put_results(folder))


@pytest.fixture(params=["folder", "s3"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param == "folder":
        (tmp_path / layout.TICKETS).mkdir()
        yield Site(
            portal=Datastore(tmp_path, 100 * MB),
            programs=FolderDatastore(tmp_path),
            names=lambda: _files(tmp_path),
        )
        return
    bucket = request.getfixturevalue("s3").new_bucket()
    scratch = [Scratch(tmp_path / name, ROOM) for name in ("portal", "program")]
    yield Site(
        portal=BucketDatastore(bucket, scratch[0], 100 * MB, checked_s=0),
        programs=S3Datastore(bucket, scratch[1]),
        names=lambda: _keys(bucket),
    )
    for each in scratch:
        assert _files(each.folder) == {".lock"}, "a file is left in the scratch folder"
        each.close()


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def _keys(bucket: Bucket) -> set[str]:
    return {found.key for found in bucket.list("")} - {MARK}


async def sent(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_a_file_is_seen_when_it_is_kept_and_not_before(site: Site) -> None:
    path, size_bytes = await site.portal.receive(7, "input", sent(b"ab", b"c"))
    await site.portal.send(path)
    with pytest.raises(FileNotFoundError):
        await site.content("a.nii")

    await site.portal.keep(path, "a.nii")

    assert size_bytes == 3
    assert await site.content("a.nii") == b"abc"


async def test_a_file_is_read_from_any_place(site: Site) -> None:
    content = bytes(range(256)) * 4096
    await site.kept("a.nii", content)

    with (await site.portal.file(7, "input", "a.nii")).open("rb") as file:
        file.seek(700_001)
        middle = file.read(10)
        file.seek(5)
        beginning = file.read(5)
        rest = file.read()

    assert (middle, beginning, rest) == (content[700_001:700_011], content[5:10], content[10:])


async def test_a_file_larger_than_one_part_arrives_as_it_was_sent(site: Site) -> None:
    content = hashlib.sha256(b"x").digest() * (PART_BYTES // 32 + 1000)

    await site.kept("a.nii", content)

    assert await site.content("a.nii") == content


async def test_a_file_replaces_that_of_its_name_and_its_stamp_changes(site: Site) -> None:
    await site.kept("a.nii", b"first")
    before = await site.portal.stamps(7, "input", ["a.nii"])

    await site.kept("a.nii", b"second")

    assert await site.content("a.nii") == b"second"
    assert await site.portal.stamps(7, "input", ["a.nii"]) != before
    assert len(site.names()) == 1


async def test_a_file_that_is_not_there_has_no_stamp(site: Site) -> None:
    with pytest.raises(Refused, match="has gone"):
        await site.portal.stamps(7, "input", ["a.nii"])


async def test_an_upload_that_breaks_off_leaves_nothing(site: Site) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield b"x" * (3 * MB)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await site.portal.receive(7, "input", cut())

    assert site.names() == set()


async def test_a_file_that_is_not_kept_leaves_nothing(site: Site) -> None:
    path, _ = await site.portal.receive(7, "input", sent(b"abc"))
    await site.portal.send(path)

    site.portal.discard(path)

    await _eventually(lambda: site.names() == set())


async def test_a_file_that_is_replaced_while_it_is_read_is_never_mixed(site: Site) -> None:
    old, new = b"o" * (3 * MB), b"n" * (3 * MB)
    await site.kept("a.nii", old)
    file = (await site.portal.file(7, "input", "a.nii")).open("rb")
    found = file.read(MB)

    await site.kept("a.nii", new)
    file.seek(2 * MB)
    try:
        found += file.read()
    except OSError:
        found += b""
    file.close()

    assert set(found) == {ord("o")}


async def test_what_is_read_of_a_ticket_that_is_deleted_is_its_content_or_an_error(
    site: Site,
) -> None:
    content = bytes(range(256)) * (12 * 1024)
    await site.kept("a.nii", content)
    file = (await site.portal.file(7, "input", "a.nii")).open("rb")
    found = file.read(MB)

    await site.portal.remove_ticket(7)
    try:
        found += file.read()
    except OSError:
        found += b""
    file.close()

    assert content.startswith(found)
    assert site.names() == set()


async def test_results_are_published_together(site: Site) -> None:
    staged = site.staged("c1", seg=b"voxels", workspace=b"names")

    await site.portal.publish_results(7, "c1", [("seg", 6), ("workspace", 5)], staged)

    assert await site.content("seg", "results") == b"voxels"
    assert await site.content("workspace", "results") == b"names"


async def test_publishing_twice_is_the_same_as_once(site: Site) -> None:
    staged = site.staged("c1", seg=b"voxels")

    await site.portal.publish_results(7, "c1", [("seg", 6)], staged)
    await site.portal.publish_results(7, "c1", [("seg", 6)], staged)

    assert await site.content("seg", "results") == b"voxels"


@pytest.mark.parametrize("announced", [("seg", 7), ("other", 6)])
async def test_incomplete_results_are_not_published(site: Site, announced: tuple[str, int]) -> None:
    staged = site.staged("c1", seg=b"voxels")

    with pytest.raises(FileNotFoundError):
        await site.portal.publish_results(7, "c1", [announced], staged)


async def test_the_files_of_two_claims_are_never_mixed(site: Site) -> None:
    first = site.staged("c1", seg_1=b"first", workspace=b"names seg_1")
    await site.portal.publish_results(7, "c1", [("seg_1", 5), ("workspace", 11)], first)
    second = site.staged("c2", seg_2=b"second", workspace=b"names seg_2")

    await site.portal.publish_results(7, "c2", [("seg_2", 6), ("workspace", 11)], second)
    site.staged("c1", seg_1=b"late!", workspace=b"late  seg_1")

    names = {name for name in site.names() if name.startswith(f"{RESULTS}/")}
    assert names == {f"{RESULTS}/seg_2", f"{RESULTS}/workspace"}
    assert await site.content("workspace", "results") == b"names seg_2"


async def test_leftovers_are_found_and_removed_and_nothing_else(site: Site) -> None:
    await site.kept("a.nii", b"shown")
    await site.kept("b.nii", b"of a transaction that was rolled back")
    site.staged("c1", seg=b"voxels")
    received, _ = await site.portal.receive_attachment(7, sent(b"text"))
    await site.portal.keep(received, "kept.txt")
    shown = {layout.area_dir(7, "input") / "a.nii", layout.attachments_dir(7) / "kept.txt"}
    assert await asyncio.to_thread(site.portal.has_scraps, 7)

    await site.portal.remove_scraps(7, shown)

    assert site.names() == {str(path) for path in shown}
    assert not await asyncio.to_thread(site.portal.has_scraps, 7, shown)


async def test_a_deleted_ticket_leaves_nothing(site: Site) -> None:
    await site.kept("a.nii", b"x")
    await site.portal.begin_part(7, "p1", 3)
    await site.portal.add_to_part(7, "p1", 0, b"abc")
    site.staged("c1", seg=b"voxels")
    received, _ = await site.portal.receive_attachment(7, sent(b"text"))
    await site.portal.keep(received, "kept.txt")
    assert await asyncio.to_thread(site.portal.has_ticket, 7)

    await site.portal.remove_ticket(7)

    assert site.names() == set()
    assert not await asyncio.to_thread(site.portal.has_ticket, 7)


async def test_a_block_that_comes_again_after_a_portal_was_killed_changes_nothing(
    site: Site,
) -> None:
    await site.portal.begin_part(7, "p1", 8)
    await site.portal.add_to_part(7, "p1", 0, b"abc")
    await site.portal.add_to_part(7, "p1", 3, b"defgh")
    await site.portal.add_to_part(7, "p1", 3, b"de")

    await site.portal.add_to_part(7, "p1", 5, b"fgh")

    twin = await site.portal.twin_of_part(7, "p1", 8)
    assert await site.portal.part_sha256(7, "p1") == hashlib.sha256(b"abcdefgh").hexdigest()
    assert twin.read_bytes() == b"abcdefgh"
    site.portal.discard(twin)


async def test_a_part_that_was_removed_takes_no_block(site: Site) -> None:
    await site.portal.begin_part(7, "p1", 3)
    await site.portal.remove_part(7, "p1")

    with pytest.raises(FileNotFoundError):
        await site.portal.add_to_part(7, "p1", 0, b"abc")
    with pytest.raises(FileNotFoundError):
        await site.portal.twin_of_part(7, "p1", 0)
    assert site.names() == set()


async def test_a_part_of_another_size_is_no_file(site: Site) -> None:
    await site.portal.begin_part(7, "p1", 4)
    await site.portal.add_to_part(7, "p1", 0, b"abc")

    with pytest.raises(FileNotFoundError):
        await site.portal.twin_of_part(7, "p1", 4)


async def test_a_file_may_be_changed_in_place(site: Site) -> None:
    await site.kept("a.itksnap", b"before")

    async with site.portal.changing(7, "input", "a.itksnap") as path:
        path.write_bytes(b"after")

    assert await site.content("a.itksnap") == b"after"
    with pytest.raises(FileNotFoundError):
        async with site.portal.changing(7, "input", "b.itksnap") as path:
            path.read_bytes()


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


async def _eventually(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not come to hold")


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


def test_work_that_has_ended_is_not_copied_to_its_end(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    bucket.put_bytes("tickets/00000007/input/a.nii", b"x" * MB)
    scratch = Scratch(tmp_path, ROOM)

    with S3Datastore(bucket, scratch).access(lambda: True) as access, pytest.raises(WorkEnded):
        access.fetch(layout.area_dir(7, "input"))

    assert _files(scratch.folder) == {".lock"}


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


async def test_the_results_of_another_claim_cannot_be_published(
    s3: S3Server, tmp_path: Path
) -> None:
    bucket = s3.new_bucket()
    portal = BucketDatastore(bucket, Scratch(tmp_path, ROOM), MB)
    bucket.put_bytes("tickets/00000007/work/c2/results/x/seg", b"voxels")

    for staged in ("tickets/00000007/work/c2/results/x", "tickets/00000007/work/c1/results/../x"):
        with pytest.raises(FileNotFoundError):
            await portal.publish_results(7, "c1", [("seg", 6)], staged)
