"""Removes the files of deleted tickets from the bucket, and files of ended tickets that clients cannot see."""

import logging
import time
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from pathlib import PurePosixPath

from dss_datastore import layout
from dss_datastore.s3.bucket import Bucket
from dss_datastore.s3.scratch import Scratch
from dss_portal.bucket_datastore.access import BucketAccess
from dss_portal.datastore.removing import Shown

log = logging.getLogger(__name__)

CHECKED_S = 600.0
"""Seconds for which it is remembered that a ticket has no files to remove, because asking the server takes two
requests.
"""


class BucketRemoving(BucketAccess):
    """Removes all files of a ticket, or those that clients cannot see."""

    def __init__(
        self,
        bucket: Bucket,
        scratch: Scratch,
        max_file_bytes: int,
        *,
        checked_s: float = CHECKED_S,
    ) -> None:
        super().__init__(bucket, scratch, max_file_bytes)
        self._checked_s = checked_s
        self._clean: dict[int, float] = {}

    async def remove_ticket(self, ticket_id: int) -> None:
        for folder in (layout.ticket_dir(ticket_id), layout.attachments_dir(ticket_id)):
            await self._removed_below(f"{folder}/")

    async def remove_read(self, folder: str) -> None:
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

    async def remove_leftovers(self, ticket_id: int, shown: Shown) -> None:
        try:
            listed = await self._on_bucket(lambda: list(self._keys(ticket_id)))
        except OSError:  # the next round tries again
            return
        visible = await shown()
        leftovers = [key for key in listed if _is_leftover(ticket_id, key, visible)]
        with suppress(OSError):  # the next round tries again
            await self._on_bucket(self._bucket.remove_all, leftovers)

    def has_leftovers(self, ticket_id: int, shown: Container[PurePosixPath] | None = None) -> bool:
        return self._has_left(
            ticket_id,
            lambda: any(_is_leftover(ticket_id, key, shown) for key in self._keys(ticket_id)),
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


def _is_leftover(ticket_id: int, key: str, shown: Container[PurePosixPath] | None) -> bool:
    """True if the file is to be removed when the ticket has ended; ``shown`` as for ``has_leftovers``."""
    own = layout.ticket_dir(ticket_id)
    is_hidden = shown is not None and PurePosixPath(key) not in shown
    return is_hidden or key.startswith((f"{own}/work/", f"{own}/read/")) or _is_received(key)


def _is_received(key: str) -> bool:
    """True if ``key`` is that of an unfinished file, or of a piece of one: one of its folders or its name is
    ``.*.part``.
    """
    return any(part.startswith(".") and part.endswith(".part") for part in key.split("/"))
