"""Starts and ends the portal's connections and background tasks."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

from quart import Quart

from dss_observability.serving import Missing, serve_health
from dss_portal import certificates, consuming, database, gauges, readiness
from dss_portal.accounts import store as accounts
from dss_portal.background import Work
from dss_portal.components import Components
from dss_portal.database import clock, waiting
from dss_portal.datastore import Datastore
from dss_portal.estimates import ticket_logs
from dss_portal.intake import rounds as intake_rounds
from dss_portal.models import TicketFile
from dss_portal.settings import Settings
from dss_portal.tickets import cleanup, deletions, reaper
from dss_portal.tickets.listener import Listener
from dss_portal.tickets.service_watch import ServiceWatch

log = logging.getLogger(__name__)

LISTEN_S = 1.0
"""Longest time that the start of the portal waits for the subscription to its queues, in seconds.  Without it the
portal serves requests all the same, and subscribes when the broker is there.
"""


def install(app: Quart, components: Components) -> None:
    """Register a ``Lifespan`` with ``app``: Quart starts it before the first request and stops it after the last."""
    lifespan = Lifespan(components)
    app.before_serving(lifespan.start)
    app.after_serving(lifespan.stop)


class Lifespan:
    """Starts and stops the database connection, the background tasks and the operators' port of one portal."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._resources = AsyncExitStack()
        self._end_health: Callable[[], None] | None = None

    async def start(self) -> None:
        """Prepare the connections to the database, start the tasks and open the operators' port.  Does not need the
        broker, the database or the schema: tasks that need them wait.  If a step raises an error, what was started is
        stopped, and the error is raised.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()  # otherwise a restarted task would keep the program running
            raise

    async def _start(self) -> None:
        settings, background = self._components.settings, self._components.background
        url = settings.database_url.get_secret_value()
        await self._resources.enter_async_context(database.connected(url))
        schema = background.begin("schema", waiting.for_migrations, returns=True)
        await asyncio.wait(self._begin_preparations(schema), timeout=LISTEN_S)
        self._begin_rounds(schema)
        background.begin("clock", clock.measure_regularly)
        background.begin("certificates", lambda: _watch_certificates(settings))
        self._end_health = serve_health(
            settings.metrics_bind, _missing(self._components), _unserved()
        )

    async def stop(self) -> None:
        if self._end_health is not None:
            await asyncio.to_thread(self._end_health)
        self._components.streams.end()
        broker, settings = self._components.broker, self._components.settings
        await asyncio.to_thread(broker.stop_consuming, settings.stop_s)
        await self._components.notifier.finish(settings.stop_s)
        try:
            await self._components.background.end()
        finally:
            await self._resources.aclose()

    def _begin_preparations(self, schema: "asyncio.Task[None]") -> list["asyncio.Task[None]"]:
        """Start the tasks that end by themselves, and return them."""
        parts = self._components
        listener = Listener(parts.datastore, parts.settings)
        preparations: dict[str, Work] = {
            "datastore": lambda: prepare(parts.datastore),
            readiness.LISTENER: lambda: consuming.listen(parts.broker, listener),
        }
        if parts.settings.test_mode != "off":
            preparations["test user"] = _make_test_user
        return [
            parts.background.begin(name, _after(schema, work), returns=True)
            for name, work in preparations.items()
        ]

    def _begin_rounds(self, schema: "asyncio.Task[None]") -> None:
        """Start the tasks that run until the portal stops."""
        parts = self._components
        settings, datastore = parts.settings, parts.datastore
        rounds: dict[str, Work] = {
            "outbox relay": parts.relay.run,
            "reaper": lambda: reaper.run(settings, datastore, parts.broker),
            "cleanup": lambda: cleanup.run(datastore, settings),
            "gauges": lambda: gauges.watch(datastore),
            "presence": ServiceWatch(parts.broker, parts.streams.notify_services).run,
            "live pages": parts.streams.notify_queues,
            "changes": parts.feed.run,
            "notifications": parts.notifier.run,
            "estimates": lambda: ticket_logs.run(parts.estimates),
            "deletions": lambda: deletions.run(datastore),
            "uploads": lambda: intake_rounds.run(datastore, settings),
        }
        for name, work in rounds.items():
            parts.background.begin(name, _after(schema, work))


def _after(schema: "asyncio.Task[None]", work: Work) -> Work:
    """A coroutine function that runs ``work`` once the task ``schema`` has ended."""

    async def run() -> None:
        await asyncio.wait([schema])
        await work()

    return run


def _missing(components: Components) -> Missing:
    """The readiness check for the operators' port: the sentences of ``readiness.missing``.  A thread serves that port,
    so the check runs on this event loop and the thread waits for it.
    """
    loop = asyncio.get_running_loop()
    return lambda: asyncio.run_coroutine_threadsafe(readiness.missing(components), loop).result(10)


def _unserved() -> Missing:
    loop = asyncio.get_running_loop()
    return lambda: asyncio.run_coroutine_threadsafe(readiness.unserved(), loop).result(10)


async def _watch_certificates(settings: Settings) -> None:
    broker_url = settings.amqp_url.get_secret_value()
    await certificates.watch(portal=settings.public_url, broker=broker_url)


async def prepare(datastore: Datastore) -> None:
    """Create the folders of a new site's datastore as soon as the database answers.  Returns when the datastore can be
    used.

    If the database names stored files, an empty folder is a mount point without its volume: then nothing is created,
    and ``prepare`` waits for the volume.
    """
    waits = False
    while reason := await datastore.problem():
        try:
            if not await TicketFile.exists():
                await datastore.prepare()
                return
        except Exception as error:
            if not (isinstance(error, OSError) or database.is_away(error)):
                raise
            reason = f"{reason} {error!r}"
        if not waits:
            log.warning("no datastore, waiting for it", extra={"reason": reason})
        waits = True
        await asyncio.sleep(1)


async def _make_test_user() -> None:
    """Create the test user, retrying until the database is available."""
    while True:
        try:
            await accounts.save_user(accounts.TEST_USER, sysadmin=True, tier="poweruser")
        except Exception as error:
            if not database.is_away(error):
                raise
            await asyncio.sleep(1)
        else:
            return
