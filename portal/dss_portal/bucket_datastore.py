"""The datastore in a bucket of an S3 server.

The keys are the paths that the files have on a shared folder.  A file is received in the portal's scratch folder, where
facts about the sender's machine are removed from it.  Then it is sent under a temporary key.  It becomes visible by a
copy within the server, which is made while the ticket's row is locked.  More than 300 lines: it implements each method
of ``Datastore``.
"""

import asyncio
import hashlib
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import ParamSpec, TypeVar
from uuid import uuid4

from dss_datastore import layout
from dss_datastore.layout import Area
from dss_datastore.s3.bucket import Bucket, BucketFile
from dss_datastore.s3.pieces import Piece, in_order, key_of
from dss_datastore.s3.reading import Stored
from dss_datastore.s3.scratch import Scratch
from dss_datastore.space import has_free
from dss_datastore.volume import away
from dss_portal.datastore import Datastore
from dss_portal.datastore.names import UploadFolder, flat, upload_dir
from dss_portal.datastore.pieces import Piece as Data
from dss_portal.datastore.removing import Shown
from dss_portal.datastore.room import no_room, room_needed
from dss_portal.datastore.stored import Stamps, StoredFile
from dss_portal.refusals import Refused
from dss_portal.shielding import run_shielded

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 16
"""Most requests to the S3 server at a time.  Further ones wait, so that a slow server does not hold up other work."""
CHECKED_S = 600.0
"""Seconds for which it is remembered that a ticket has no files to remove, because asking the server takes two
requests.
"""
_BEGUN = "begun"


