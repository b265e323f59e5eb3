"""A link to the S3 server that is cut, slow or refused: files arrive as they were, or are not seen at all."""

import asyncio
import hashlib
import io
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # botocore has no types
from quart import Quart

from dss_datastore import layout
from dss_datastore.access import WorkEnded
from dss_datastore.s3 import bucket as bucket_module
from dss_datastore.s3.bucket import MARK, PART_BYTES, Bucket, BucketFile, Place
from dss_datastore.s3.client import Server, client
from dss_datastore.s3.datastore import S3Datastore
from dss_datastore.s3.errors import FileReplaced
from dss_datastore.s3.scratch import GONE, Scratch
from dss_datastore.volume import is_away
from dss_portal.bucket_datastore import BucketDatastore
from dss_portal.refusals import Refused
from dss_portal.web.stored_body import send_stored
from support.s3_servers import Link, S3Server

MB = 2**20
CONTENT = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 256
"""2 MB in which each place is another."""
IMAGE = "tickets/00000007/input/a.nii"


@dataclass(frozen=True, kw_only=True)
class Linked:
    """A bucket as a program sees it, over ``link``, and as it is."""

    link: Link
    over_link: Bucket
    bucket: Bucket


@pytest.fixture
def linked(s3: S3Server) -> Iterator[Linked]:
    bucket = s3.new_bucket()
    with Link(s3.address) as link:
        server = Server(endpoint=link.endpoint, attempts=3)
        yield Linked(link=link, over_link=Bucket(server, bucket.place), bucket=bucket)


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


class Failing(io.BytesIO):
    """Bytes to send; the link fails when ``after`` of them have been read."""

    def __init__(self, size_bytes: int, link: Link, after: int) -> None:
        super().__init__(bytes(size_bytes))
        self._link, self._after = link, after

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self._after:
            self._link.fail()
        return super().read(size)


def test_reading_goes_on_where_a_connection_was_cut(linked: Linked) -> None:
    linked.bucket.put_bytes(IMAGE, CONTENT)
    linked.link.cut_after = 500_000

    with linked.over_link.open(IMAGE) as file:
        found = file.read()

    assert found == CONTENT
    assert linked.link.connections >= 4


def test_a_server_that_refuses_for_a_moment_is_asked_again(linked: Linked) -> None:
    linked.link.refuses = 2

    linked.over_link.put_bytes(IMAGE, b"abc")

    assert linked.bucket.open(IMAGE).read() == b"abc"


def test_a_link_that_stays_cut_is_a_datastore_that_is_away(linked: Linked) -> None:
    linked.bucket.put_bytes(IMAGE, CONTENT)
    linked.link.fail()

    for act in (
        lambda: linked.over_link.open(IMAGE),
        lambda: linked.over_link.put_bytes(IMAGE, b"new"),
        lambda: list(linked.over_link.list("")),
    ):
        with pytest.raises(OSError, match="not there") as told:
            act()
        assert is_away(told.value)

    assert linked.bucket.open(IMAGE).read() == CONTENT
    assert linked.over_link.problem()


def test_half_a_file_is_not_seen_and_its_parts_are_removed(linked: Linked) -> None:
    source = Failing(3 * PART_BYTES, linked.link, after=2 * PART_BYTES)

    with pytest.raises(OSError, match="not there"):
        linked.over_link.put(IMAGE, source)

    assert linked.bucket.find(IMAGE) is None
    assert linked.bucket.remove_abandoned(timedelta(0)) == 1  # moto gives each the same old date
    assert linked.bucket.remove_abandoned(timedelta(0)) == 0


class Pages:
    """The answer of a server whose clock shows eleven to the question for parts of uploads; one began at ten."""

    def __init__(self) -> None:
        self.aborted: list[str] = []

    def get_paginator(self, _: str) -> "Pages":
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        begun = {"Key": IMAGE, "UploadId": "1", "Initiated": datetime(2001, 1, 1, 10, tzinfo=UTC)}
        headers = {"date": "Mon, 01 Jan 2001 11:00:00 GMT"}
        return [{"Uploads": [begun], "ResponseMetadata": {"HTTPHeaders": headers}}]

    def abort_multipart_upload(self, **about: str) -> None:
        self.aborted.append(about["UploadId"])


