"""One datastore, as the portal and as the other programs reach it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from dss_datastore import layout
from dss_datastore.access import SharedDatastore, never
from dss_datastore.folder import FolderAccess, FolderDatastore
from dss_datastore.s3.bucket import MARK, Bucket
from dss_datastore.s3.datastore import S3Datastore
from dss_datastore.s3.scratch import Scratch
from dss_datastore.space import disk_full
from dss_portal.bucket_datastore import BucketDatastore
from dss_portal.datastore import Datastore
from dss_portal.datastore.removing import Shown
from dss_portal.datastore.stored import content_of

MB = 2**20
ROOM = 1 << 40


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


def as_read(shown: set[PurePosixPath]) -> Shown:
    """These files, as the database names them."""

    async def read() -> set[PurePosixPath]:
        return shown

    return read


class WithoutRoom(FolderDatastore):
    """A datastore whose program has no room for files on their way, the first time."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked = 0

    @contextmanager
    def access(self, has_ended: Callable[[], bool] = never) -> Iterator[FolderAccess]:
        self.asked += 1
        if self.asked == 1:
            raise disk_full()
        with super().access(has_ended) as made:
            yield made


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def keys_of(bucket: Bucket) -> set[str]:
    return {found.key for found in bucket.list("")} - {MARK}


async def sent(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@contextmanager
def datastore_of(bucket: Bucket | None, folder: Path) -> Iterator[Site]:
    """In that bucket, or else in ``folder``."""
    if bucket is None:
        (folder / layout.TICKETS).mkdir()
        yield Site(
            portal=Datastore(folder, 100 * MB),
            programs=FolderDatastore(folder),
            names=lambda: files_below(folder),
        )
        return
    scratch = [Scratch(folder / name, ROOM) for name in ("portal", "program")]
    yield Site(
        portal=BucketDatastore(bucket, scratch[0], 100 * MB, checked_s=0),
        programs=S3Datastore(bucket, scratch[1]),
        names=lambda: keys_of(bucket),
    )
    for each in scratch:
        left = {path.name for path in each.folder.rglob("*")}
        assert left - {layout.TICKETS} == {".lock"}, "something is left in the scratch folder"
        each.close()


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.stack)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    in_bucket = request.param == "s3"
    bucket = request.getfixturevalue("s3").new_bucket() if in_bucket else None
    with datastore_of(bucket, tmp_path) as made:
        yield made
