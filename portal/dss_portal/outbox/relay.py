"""Publishes the messages of the outbox, each at least once.

The outbox is a table: ``store.put`` stores a message there in the transaction of the change that the message reports.
The relay publishes the message, and deletes it once the broker has confirmed it; after a crash in between it is
published twice.  A message that fails is sent again later or set aside, and does not delay others.

More than 300 lines: the queries stand beside the one class that uses them.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from dss_broker.broker import Broker
from dss_broker.codec import decode
from dss_broker.errors import BrokerClosed, MalformedMessage, MessageRefused, Unroutable
from dss_broker.messages import Message, ReadUpload, TicketReady
from dss_broker.topology import routing_key
from dss_observability import tracing
from dss_portal import database
from dss_portal.database import clock, waiting
from dss_portal.formats import duration
from dss_portal.models import Intake
from dss_portal.outbox import store, unsent

log = logging.getLogger(__name__)

BATCH = 200
CONFIRM_TIMEOUT_S = 5.0
RETRIED_TIMEOUT_S = 0.5
"""Longest wait in seconds for a message that RabbitMQ did not confirm in an earlier attempt.  The messages of the same
batch wait, too, so it is short: its queue may be without a leader for long.
"""
IDLE_S = (
    5.0  # between two reads of the table, which find commits of other processes and of dead portals
)
MIN_INTERVAL_S = 0.01
"""Shortest time from one poll of the table to the next, in seconds: the messages of all commits in this time are
published together.
"""
RESET_INTERVAL_S = 1.0
"""Shortest time in seconds between two calls that reset the announcement counts of tickets whose
service has no queue.
"""
FAILED_S = 1.0  # pause after a failed read
RECONNECT_POLL_S = (
    0.5  # between two checks whether the broker is connected again; they need no query
)
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 60.0  # between two attempts, doubled each time
MAX_TRIES = 15
"""Most attempts, which together take about ten minutes.  A message that fails in all of them is set aside: its type may
be of a newer program, or a right may be missing.
"""
STUCK_S = 30.0
"""The outbox is reported as stuck if the broker is connected and a message has not been tried for this time, in
seconds.
"""
RELAY_LOCK = 0x64737301
_TURN = f"SELECT {database.IDLE_LIMIT}, pg_advisory_xact_lock($1)"

_DUE = """
SELECT id, message_id, type_name, body, traceparent, created_at, ticket_id, tries FROM outbox
WHERE set_aside_at IS NULL AND (not_before IS NULL OR not_before <= now())
ORDER BY id LIMIT $1
"""

# After a successful announcement, the ticket needs no dead letter of an earlier one.
_SENT = """
DELETE FROM outbox WHERE id = ANY($1::bigint[])
OR (set_aside_at IS NOT NULL AND type_name = 'TicketReady' AND ticket_id = ANY($2::int[]))
"""

_PUT_OFF = """
UPDATE outbox SET tries = tries + 1, reason = failed.reason,
    not_before = now() + least($3::float * 2 ^ least(tries, 16), $4::float) * interval '1 s'
