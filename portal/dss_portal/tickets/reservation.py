"""Disk quota reserved for an upload, in the database, so that parallel uploads add up.

A file whose size is announced gets its whole room at the start, or is refused then.  A file without
a size asks for room as it grows.  If there is none left, the older of two uploads waits for the
younger one, so that they do not both fail.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from dss_datastore.layout import Area
from dss_portal.datastore import Mark, Piece
from dss_portal.incoming import Incoming
from dss_portal.models import Ticket, Upload
from dss_portal.refusals import Refused
from dss_portal.settings import Settings
from dss_portal.tickets import quota, store

SMALLEST_STEP_BYTES, LARGEST_STEP_BYTES = 64 * 1024, 8 * 2**20
GROWTH = 16
"""A file without a size is given a sixteenth more than it has."""
SIGN_OF_LIFE_S = 10.0
LATE_S = 30.0
"""An upload without a sign of life for this time after the longest pause has died with its portal."""
LOOK_S = 0.2

# $1: the user.  $2, $3, $4: ticket, area and name of the file, which may replace another.
# $5: this upload.  $6: uploads that were heard of since then are under way.
_HELD = """
WITH own AS (SELECT id FROM ticket WHERE user_id = $1),
    file AS (
        SELECT count(*) AS files, coalesce(sum(size_bytes), 0) AS bytes
        FROM ticket_file WHERE ticket_id IN (SELECT id FROM own)),
    attached AS (
        SELECT coalesce(sum(size_bytes), 0) AS bytes
        FROM attachment WHERE ticket_id IN (SELECT id FROM own)),
    replaced AS (
        SELECT count(*) AS files, coalesce(sum(size_bytes), 0) AS bytes
        FROM ticket_file WHERE ticket_id = $2 AND area = $3 AND name = $4),
    coming AS (
        SELECT count(*) AS files, coalesce(sum(reserved_bytes), 0) AS bytes,
            count(*) FILTER (WHERE id > $5) AS younger
        FROM upload WHERE user_id = $1 AND id <> $5 AND heard_at > $6)
SELECT tier.max_stored_bytes, tier.max_files, coming.younger,
    (file.bytes + attached.bytes - replaced.bytes)::bigint AS stored_bytes,
    coming.bytes::bigint AS coming_bytes,
    file.files - replaced.files + coming.files AS files
FROM file, attached, replaced, coming,
    user_account JOIN tier ON tier.name = user_account.tier_id WHERE user_account.id = $1
"""


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a user has, without one upload: ``coming_bytes`` and ``younger`` are other uploads."""

    max_stored_bytes: int
    max_files: int
    stored_bytes: int
    coming_bytes: int
    files: int
    younger: int

    @property
    def room_bytes(self) -> int:
        return max(0, self.max_stored_bytes - self.stored_bytes - self.coming_bytes)

    def ever_has(self, size_bytes: int) -> bool:
        """Would there be room if no other upload were under way?"""
        return self.stored_bytes + size_bytes <= self.max_stored_bytes


