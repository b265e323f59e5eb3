"""From the broker's threads to Quart's event loop."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable

import asyncpg
from tortoise.exceptions import DBConnectionError

from dss_broker.broker import Broker, Delivery, Handler
from dss_broker.topology import PORTAL_CLAIMS, PORTAL_EVENTS, PORTAL_PARKED
from dss_portal import database
from dss_portal.tickets.listener import Listener

log = logging.getLogger(__name__)

AsyncHandler = Callable[[Delivery], Awaitable[None]]

DATABASE_AWAY = (
    DBConnectionError,
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
RETRY_S = 1.0


async def listen(broker: Broker, listener: Listener) -> None:
    """Serve the portal's queues from now on."""
    loop = asyncio.get_running_loop()
    for subscription, handler in (
        (PORTAL_CLAIMS, listener.on_claim),
        (PORTAL_EVENTS, listener.on_event),
        (PORTAL_PARKED, listener.on_parked),
    ):
        await asyncio.to_thread(broker.consume, subscription, on_loop(loop, handler))


def on_loop(loop: asyncio.AbstractEventLoop, handler: AsyncHandler) -> Handler:
    """A broker's handler that runs ``handler`` on ``loop`` and waits for it."""

    async def patient(delivery: Delivery) -> None:
        # Waiting here instead of retrying through the broker keeps the events in order.
        while True:
            try:
                return await handler(delivery)
            except Exception as error:
                if not await passes(error):
                    raise
                log.warning("database away or disk full, waiting", exc_info=True)
            await asyncio.sleep(RETRY_S)

    def handle(delivery: Delivery) -> None:
        asyncio.run_coroutine_threadsafe(patient(delivery), loop).result()

    return handle


async def passes(error: Exception) -> bool:
    """A database that dies in the middle of something has many ways to say so: then it is asked."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return True
    return isinstance(error, DATABASE_AWAY) or not await database.answers()
