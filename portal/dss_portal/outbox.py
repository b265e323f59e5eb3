"""Messages that leave exactly when their change is committed.

``put`` stores a message in the same transaction as the change it tells of; the relay publishes it
and removes it once the broker has it.  A crash in between publishes twice, never not at all.
"""

import asyncio
import logging
import uuid
from contextlib import suppress

from tortoise.transactions import in_transaction

from dss_broker.broker import Broker
from dss_broker.codec import decode, encode
from dss_broker.errors import Unroutable
from dss_broker.messages import Message, TicketReady
from dss_observability.tracing import current_traceparent
from dss_portal import database
from dss_portal.models import OutboxMessage, Ticket
from dss_portal.tracing import sent_from_outbox

log = logging.getLogger(__name__)

BATCH = 200
CONFIRM_TIMEOUT_S = 10.0
IDLE_S = 5.0  # how long a message of a portal that died waits for another to notice
SEEKING_S = 0.5  # how soon a broker that is back is noticed; it takes no query
RELAY_LOCK = 0x64737301
_TURN = f"SELECT {database.NOT_FOR_EVER}, pg_advisory_xact_lock($1)"


async def put(message: Message) -> None:
    """Store ``message`` in the caller's transaction.  ``Relay.wake`` after the commit sends it at once."""
    type_name, body = encode(message)
    await OutboxMessage.create(
        message_id=uuid.uuid4().hex,
        type_name=type_name,
        body=body,
        traceparent=current_traceparent.get(),
    )


class Relay:
    """Publishes what is in the outbox, one portal at a time, in order."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._wake = asyncio.Event()
        self._unheard: list[int] = []

    def wake(self) -> None:
        """Something was committed."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            try:
                while await self._flush() == BATCH:
                    pass
            except Exception as error:
                facts, trace = {"reason": repr(error)}, database.trace_of(error)
                log.warning("outbox not flushed, trying again", extra=facts, exc_info=trace)
                await asyncio.sleep(1)
            await _wait(self._wake, IDLE_S if self._broker.connected else SEEKING_S)

    async def _flush(self) -> int:
        """Publish one batch; the number of messages that were waiting, BATCH at most."""
        if not self._broker.connected:
            return 0
        async with in_transaction() as connection:
            await connection.execute_query(_TURN, [RELAY_LOCK])
            waiting = await OutboxMessage.all().order_by("id").limit(BATCH)
            sent = await asyncio.gather(*(self._publish(m) for m in waiting))
            done = [m.id for m, ok in zip(waiting, sent, strict=True) if ok]
            if done:
                await OutboxMessage.filter(id__in=done).delete()
        await self._note_unheard()
        return len(waiting) if all(sent) else 0

    async def _note_unheard(self) -> None:
        """No dispatcher of their service has ever started: the reaper goes on announcing them often."""
        unheard, self._unheard = self._unheard, []
        if unheard:
            await Ticket.filter(id__in=unheard).update(announcements=0)

    async def _publish(self, stored: OutboxMessage) -> bool:
        """True if the message need not be sent again."""
        message = decode(stored.type_name, bytes(stored.body))
        try:
            with sent_from_outbox(stored):
                confirmed = self._broker.publish(message, message_id=stored.message_id)
                await asyncio.wait_for(asyncio.wrap_future(confirmed), CONFIRM_TIMEOUT_S)
        except Unroutable:
            facts = {"type": stored.type_name, "ticket": getattr(message, "ticket_id", None)}
            log.warning("nobody listens", extra=facts)
            if isinstance(message, TicketReady):
                self._unheard.append(message.ticket_id)
        except TimeoutError:
            return False
        return True


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)