class BucketDatastore(Datastore):
    """The portal's access to the files of tickets in ``bucket``.  Methods raise OSError (ENODEV) while the S3 server
    is not available.
    """

    def __init__(
        self,
        bucket: Bucket,
        scratch: Scratch,
        max_file_bytes: int,
        *,
        checked_s: float = CHECKED_S,
    ) -> None:
        super().__init__(scratch.folder, max_file_bytes)
        (scratch.folder / layout.TICKETS).mkdir(exist_ok=True)
        self._bucket, self._scratch = bucket, scratch
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bucket")
        self._sent: set[Path] = set()
        self._checked_s = checked_s
        self._clean: dict[int, float] = {}

    async def _on_bucket(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(act, *args, **kwargs))

    def _key(self, path: Path) -> str:
        return path.relative_to(self._own(path)).as_posix()

    def _own(self, temporary: Path) -> Path:
        """The folder directly in the scratch folder that holds only this temporary file.  It is removed with the file,
        so that no empty folders of tickets remain.
        """
        return self._root / temporary.relative_to(self._root).parts[0]

    async def problem(self) -> str:
        return await self._on_bucket(self._bucket.problem) or self._scratch.problem()

    async def _receive(self, folder: Path, data: AsyncIterator[Data]) -> tuple[Path, int]:
        temporary = self._temporary(PurePosixPath(folder.relative_to(self._root)))
        tickets = self._own(temporary) / layout.TICKETS
        await self._on_disk(tickets.mkdir, parents=True)
        return await super()._receive(temporary.parent, data)

    def room_bytes(self) -> tuple[int, int]:
        """Always raises OSError, because a bucket has no size."""
        raise away()

    async def prepare(self) -> None:
        await self._on_bucket(self._bucket.make)

    async def file(self, ticket_id: int, area: Area, name: str) -> BucketFile:
        return BucketFile(self._bucket, str(layout.file_path(ticket_id, area, name)))

    async def examined(
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

    async def begin_part(
        self, ticket_id: int, part: str, size_bytes: int, folder: UploadFolder = "input"
    ) -> None:
        if not has_free(self._root, size_bytes):
            raise no_room()
        begun = _parts_below(ticket_id, part, folder) + _BEGUN
        await self._on_bucket(self._bucket.put_bytes, begun, b"")

    async def add_to_part(
        self,
        ticket_id: int,
        part: str,
        offset: int,
        block: bytes,
        folder: UploadFolder = "input",
    ) -> None:
        """Store ``block`` as an object of its own, whose key contains offset and size: only a block with the same
        offset and size replaces it.  Raises FileNotFoundError without ``begin_part``, and Refused if the server is
        full.
        """
        below = _parts_below(ticket_id, part, folder)
        if await self._on_bucket(self._bucket.find, below + _BEGUN) is None:
            raise FileNotFoundError(part)
        name = key_of(Piece(offset=offset, size_bytes=len(block)))
        with room_needed():
            await self._on_bucket(self._bucket.put_bytes, below + name, block)

    async def remove_part(self, ticket_id: int, part: str, folder: UploadFolder = "input") -> None:
        below = _parts_below(ticket_id, part, folder)
        await self._on_bucket(self._bucket.remove_below, below)

    async def part_sha256(self, ticket_id: int, part: str, folder: UploadFolder = "input") -> str:
        def digest() -> str:
            found = hashlib.sha256()
            for block in self._blocks(_parts_below(ticket_id, part, folder)):
                found.update(block)
            return found.hexdigest()

        return await self._on_bucket(digest)

    async def copy_of_part(
        self, ticket_id: int, part: str, size_bytes: int, folder: UploadFolder = "input"
    ) -> Path:
        twin = self._temporary(upload_dir(ticket_id, folder))
        below = _parts_below(ticket_id, part, folder)

        def gather() -> None:
            twin.parent.mkdir(parents=True, exist_ok=True)
            with twin.open("xb") as file:
                for block in self._blocks(below):
                    file.write(block)
                if file.tell() != size_bytes:
                    raise FileNotFoundError(f"{part} has {file.tell()} bytes, not {size_bytes}")

        try:
            await run_shielded(self._on_bucket(gather))
        except BaseException:
            self.discard(twin)
            raise
        return twin

    def _blocks(self, below: str) -> Iterator[bytes]:
        """Yield the content of a part (a file in which a resumable upload is collected) in order; the keys of its
        pieces begin with ``below``.  Raises FileNotFoundError if there is no such part, or a piece is missing.
        """
        pieces = {found.key.removeprefix(below): found for found in self._bucket.list(below)}
        if pieces.pop(_BEGUN, None) is None:
            raise FileNotFoundError(below)
        for name, skipped in in_order(pieces):
            with self._bucket.open_found(pieces[name]) as file:
                yield file.read()[skipped:]

    def _temporary(self, folder: PurePosixPath) -> Path:
        return self._root / uuid4().hex / folder / f".{uuid4().hex}.part"

    async def take_attached(self, ticket_id: int, claim_id: str, name: str) -> tuple[Path, int]:
        source = f"{layout.attached_dir(ticket_id, claim_id)}/{name}"
        target = self._temporary(layout.attachments_dir(ticket_id))
        found = await run_shielded(self._on_bucket(self._bucket.copy, source, self._key(target)))
        self._sent.add(target)
        return target, found.size_bytes

    async def take_read(self, ticket_id: int, folder: str, name: str) -> tuple[Path, int]:
        """As in Datastore.  Only a workspace is fetched, because facts about the sender must be removed from it; other
        files are copied within the server.
        """
        source, target = f"{folder}/{name}", self._temporary(layout.area_dir(ticket_id, "input"))

        if name.endswith(".itksnap"):
            return target, await run_shielded(self._on_bucket(self._fetch, source, target))
        found = await run_shielded(self._on_bucket(self._bucket.copy, source, self._key(target)))
        self._sent.add(target)
        return target, found.size_bytes

    async def remove_files(self, ticket_id: int, area: Area, places: Iterable[str]) -> None:
        for place in places:
            key = layout.file_path(ticket_id, area, place)
            await self._on_bucket(self._remove_quietly, str(key))

    async def remove_read(self, folder: str) -> None:
        await self._removed_below(f"{folder}/")

    async def send(self, temporary: Path) -> None:
        """Send the temporary file to the server under a temporary key.  Raises Refused if the server is full."""

        def put() -> None:
            with temporary.open("rb") as file:
                self._bucket.put(self._key(temporary), file)

        self._sent.add(temporary)
        with room_needed():
            await run_shielded(self._on_bucket(put))

    async def keep(
        self,
        temporary: Path,
        name: str,
        folder: PurePosixPath | None = None,
        *,
        is_flushed: bool = False,  # noqa: ARG002 - the server flushes
    ) -> None:
        """Let the server copy the sent file to the key ``folder/name``, or to ``name`` in the folder where it was
        received.  A file that was not sent yet is sent first.  Discards ``temporary``.
        """
        target = f"{folder}/{name}" if folder else self._key(temporary.with_name(name))
        if temporary not in self._sent:
            await self.send(temporary)
        await run_shielded(self._on_bucket(self._bucket.copy, self._key(temporary), target))
        self.discard(temporary)

    async def keep_new(
        self,
        temporary: Path,
        target: PurePosixPath,
        *,
        is_flushed: bool = False,  # noqa: ARG002 - the server flushes
    ) -> None:
        """As in Datastore, with a request that looks for the file before the one that copies: not all servers have a
        copy that replaces nothing.
        """
        if temporary not in self._sent:
            await self.send(temporary)
        await run_shielded(self._on_bucket(self._copy_new, self._key(temporary), str(target)))
        self.discard(temporary)

    def _copy_new(self, source: str, target: str) -> None:
        if any(found.key == target for found in islice(self._bucket.list(target), 1)):
            raise FileExistsError(target)
        self._bucket.copy(source, target)

    def discard(self, temporary: Path) -> None:
        """Remove the temporary file: at once in the scratch folder, and soon on the server."""
        shutil.rmtree(self._own(temporary), ignore_errors=True)
        if temporary in self._sent:
            self._sent.remove(temporary)
            self._threads.submit(self._remove_quietly, self._key(temporary))

    def _remove_quietly(self, key: str) -> None:
        with suppress(OSError):  # ``remove_scraps`` removes it later
            self._bucket.remove(key)

    async def take_input(self, ticket_id: int, place: str) -> Path:
        target = self._temporary(layout.area_dir(ticket_id, "input"))
        key = str(layout.file_path(ticket_id, "input", place))
        try:
            await run_shielded(self._on_bucket(self._fetch, key, target))
        except BaseException:
            self.discard(target)
            raise
        return target

    def _fetch(self, key: str, target: Path) -> int:
        """Copy a file from the server, and return its size in bytes."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._bucket.open(key) as file:
            return target.write_bytes(file.read())

    async def stamps(self, ticket_id: int, area: Area, names: Iterable[str]) -> Stamps:
        files = {name: await self.file(ticket_id, area, name) for name in names}

        def look() -> Stamps:
            return {name: _stamp(file.facts()) for name, file in files.items()}

        try:
            return await self._on_bucket(look)
        except FileNotFoundError as error:
            raise Refused("A file of the ticket has gone; send it again.") from error

    async def publish_results(
        self,
        ticket_id: int,
        claim_id: str,
        names_and_sizes: Iterable[tuple[str, int]],
        staged_dir: str = "",
    ) -> str:
        """As in Datastore.  The server copies the files."""
        own = layout.staging_dir(ticket_id, claim_id)
        staged = PurePosixPath(staged_dir) if staged_dir else own
        if not staged.is_relative_to(own) or ".." in staged.parts:
            raise FileNotFoundError("The results are not in the folder of their claim")
        return await self._gathered(
            ticket_id, {staged / flat(name): size for name, size in names_and_sizes}
        )

    async def _gathered(self, ticket_id: int, sizes: Mapping[PurePosixPath, int]) -> str:
        folder = uuid4().hex
        target = layout.attempt_dir(ticket_id, folder)
        await run_shielded(self._on_bucket(self._gather, target, sizes))
        return folder

    async def retire_inputs(
        self,
        ticket_id: int,
        place: str,  # noqa: ARG002 - programs of release 0.1.0 use no bucket
        old_places: Iterable[str],
    ) -> None:
        await self.remove_files(ticket_id, "input", old_places)

    async def show_earlier_portals(self, ticket_id: int, places: Iterable[str]) -> None:
        """Do nothing: portals of release 0.1.0 use no bucket."""

    def _gather(self, target: PurePosixPath, sizes: Mapping[PurePosixPath, int]) -> None:
        try:
            for path, size_bytes in sizes.items():
                copied = self._bucket.copy(str(path), str(target / path.name))
                if copied.size_bytes != size_bytes:
                    raise FileNotFoundError(f"{path.name} has not the {size_bytes} bytes announced")
        except BaseException:
            with suppress(OSError):  # ``remove_scraps`` removes them later
                self._bucket.remove_below(f"{target}/")
            raise

    async def remove_ticket(self, ticket_id: int) -> None:
        for folder in (layout.ticket_dir(ticket_id), layout.attachments_dir(ticket_id)):
            await self._removed_below(f"{folder}/")

    async def _removed_below(self, below: str) -> None:
        """Remove all files below the key ``below``.  As for a folder, files that cannot be removed now are left for
        the next cleaning.
        """
        try:
            await self._on_bucket(self._bucket.remove_below, below)
        except OSError as error:
            log.warning("files not removed", extra={"below": below, "reason": repr(error)})

    async def remove_abandoned(self) -> None:
        if count := await self._on_bucket(self._bucket.remove_abandoned):
            log.info("abandoned parts of files removed", extra={"files": count})

    async def remove_scraps(self, ticket_id: int, shown: Shown) -> None:
        try:
            listed = await self._on_bucket(lambda: list(self._keys(ticket_id)))
        except OSError:  # the next round tries again
            return
        visible = await shown()
        scraps = [key for key in listed if _is_scrap(ticket_id, key, visible)]
        with suppress(OSError):  # the next round tries again
            await self._on_bucket(self._bucket.remove_all, scraps)

    def has_scraps(self, ticket_id: int, shown: Container[PurePosixPath] | None = None) -> bool:
        return self._has_left(
            ticket_id,
            lambda: any(_is_scrap(ticket_id, key, shown) for key in self._keys(ticket_id)),
        )

    def has_ticket(self, ticket_id: int) -> bool:
        folders = (layout.ticket_dir(ticket_id), layout.attachments_dir(ticket_id))
        return self._has_left(ticket_id, lambda: any(self._bucket.has(f"{f}/") for f in folders))

    def _has_left(self, ticket_id: int, look: Callable[[], bool]) -> bool:
        """True if ``look`` returns True, that is, finds files of the ticket to remove.  After ``look`` has returned
        False for a ticket, this method returns False for ``checked_s`` seconds without calling it.
        """
        now_s = time.monotonic()
        if now_s - self._clean.get(ticket_id, -self._checked_s) < self._checked_s:
            return False
        if look():
            return True
        self._clean = {n: at for n, at in self._clean.items() if now_s - at < self._checked_s}
        self._clean[ticket_id] = now_s
        return False

    def _keys(self, ticket_id: int) -> Iterator[str]:
        """The keys of all files of the ticket."""
        for folder in (layout.ticket_dir(ticket_id), layout.attachments_dir(ticket_id)):
            for found in self._bucket.list(f"{folder}/"):
                yield found.key


def _is_scrap(ticket_id: int, key: str, shown: Container[PurePosixPath] | None) -> bool:
    """True if the file is to be removed when the ticket has ended; ``shown`` as for ``has_scraps``."""
    own = layout.ticket_dir(ticket_id)
    is_hidden = shown is not None and PurePosixPath(key) not in shown
    return is_hidden or key.startswith((f"{own}/work/", f"{own}/read/")) or _is_received(key)


def _parts_below(ticket_id: int, part: str, folder: UploadFolder) -> str:
    """The prefix of the keys of all pieces of ``part``, the file in which a resumable upload is collected."""
    return f"{upload_dir(ticket_id, folder)}/.{part}.part/"


def _is_received(key: str) -> bool:
    """True if ``key`` is that of an unfinished file, or of a piece of one: one of its folders or its name is
    ``.*.part``.
    """
    return any(part.startswith(".") and part.endswith(".part") for part in key.split("/"))


def _stamp(found: Stored) -> tuple[int, int, int]:
    version = int.from_bytes(hashlib.sha256(found.version.encode()).digest()[:8])
    return version, found.size_bytes, int(found.changed_at.timestamp() * 1e9)
