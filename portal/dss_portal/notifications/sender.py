"""Sends due notifications, several at once.  Several portals may do this at the same time."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

from dss_observability import metrics
from dss_portal import database
from dss_portal.database import waiting
from dss_portal.notifications import outbox
from dss_portal.notifications.channels import ChannelKind
from dss_portal.notifications.outbox import LeasedNotification
from dss_portal.notifications.receivers import NotAccepted, Receivers
from dss_portal.settings import Settings

log = logging.getLogger(__name__)

IDLE_S = 2.0
"""Longest time between two polls of the table, in seconds.  A poll finds notifications that other processes stored, or
that a dead portal has leased.
"""
SEND_S = 15.0
"""Time limit for one notification."""
NOTE_AGAIN_S = 1.0
MOST_AT_ONCE, MOST_MAILS = 64, 8
SENT, FAILED, SET_ASIDE = "sent", "failed", "set_aside"


class Sender:
    """Sends the notifications of one portal process.  ``run`` is a background task; ``finish`` ends its work and waits
    for open requests.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._news = asyncio.Event()
        self._mails = asyncio.Semaphore(MOST_MAILS)
        self._sending: set[asyncio.Task[None]] = set()
        self._finished = False
        for kind in ChannelKind:
            for outcome in (SENT, FAILED, SET_ASIDE):
                metrics.NOTIFICATIONS.labels(kind.value, outcome)

    async def run(self) -> None:
        """Send due notifications until cancelled."""
        receivers = Receivers(self._settings)
        outbox.senders.add(self._news)
        try:
            while True:
                self._news.clear()
                if not await self._begin_due(receivers):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(IDLE_S):
                            await self._news.wait()
        finally:
            outbox.senders.discard(self._news)
            for task in self._sending:
                task.cancel()
            await receivers.close()

    async def finish(self, within_s: float) -> None:
        """Begin no more notifications, and wait at most ``within_s`` for those being sent.  A notification whose
        response is not read would be sent again.
        """
        self._finished = True
        if self._sending:
            await asyncio.wait(set(self._sending), timeout=within_s)

    async def _begin_due(self, receivers: Receivers) -> bool:
        """Lease due notifications and begin to send them.  False if none is due, too many are being sent, ``finish``
        was called, or the database is unavailable.
        """
        room = MOST_AT_ONCE - len(self._sending)
        if self._finished or room <= 0:
            return False
        lease_id, until_s = uuid.uuid4().hex, time.monotonic() + outbox.LEASE_S - SEND_S
        try:
            found = await outbox.take(room, lease_id)
        except Exception as error:
            if not await waiting.for_schema(error):
                facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
                log.warning("notifications not taken, trying again", extra=facts, exc_info=trace)
            return False
        for taken in found:
            task = asyncio.create_task(self._send(receivers, taken, lease_id, until_s))
            self._sending.add(task)
            task.add_done_callback(self._ended)
        return bool(found)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._sending.discard(task)
        self._news.set()

    async def _send(
        self, receivers: Receivers, taken: LeasedNotification, lease_id: str, until_s: float
    ) -> None:
        """Send a notification, but do not begin later than ``until_s`` (by ``time.monotonic``), because another portal
        may lease it then.
        """
        if taken.kind == ChannelKind.MAIL:
            async with self._mails:
                await self._try(receivers, taken, lease_id, until_s)
        else:
            await self._try(receivers, taken, lease_id, until_s)

    async def _try(
        self, receivers: Receivers, taken: LeasedNotification, lease_id: str, until_s: float
    ) -> None:
        began_s = time.monotonic()
        if began_s > until_s:
            return
        try:
            if taken.tries > outbox.MAX_TRIES:
                raise NotAccepted("Its last try was not finished.", for_ever=True)
            async with asyncio.timeout(SEND_S):
                await receivers.send(taken)
        except NotAccepted as error:
            await self._failed(taken, lease_id, error, began_s)
        except TimeoutError:
            late = NotAccepted(f"The receiver did not answer within {SEND_S:.0f} s.")
            await self._failed(taken, lease_id, late, began_s)
        except Exception:
            log.exception("notification not sent", extra={"ticket": taken.ticket_id})
            broken = NotAccepted("It cannot be sent.", for_ever=True)
            await self._failed(taken, lease_id, broken, began_s)
        else:
            metrics.NOTIFICATIONS.labels(taken.kind, SENT).inc()
            await self._store_outcome(lambda: outbox.sent(taken, lease_id))

    async def _failed(
        self, taken: LeasedNotification, lease_id: str, error: NotAccepted, began_s: float
    ) -> None:
        """Log and store that the attempt which began at ``began_s`` (by ``time.monotonic``) failed."""
        metrics.NOTIFICATIONS.labels(taken.kind, FAILED).inc()
        facts = {"ticket": taken.ticket_id, "kind": taken.kind, "tries": taken.tries}
        seconds = round(time.monotonic() - began_s, 1)
        log.info("notification not taken", extra={**facts, "seconds": seconds})
        if error.for_ever or taken.tries >= outbox.MAX_TRIES:
            metrics.NOTIFICATIONS.labels(taken.kind, SET_ASIDE).inc()
            await self._store_outcome(lambda: outbox.set_aside(taken, lease_id, error.reason))
        else:
            await self._store_outcome(lambda: outbox.postpone(taken, lease_id, error.reason))

    async def _store_outcome(self, write: Callable[[], Awaitable[None]]) -> None:
        """Store the outcome of a notification with ``write``, and retry for LEASE_S while the database is unavailable:
        an outcome that is not stored leads to a second sending.  Other errors are only logged.
        """
        until_s = time.monotonic() + outbox.LEASE_S
        while True:
            try:
                await write()
                break
            except Exception as error:
                if not database.is_away(error) or time.monotonic() > until_s:
                    log.exception("notification's end not noted")
                    break
            await asyncio.sleep(NOTE_AGAIN_S)