def test_parts_are_as_old_as_the_server_says_whatever_this_machine_shows(linked: Linked) -> None:
    linked.bucket._client = pages = Pages()  # moto gives each upload the same old date

    assert linked.bucket.remove_abandoned(timedelta(hours=2)) == 0
    assert linked.bucket.remove_abandoned(timedelta(minutes=59)) == 1
    assert pages.aborted == ["1"]


def test_a_file_that_may_not_be_removed_keeps_no_other(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(Server(endpoint=linked.link.endpoint, attempts=2), linked.bucket.place)
    for key in ("tickets/1/a", "tickets/1/b"):
        bucket.put_bytes(key, b"x")
    delete = bucket._client.delete_object

    def refusing(**about: str) -> object:
        if about["Key"].endswith("a"):
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteObject")
        return delete(**about)

    monkeypatch.setattr(bucket._client, "delete_object", refusing)

    with pytest.raises(OSError, match="not there"):
        bucket.remove_below("tickets/1/")

    assert [found.key for found in bucket.list("tickets/1/")] == ["tickets/1/a"]


def test_half_a_file_does_not_replace_the_one_before(linked: Linked) -> None:
    linked.bucket.put_bytes(IMAGE, CONTENT)

    with pytest.raises(OSError, match="not there"):
        linked.over_link.put(IMAGE, Failing(2 * PART_BYTES, linked.link, after=PART_BYTES))

    assert linked.bucket.open(IMAGE).read() == CONTENT


def test_a_file_too_large_for_one_request_is_copied_in_parts(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "MOST_COPIED_BYTES", 6 * MB)
    monkeypatch.setattr(bucket_module, "COPIED_PART_BYTES", 5 * MB)
    bucket = s3.new_bucket()
    content = (CONTENT * 6)[: 11 * MB + 1]
    bucket.put_bytes(IMAGE, content)

    bucket.copy(IMAGE, "copied")

    copied = bucket.find("copied")
    assert copied
    assert copied.version.endswith('-3"')
    assert bucket.open_found(copied).read() == content


def test_results_whose_copying_was_cut_are_published_by_the_next_attempt(
    linked: Linked, tmp_path: Path
) -> None:
    staged = layout.staging_dir(7, "c1") / "x"
    for name in ("a", "b", "c"):
        linked.bucket.put_bytes(f"{staged}/{name}", name.encode())
    results = layout.attempt_dir(7, "folder")
    expected = {staged / name: 1 for name in ("a", "b", "c")}
    portal = BucketDatastore(linked.over_link, Scratch(tmp_path, MB), MB)
    linked.link.fail()
    with pytest.raises(OSError, match="not there"):
        portal._gather(results, expected)

    linked.link.refuses = 0
    portal._gather(results, expected)

    found = {f.key.rpartition("/")[2]: f.size_bytes for f in linked.bucket.list(f"{results}/")}
    assert found == {"a": 1, "b": 1, "c": 1}


def test_a_ticket_that_is_withdrawn_does_not_wait_for_a_slow_link(
    linked: Linked, tmp_path: Path
) -> None:
    linked.bucket.put_bytes(IMAGE, CONTENT * 4)
    linked.link.pause_s = 0.02
    asked = iter([False, True])  # it is withdrawn after the first of 8 blocks
    programs = S3Datastore(linked.over_link, Scratch(tmp_path, 1 << 40))

    with programs.access(lambda: next(asked)) as access, pytest.raises(WorkEnded):
        access.fetch(layout.area_dir(7, "input"))

    assert not list(tmp_path.rglob("*.nii"))


async def test_an_upload_while_the_server_is_away_is_an_error_and_leaves_nothing(
    linked: Linked, tmp_path: Path
) -> None:
    scratch = Scratch(tmp_path, 1 << 40)
    portal = BucketDatastore(linked.over_link, scratch, 100 * MB)

    async def data() -> AsyncIterator[bytes]:
        yield CONTENT

    path, _ = await portal.receive(7, "input", data())
    linked.link.fail()
    with pytest.raises(OSError, match="not there") as told:
        await portal.send(path)
    portal.discard(path)

    assert is_away(told.value)
    assert _files(tmp_path) == {".lock"}
    assert [found.key for found in linked.bucket.list("tickets/00000007/")] == []


async def test_an_upload_for_which_the_scratch_folder_has_no_room_is_refused(
    linked: Linked, tmp_path: Path
) -> None:
    portal = BucketDatastore(linked.bucket, Scratch(tmp_path, MB), MB)

    with pytest.raises(Refused, match="no room"):
        await portal.begin_part(7, "p1", 1 << 60)


async def test_a_scratch_folder_that_was_removed_is_told(s3: S3Server, tmp_path: Path) -> None:
    """By a program that clears old temporary files; otherwise each ticket would fail, and each upload."""
    bucket, scratch = s3.new_bucket(), Scratch(tmp_path, MB)
    portal, programs = BucketDatastore(bucket, scratch, MB), S3Datastore(bucket, scratch)
    assert (await portal.problem(), programs.problem()) == ("", "")

    shutil.rmtree(scratch.folder)

    assert (await portal.problem(), programs.problem()) == (GONE, GONE)


def test_files_of_a_datastore_that_has_gone_are_not_taken_for_missing(s3: S3Server) -> None:
    gone, emptied = s3.new_bucket(), s3.new_bucket()
    server = Server(endpoint=s3.endpoint)
    gone.remove(MARK)
    client(server).delete_bucket(Bucket=gone.place.bucket)
    emptied.remove(MARK)

    assert s3.new_bucket().find(IMAGE) is None
    for bucket in (gone, emptied):
        with pytest.raises(OSError, match="not there") as told:
            bucket.find(IMAGE)
        assert is_away(told.value)


async def test_a_download_never_has_the_bytes_of_another_version(s3: S3Server) -> None:
    bucket = s3.new_bucket()
    bucket.put_bytes(IMAGE, b"first")
    app = Quart(__name__)
    async with app.test_request_context("/"):
        answer = await send_stored(BucketFile(bucket, IMAGE), "application/octet-stream")
    bucket.put_bytes(IMAGE, b"another one")

    with pytest.raises(FileReplaced):
        await answer.get_data()


@pytest.mark.usefixtures("s3")  # for its keys
async def test_downloads_from_a_server_that_is_silent_hold_up_nothing_else() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        file = BucketFile(Bucket(Server(endpoint=address, attempts=1), Place(bucket="dss")), IMAGE)
        waiting = [asyncio.create_task(send_stored(file, "image/png")) for _ in range(100)]
        await asyncio.sleep(0)

        assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 15) == "done"
        assert not any(task.done() for task in waiting)

        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


