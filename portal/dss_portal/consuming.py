"""Subscribes to the portal's queues.  The broker delivers messages in threads of its own; the handlers are coroutines
that run on the event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError

from dss_broker.broker import Broker, Delivery, Handler
from dss_broker.errors import BrokerClosed, TryAgainLater
from dss_broker.topology import PORTAL_CLAIMS, PORTAL_EVENTS, PORTAL_PARKED
from dss_datastore.space import is_disk_full
from dss_datastore.volume import is_away
from dss_portal import database
from dss_portal.tickets.listener import Listener

log = logging.getLogger(__name__)

AsyncHandler = Callable[[Delivery], Awaitable[None]]

RETRY_S = 1.0


async def listen(broker: Broker, listener: Listener) -> None:
    """Subscribe to the portal's queues as soon as the broker is connected.  Returns once subscribed, or when the
    broker is closed.
    """
    loop = asyncio.get_running_loop()
    handlers = {
        PORTAL_CLAIMS: listener.on_claim,
        PORTAL_EVENTS: listener.on_event,
        PORTAL_PARKED: listener.on_parked,
    }
    begun = (
        asyncio.to_thread(broker.consume, subscription, on_loop(loop, handler))
        for subscription, handler in handlers.items()
    )
    try:
        await asyncio.gather(
            *begun
        )  # at the same time, because the broker may refuse one queue for long
    except BrokerClosed:
        return


def on_loop(loop: asyncio.AbstractEventLoop, handler: AsyncHandler) -> Handler:
    """A handler for the broker's threads, which runs ``handler`` on ``loop`` and waits until it has ended.

    After a temporary error ``handler`` is called again every RETRY_S; another error is raised.  Raises TryAgainLater if
    the portal stops.
    """

    async def with_retries(delivery: Delivery) -> None:
        # Wait here, because a retry through the broker would change the order of the events.
        waited = False
        while True:
            try:
                return await handler(delivery)
            except Exception as error:
                if not await is_temporary(error):
                    raise
                if not waited:
                    log.warning("message waits", extra={"reason": repr(error)})
                waited = True
            await asyncio.sleep(RETRY_S)

    def handle(delivery: Delivery) -> None:
        try:
            asyncio.run_coroutine_threadsafe(with_retries(delivery), loop).result()
        except CancelledError as error:
            raise TryAgainLater("the portal stops") from error

    return handle


async def is_temporary(error: Exception) -> bool:
    """True if a later attempt may succeed: the disk is full, the datastore or the database is unavailable, or the
    database's schema is not migrated yet.
    """
    return is_disk_full(error) or is_away(error) or await database.is_temporary(error)
