"""Reserves disk quota for an upload, in the database, so that parallel uploads add up.

If the size of a file is announced, its space is reserved at the beginning, or the file is refused.  Otherwise the
reservation grows with the file.  If no space is left, the older of two uploads waits for the end of the younger one,
so that they do not both fail.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Container
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from dss_datastore.layout import Area
from dss_portal.datastore.pieces import Mark, Piece
from dss_portal.incoming import Incoming
from dss_portal.models import Status, Ticket, Upload
from dss_portal.settings import Settings
from dss_portal.tickets import quota, store
from dss_portal.tickets.quota_use import QuotaUse, no_room

SMALLEST_STEP_BYTES, LARGEST_STEP_BYTES = 64 * 1024, 8 * 2**20
GROWTH = 16
"""A file of unknown size reserves in advance 1/GROWTH of the size that it has so far."""
SIGN_OF_LIFE_S = 10.0
LATE_S = 30.0
"""An upload without a heartbeat for ``upload_silence_s`` plus this time, in seconds, counts as dead: its portal has
ended.
"""
POLL_S = 0.2

# $1: the user.  $2, $3, $4: ticket, area and name of the file, which may replace another.
# $5: this upload.  $6: an upload without a heartbeat since then does not count.
# $7: this resumable upload; its size is reserved from its beginning to its end.
_HELD = "SELECT * FROM room_of_user($1, $2, $3, $4, $5, $6, $7)"

_RESERVE = "SELECT upload_id, room_bytes FROM reserve_upload($1, $2, $3, $4, $5, $6, $7, $8)"

_KEEP = "SELECT keep_input($1, $2, $3, $4, $5, $6, $7) AS folder"


class Reservation:
    """The space that one upload reserves in the quota of the ticket's owner.  It is a context manager: entering
    reserves, and raises Refused if the file cannot fit or if the owner has too many files or tickets; leaving releases
    what ``convert`` or ``register`` have not turned into a stored file.
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
        except BaseException:  # for example, the client disconnects just after the reservation
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
        if await self._taken_at_once():
            return
        async with in_transaction():
            ticket = await store.locked(self.ticket.id)
            await check_may_count(ticket, self._settings.quiet_upload_s)
            quota_use = await self._held()
            least_bytes, most_bytes = self._sizes()
            quota_use.require(least_bytes)
            self._reserved_bytes = min(most_bytes, quota_use.room_bytes)
            made = await Upload.create(
                user_id=self.ticket.user_id,
                reserved_bytes=self._reserved_bytes,
                heard_at=store.now(),
            )
            self._id = int(made.id)
            await self._touch()

    async def _taken_at_once(self) -> bool:
        """Reserve with one SQL statement.  False, with nothing reserved, if the ticket does not exist, if the file does
        not fit, if the user has too many files, or if the ticket does not count towards the quota of open tickets now
        and must first be checked.
        """
        now = store.now()
        rows = await get_connection("default").execute_query_dict(
            _RESERVE,
            [
                *(self.ticket.id, self.area, self.sent.name, *self._sizes(), now),
                *(alive_since(self._settings), quota.quiet_since(self._settings.quiet_upload_s)),
            ],
        )
        for row in rows:
            self._id, self._reserved_bytes = row["upload_id"], row["room_bytes"]
            self._told_s = time.monotonic()
        return bool(rows)

    async def _give_back(self) -> None:
        await Upload.filter(id=self._id).delete()

    async def watched(self) -> AsyncIterator[Piece]:
        """Yield the pieces of the file as they are received, and extend the reservation as the file grows; wait while
        only a younger upload takes the space, at most ``upload_silence_s``.  Raises Refused as soon as the file cannot
        fit.  A Mark begins another file; its size counts from 0.
        """
        size_bytes = 0
        async for piece in self.sent.data:
            size_bytes = 0 if isinstance(piece, Mark) else size_bytes + len(piece)
            await self._make_sure_of(size_bytes)
            yield piece

    async def convert(self, size_bytes: int) -> None:
        """Release the reservation, because from now on the registered file itself counts.  Call it in the transaction
        that registers the file.  Raises Refused if the file does not fit or if the user has too many files.
        """
        quota_use = await self._held()
        quota_use.require(size_bytes)
        await Upload.filter(id=self._id).delete()
        await self._touch()
        self._converted = True

    async def register(self, size_bytes: int, states: Container[Status]) -> str | None:
        """Release the reservation and register the input file in one statement, if the ticket is in one of the states
        ``states``, its user is not disabled, and the file fits into the quota.  Returns the folder that its row names.

        Returns None, with nothing changed, if not.
        """
        folder = await registered(
            *(self.ticket.id, self.sent.name, size_bytes),
            states=states,
            settings=self._settings,
            upload=self._id,
        )
        self._converted = folder is not None
        return folder

    def _sizes(self) -> tuple[int, int]:
        """The number of bytes that must be free at the beginning, and the number to reserve if possible.

        If the size of the form is announced, they are the smallest and the largest size that the file in it can have;
        otherwise 1 and SMALLEST_STEP_BYTES.
        """
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
                await asyncio.sleep(POLL_S)

    async def _extended(self, size_bytes: int, *, may_wait: bool) -> bool:
        """Extend the reservation to ``size_bytes`` and some more.  Returns True, with nothing changed, if it must first
        wait for the end of a younger upload, which is possible only with ``may_wait``.  Raises Refused if the file
        cannot fit.
        """
        step_bytes = min(max(size_bytes // GROWTH, SMALLEST_STEP_BYTES), LARGEST_STEP_BYTES)
        async with in_transaction():
            quota_use = await self._held()
            room_bytes = quota_use.room_bytes
            if room_bytes < size_bytes:
                if may_wait and quota_use.younger and quota_use.fits_alone(size_bytes):
                    return True
                raise no_room(quota_use)
            self._reserved_bytes = min(size_bytes + step_bytes, room_bytes)
            await Upload.filter(id=self._id).update(
                reserved_bytes=self._reserved_bytes, heard_at=store.now()
            )
        return False

    async def _held(self) -> QuotaUse:
        return await held_without(
            self.ticket, self.area, self.sent.name, self._settings, upload=self._id
        )

    async def _touch(self) -> None:
        self._told_s = time.monotonic()
        await Ticket.filter(id=self.ticket.id).update(uploaded_at=store.now())


def alive_since(settings: Settings) -> datetime:
    """The time since which an upload must have had a heartbeat to count; an upload without one is dead, because its
    portal has ended.
    """
    return store.now() - timedelta(seconds=settings.upload_silence_s + LATE_S)


async def check_may_count(ticket: Ticket | None, quiet_s: float) -> None:
    """Check that a quiet ticket may count towards the quota again, which it does as soon as a part of a file is
    received.  Raises Refused if its user has too many open tickets.

    ``ticket`` is locked by the caller.  Nothing is checked if it is None or not quiet.
    """
    if ticket is not None and quota.is_quiet(ticket, quiet_s):
        await quota.check_tickets(ticket.user_id, quiet_s, but=ticket.id)


async def held_without(
    ticket: Ticket, area: Area, name: str, settings: Settings, *, upload: int = 0, resumed: str = ""
) -> QuotaUse:
    """The quota of the ticket's user and its use, as if there were no file ``name`` in ``area`` (the new file replaces
    it), no reservation ``upload`` and no resumable upload ``resumed``.

    Call it in a transaction; it locks the user until the transaction ends.
    """
    await quota.lock(ticket.user_id)
    values = [ticket.user_id, ticket.id, area, name, upload, alive_since(settings), resumed]
    rows: list[dict[str, Any]] = await get_connection("default").execute_query_dict(_HELD, values)
    return QuotaUse(**rows[0])


async def registered(
    ticket_id: int,
    name: str,
    size_bytes: int,
    *,
    states: Container[Status],
    settings: Settings,
    upload: int = 0,
) -> str | None:
    """Register an input file that has arrived, and delete the reservation ``upload``, if the ticket is in one of the
    ``states``, its user is not disabled, and the file fits into the user's quota.  Returns the folder that its
    row names; None, with nothing changed, if not.
    """
    values = [
        *(ticket_id, [status.value for status in Status if status in states], name),
        *(size_bytes, upload, store.now(), alive_since(settings)),
    ]
    rows = await get_connection("default").execute_query_dict(_KEEP, values)
    folder = rows[0]["folder"]
    return None if folder is None else str(folder)


async def delete_dead() -> None:
    """Delete the reservations of uploads without a heartbeat for a day, because their portals have ended."""
    await Upload.filter(heard_at__lt=store.now() - timedelta(days=1)).delete()