def test_a_bucket_that_is_not_there_and_one_without_a_datastore_are_told(s3: S3Server) -> None:
    bucket = s3.new_bucket()
    server = Server(endpoint=s3.endpoint)
    other = Bucket(server, Place(bucket="no-such-bucket"))
    elsewhere = Bucket(server, Place(bucket=bucket.place.bucket, prefix="else/"))

    assert bucket.problem() == ""
    assert other.problem() == "The S3 server has no bucket 'no-such-bucket'."
    assert "has no datastore at 'else/'" in elsewhere.problem()


@pytest.mark.usefixtures("s3")  # for its keys
def test_a_server_that_does_not_answer_is_told_with_its_address() -> None:
    server = Server(endpoint="http://127.0.0.1:9")
    bucket = Bucket(server, Place(bucket="dss"))

    assert bucket.problem() == "The S3 server at http://127.0.0.1:9 does not answer."


class HangingClient:
    """A client whose request does not end, as while a name server hangs."""

    def __init__(self) -> None:
        self.may_end = threading.Event()

    def get_object(self, **_: object) -> dict[str, io.BytesIO]:
        self.may_end.wait()
        return {"Body": io.BytesIO()}


def test_a_request_that_hangs_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "ANSWER_S", 0.05)
    bucket = Bucket(Server(endpoint="http://127.0.0.1:9"), Place(bucket="dss"))
    hanging = HangingClient()
    monkeypatch.setattr(bucket, "_quick", hanging)

    found = bucket.problem()
    hanging.may_end.set()

    assert found == "The S3 server at http://127.0.0.1:9 does not answer."
