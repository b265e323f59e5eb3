"""Access to the bucket: how requests to the S3 server are made, the files and their temporary copies in the scratch
folder, and what is said about them.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ParamSpec, TypeVar
from uuid import uuid4

from dss_datastore import layout
from dss_datastore.layout import Area
from dss_datastore.s3.bucket import Bucket, BucketFile
from dss_datastore.s3.reading import Stored
from dss_datastore.s3.scratch import Scratch
from dss_datastore.volume import away
from dss_portal.datastore import Datastore
from dss_portal.datastore.stored import Stamps, StoredFile
from dss_portal.refusals import Refused

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 16
"""Most requests to the S3 server at a time.  Further ones wait, so that a slow server does not hold up other work."""


class BucketAccess(Datastore):
    """The files of tickets in ``bucket``, and temporary files in ``scratch``.  Methods raise OSError (ENODEV) while the
    S3 server is not available.
    """

    def __init__(self, bucket: Bucket, scratch: Scratch, max_file_bytes: int) -> None:
        super().__init__(scratch.folder, max_file_bytes)
        (scratch.folder / layout.TICKETS).mkdir(exist_ok=True)
        self._bucket, self._scratch = bucket, scratch
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bucket")
        self._sent: set[Path] = set()

    async def _on_bucket(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(act, *args, **kwargs))

    async def problem(self) -> str:
        return await self._on_bucket(self._bucket.problem) or self._scratch.problem()

    async def prepare(self) -> None:
        await self._on_bucket(self._bucket.make)

    def room_bytes(self) -> tuple[int, int]:
        """Always raises OSError, because a bucket has no size."""
        raise away()

    async def file(self, ticket_id: int, area: Area, name: str) -> BucketFile:
        return BucketFile(self._bucket, str(layout.file_path(ticket_id, area, name)))

    async def apply_to_files(
        self,
        ticket_id: int,
        area: Area,
        names: Iterable[str],
        look: Callable[[Iterable[StoredFile]], T],
    ) -> T:
        files = [await self.file(ticket_id, area, name) for name in names]
        return await asyncio.to_thread(look, files)

    async def small_content(
        self,
        ticket_id: int,  # noqa: ARG002 - the signature is that of Datastore
        area: Area,  # noqa: ARG002 - as ticket_id
        name: str,  # noqa: ARG002 - as ticket_id
        most_bytes: int,  # noqa: ARG002 - as ticket_id
    ) -> None:
        """Always None: callers then use the method ``file``, whose content is read in the threads for downloads from a
        bucket.
        """
        return

    async def attachment(self, ticket_id: int, file_name: str) -> BucketFile:
        return BucketFile(self._bucket, f"{layout.attachments_dir(ticket_id)}/{file_name}")

    async def stamps(self, ticket_id: int, area: Area, names: Iterable[str]) -> Stamps:
        files = {name: await self.file(ticket_id, area, name) for name in names}

        def look() -> Stamps:
            return {name: _stamp(file.facts()) for name, file in files.items()}

        try:
            return await self._on_bucket(look)
        except FileNotFoundError as error:
            raise Refused("A file of the ticket has gone; send it again.") from error

    async def remove_files(self, ticket_id: int, area: Area, places: Iterable[str]) -> None:
        for place in places:
            key = layout.file_path(ticket_id, area, place)
            await self._on_bucket(self._remove_quietly, str(key))

    def _key(self, path: Path) -> str:
        return path.relative_to(self._own(path)).as_posix()

    def _own(self, temporary: Path) -> Path:
        """The folder directly in the scratch folder that holds only this temporary file.  It is removed with the file,
        so that no empty folders of tickets remain.
        """
        return self._root / temporary.relative_to(self._root).parts[0]

    def _temporary(self, folder: PurePosixPath) -> Path:
        return self._root / uuid4().hex / folder / f".{uuid4().hex}.part"

    def _fetch(self, key: str, target: Path) -> int:
        """Copy a file from the server, and return its size in bytes."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._bucket.open(key) as file:
            return target.write_bytes(file.read())

    def discard(self, temporary: Path) -> None:
        """Remove the temporary file: at once in the scratch folder, and soon on the server."""
        shutil.rmtree(self._own(temporary), ignore_errors=True)
        if temporary in self._sent:
            self._sent.remove(temporary)
            self._threads.submit(self._remove_quietly, self._key(temporary))

    def _remove_quietly(self, key: str) -> None:
        with suppress(OSError):  # ``remove_leftovers`` removes it later
            self._bucket.remove(key)


def _stamp(found: Stored) -> tuple[int, int, int]:
    version = int.from_bytes(hashlib.sha256(found.version.encode()).digest()[:8])
    return version, found.size_bytes, int(found.changed_at.timestamp() * 1e9)