FROM unnest($1::bigint[], $2::text[]) AS failed (id, reason) WHERE outbox.id = failed.id
"""

_UNHEARD = "UPDATE ticket SET announcements = 0 WHERE id = ANY($1::int[]) AND announcements > 0"

_UNTRIED_S = """
SELECT extract(epoch FROM now() - min(created_at))::float AS age_s FROM outbox
WHERE set_aside_at IS NULL AND tries = 0
"""


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """A message in the outbox, as a row of its table."""

    id: int
    message_id: str
    type_name: str
    body: bytes
    traceparent: str | None
    created_at: datetime
    ticket_id: int | None
    tries: int


@dataclass(frozen=True, kw_only=True)
class _Failed:
    """A failed attempt to publish.  With ``for_ever``, each later attempt would fail in the same way."""

    reason: str
    for_ever: bool


class Relay:
    """Publishes the messages of the outbox in order; failed messages do not delay others.  A lock in the database lets
    only one portal at a time publish.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._wake = asyncio.Event()
        self._unheard: set[int] = set()
        self._noted_s = 0.0
        self._unread: list[int] = []
        self._unheard_keys: set[str] = set()
        self._under_way: dict[int, Future[None]] = {}
        self._connected_s: float | None = None

    async def run(self) -> None:
        """Publish due messages after each commit of this process, and at regular intervals, until cancelled."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._wake.set)

        with store.woken_by_commits(wake):
            while True:
                began_s = time.monotonic()
                await self._publish_due()
                await _wait(self._wake, self._rest_s())
                await asyncio.sleep(max(0.0, began_s + MIN_INTERVAL_S - time.monotonic()))

    async def _publish_due(self) -> None:
        """Publish batches until there are no more, or the connection to the broker is lost.  After an error, which is
        logged, the rest waits for the next call.
        """
        self._wake.clear()
        self._note_connection()
        try:
            while await self._flush():
                pass
        except Exception as error:
            if await waiting.for_schema(error):
                self._wake.set()
                return
            facts, trace = {"reason": repr(error)}, database.exc_info_of(error)
            log.warning("outbox not flushed, trying again", extra=facts, exc_info=trace)
            await asyncio.sleep(FAILED_S)

    def _rest_s(self) -> float:
        """Seconds until the next poll of the table, if nothing wakes the relay before."""
        if not self._broker.connected:
            return RECONNECT_POLL_S
        return RESET_INTERVAL_S if self._unheard else IDLE_S

    async def problem(self) -> str:
        """A sentence for operators if the broker is connected but messages have not been published for STUCK_S;
        otherwise "".
        """
        connected_s = self._note_connection()
        if connected_s < STUCK_S:
            return ""
        (row,) = await get_connection("default").execute_query_dict(_UNTRIED_S)
        age_s = row["age_s"] or 0.0
        if age_s < STUCK_S:
            return ""
        return f"The outbox stands still: its oldest message has waited for {duration(age_s)}."

    def _note_connection(self) -> float:
        """Seconds for which the broker is known to have been connected; 0 while it is not."""
        now_s = time.monotonic()
        if not self._broker.connected:
            self._connected_s = None
        elif self._connected_s is None:
            self._connected_s = now_s
        return now_s - self._connected_s if self._connected_s is not None else 0.0

    async def _flush(self) -> bool:
        """Publish one batch of due messages and store the outcomes; True if more messages may be due."""
        if not self._broker.connected:
            return False
        async with in_transaction() as connection:
            await connection.execute_query(_TURN, [RELAY_LOCK])
            due = await _due(connection)
            ends = await asyncio.gather(*(self._send(stored) for stored in due))
            await self._store_outcomes(connection, due, ends)
        await self._reset_unheard()
        await self._set_aside(due, ends)
        return len(due) == BATCH and self._broker.connected

    async def _store_outcomes(
        self,
        connection: BaseDBAsyncClient,
        due: Sequence[_Stored],
        ends: Sequence[_Failed | None],
    ) -> None:
        """Delete the published messages.  Postpone the failed ones; if the connection to the broker was lost meanwhile,
        they stay due.  ``ends`` are the outcomes of ``due``, None for success.
        """
        sent = [stored for stored, end in zip(due, ends, strict=True) if end is None]
        if sent:
            announced = [s.ticket_id for s in sent if s.type_name == TicketReady.__name__]
            tickets = [ticket_id for ticket_id in announced if ticket_id is not None]
            await connection.execute_query(_SENT, [[stored.id for stored in sent], tickets])
        failed = [(stored.id, end.reason) for stored, end in zip(due, ends, strict=True) if end]
        if failed and self._broker.connected:
            ids = [i for i, _ in failed]
            reasons = [unsent.storable_reason(reason) for _, reason in failed]
            values = [ids, reasons, FIRST_DELAY_S, LONGEST_DELAY_S]
            await connection.execute_query(_PUT_OFF, values)

    async def _set_aside(self, due: Sequence[_Stored], ends: Sequence[_Failed | None]) -> None:
        """Set aside the messages that failed for good or too often, each in its own transaction.  If that fails for a
        message, the error is logged, and the message is due again later; an outage of the database is raised.
        """
        for stored, end in zip(due, ends, strict=True):
            if end and (end.for_ever or stored.tries + 1 >= MAX_TRIES):
                try:
                    await unsent.set_aside(stored.id, end.reason)
                except Exception as error:
                    if database.is_away(error):
                        raise
                    log.exception("message not set aside", extra={"id": stored.message_id})

    async def _reset_unheard(self) -> None:
        """Reset the announcement counts of tickets whose service has no queue, because none of its dispatchers has ever
        started.  The reaper then announces these tickets once a dispatcher serves the service.  Done at most once in
        RESET_INTERVAL_S.

        Also make requests to read uploads that found no queue due again as soon as a program reads uploads.
        """
        if self._unheard and time.monotonic() > self._noted_s + RESET_INTERVAL_S:
            unheard, self._unheard = list(self._unheard), set()
            self._noted_s = time.monotonic()
            await get_connection("default").execute_query(_UNHEARD, [unheard])
        unread, self._unread = self._unread, []
        if unread:
            await Intake.filter(ticket_id__in=unread).update(asked_at=clock.EPOCH)

    async def _send(self, stored: _Stored) -> _Failed | None:
        """Publish one message.  Returns None if it is published or no queue is bound for it, otherwise the failure."""
        try:
            message = decode(stored.type_name, stored.body)
        except MalformedMessage as error:  # a newer portal may have written it
            return _Failed(reason=f"Malformed: {error}", for_ever=False)
        try:
            with _sending_span(stored):
                confirmed = asyncio.wrap_future(self._published(stored, message))
                async with asyncio.timeout(
                    RETRIED_TIMEOUT_S if stored.tries else CONFIRM_TIMEOUT_S
                ):
                    await confirmed
            self._note_route(message, has_queue=True)
        except Unroutable:
            self._note_route(message, has_queue=False)
            if isinstance(message, TicketReady):
                self._unheard.add(message.ticket_id)
            elif isinstance(message, ReadUpload):
                self._unread.append(message.ticket_id)
        except (TimeoutError, BrokerClosed):
            return _Failed(reason="RabbitMQ does not take it.", for_ever=False)
        except MessageRefused as error:
            return _Failed(reason=f"RabbitMQ refuses it: {error}", for_ever=not error.may_change)
        except Exception as error:
            log.exception("message cannot be sent", extra={"id": stored.message_id})
            return _Failed(reason=f"{type(error).__name__}: {error}", for_ever=True)
        return None

    def _note_route(self, message: Message, *, has_queue: bool) -> None:
        """Log when messages with the routing key of ``message`` find no queue any more, and when they find one again."""
        key = routing_key(message)
        if has_queue == (key not in self._unheard_keys):
            return
        if has_queue:
            self._unheard_keys.discard(key)
            log.info("a queue takes the messages again", extra={"routing_key": key})
        else:
            self._unheard_keys.add(key)
            log.warning("no queue takes the messages", extra={"routing_key": key})

    def _published(self, stored: _Stored, message: Message) -> "Future[None]":
        """The future that the broker's confirmation of the message completes: that of an earlier attempt if it is still
        pending, otherwise that of a new attempt.
        """
        known = self._under_way.get(stored.id)
        if known is None or known.done():
            known = self._broker.publish(message, message_id=stored.message_id)
            self._under_way[stored.id] = known
            known.add_done_callback(lambda _: self._under_way.pop(stored.id, None))
        return known


async def _due(connection: BaseDBAsyncClient) -> list[_Stored]:
    return [_Stored(**row) for row in await connection.execute_query_dict(_DUE, [BATCH])]


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


@contextmanager
def _sending_span(stored: _Stored) -> Iterator[None]:
    """A context for sending a message, recorded as a tracing span.  The span begins with the commit that stored the
    message, and ends with the context.
    """
    waiting = tracing.begin(
        "outbox",
        parent=stored.traceparent,
        attributes={"dss.message": stored.type_name},
        began_ns=int(stored.created_at.timestamp() * 1e9),
    )
    with tracing.in_span_of(waiting.traceparent):
        try:
            yield
        finally:
            waiting.end()