class Reservation:
    """The reservation of one upload, which counts for the ticket's owner.

    Entering it raises Refused if the file cannot fit, or if its ticket would be one too many.
    """

    def __init__(self, ticket: Ticket, area: Area, sent: Incoming, settings: Settings) -> None:
        self.ticket = ticket
        self.area: Area = area
        self.sent = sent
        self._settings = settings
        self._id = 0
        self._reserved_bytes = 0
        self._told_s = 0.0
        self._converted = False

    async def __aenter__(self) -> Self:
        try:
            await self._take()
        except BaseException:  # a client may go just when the room has been kept
            await self._give_back()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None or not self._converted:
            await self._give_back()

    async def _take(self) -> None:
        async with in_transaction():
            ticket = await store.locked(self.ticket.id)
            if ticket is not None and quota.is_quiet(ticket, self._settings.quiet_upload_s):
                quiet_s = self._settings.quiet_upload_s
                await quota.check_tickets(ticket.user_id, quiet_s, but=ticket.id)
            held = await self._held()
            if held.files >= held.max_files:
                raise _too_many_files(held)
            least_bytes, most_bytes = self._sizes()
            if held.room_bytes < least_bytes:
                raise _no_room(held)
            self._reserved_bytes = min(most_bytes, held.room_bytes)
            made = await Upload.create(
                user_id=self.ticket.user_id,
                reserved_bytes=self._reserved_bytes,
                heard_at=store.now(),
            )
            self._id = int(made.id)
            await self._touch()

    async def _give_back(self) -> None:
        await Upload.filter(id=self._id).delete()

    async def watched(self) -> AsyncIterator[Piece]:
        """The pieces that are sent.  Raises Refused as soon as they do not fit any more."""
        size_bytes = 0
        async for piece in self.sent.data:
            size_bytes = 0 if isinstance(piece, Mark) else size_bytes + len(piece)
            await self._make_sure_of(size_bytes)
            yield piece

    async def convert(self, size_bytes: int) -> None:
        """Give the reservation up for a file of that size, within the transaction that registers it.  Raises Refused."""
        held = await self._held()
        if held.files >= held.max_files:
            raise _too_many_files(held)
        if held.room_bytes < size_bytes:
            raise _no_room(held)
        await Upload.filter(id=self._id).delete()
        await self._touch()
        self._converted = True

    def _sizes(self) -> tuple[int, int]:
        """The least and the greatest possible size of the file, from the announced size of the form around it."""
        announced = self.sent.expected_bytes
        if not announced:
            return 1, SMALLEST_STEP_BYTES
        return max(0, announced - self._settings.max_form_bytes), announced

    async def _make_sure_of(self, size_bytes: int) -> None:
        if time.monotonic() > self._told_s + SIGN_OF_LIFE_S:
            await Upload.filter(id=self._id).update(heard_at=store.now())
            await self._touch()
        deadline_s = time.monotonic() + self._settings.upload_silence_s
        while size_bytes > self._reserved_bytes:
            waits = await self._extended(size_bytes, may_wait=time.monotonic() < deadline_s)
            if waits:
                await asyncio.sleep(LOOK_S)

    async def _extended(self, size_bytes: int, *, may_wait: bool) -> bool:
        """Take more room; True if a younger upload has to end first.  Raises Refused."""
        step_bytes = min(max(size_bytes // GROWTH, SMALLEST_STEP_BYTES), LARGEST_STEP_BYTES)
        async with in_transaction():
            held = await self._held()
            room_bytes = held.room_bytes
            if room_bytes < size_bytes:
                if may_wait and held.younger and held.ever_has(size_bytes):
                    return True
                raise _no_room(held)
            self._reserved_bytes = min(size_bytes + step_bytes, room_bytes)
            await Upload.filter(id=self._id).update(
                reserved_bytes=self._reserved_bytes, heard_at=store.now()
            )
        return False

    async def _held(self) -> Held:
        """Within a transaction; the user is locked until it ends."""
        user_id = self.ticket.user_id
        await quota.lock(user_id)
        since = store.now() - timedelta(seconds=self._settings.upload_silence_s + LATE_S)
        file = [self.ticket.id, self.area, self.sent.name]
        rows: list[dict[str, Any]] = await get_connection("default").execute_query_dict(
            _HELD, [user_id, *file, self._id, since]
        )
        return Held(**rows[0])

    async def _touch(self) -> None:
        self._told_s = time.monotonic()
        await Ticket.filter(id=self.ticket.id).update(uploaded_at=store.now())


async def delete_dead() -> None:
    """Delete uploads without a sign of life for a day: they have ended with their portals."""
    await Upload.filter(heard_at__lt=store.now() - timedelta(days=1)).delete()


def _no_room(held: Held) -> Refused:
    coming = f", and {_size(held.coming_bytes)} are coming" if held.coming_bytes else ""
    return Refused(
        f"Your tickets may hold {_size(held.max_stored_bytes)}; they hold "
        f"{_size(held.stored_bytes)}{coming}. Delete some to make room for this file.",
        413,
    )


def _too_many_files(held: Held) -> Refused:
    return Refused(
        f"Your tickets may hold {held.max_files} files; delete some to make room for this one.", 413
    )


def _size(size_bytes: int) -> str:
    for unit_bytes, unit in ((2**30, "GB"), (2**20, "MB"), (2**10, "kB")):
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.3g} {unit}"
    return f"{size_bytes} bytes"
