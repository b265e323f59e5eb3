"""The portal put together."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

from quart import Quart

from dss_broker.broker import Broker
from dss_observability.serving import Missing, serve_health
from dss_portal import certificates, database, events, gauges, health
from dss_portal.accounts import openid_routes as openid
from dss_portal.accounts import routes as accounts
from dss_portal.accounts import sessions
from dss_portal.accounts import store as account_store
from dss_portal.accounts.limits import Limits
from dss_portal.accounts.openid import OpenIdIssuer
from dss_portal.admin import routes as admin
from dss_portal.attachments import routes as attachments
from dss_portal.background import Background, Work
from dss_portal.database import clock, waiting
from dss_portal.datastore import Datastore
from dss_portal.dead_letters import routes as dead_letters
from dss_portal.models import TicketFile
from dss_portal.openapi import routes as openapi
from dss_portal.outbox.relay import Relay
from dss_portal.pages import routes as pages
from dss_portal.providers import routes as providers
from dss_portal.services import routes as services
from dss_portal.settings import Settings
from dss_portal.tickets import janitor, reaper
from dss_portal.tickets import routes as tickets
from dss_portal.tickets.listener import Listener
from dss_portal.tickets.presence import Presence
from dss_portal.web import asgi, errors, metering, tracing
from dss_portal.web import converters as routing

log = logging.getLogger(__name__)

LISTEN_S = 1.0
"""Serving begins without the broker if that is not there after so long."""

FEATURES = (
    accounts,
    openid,
    services,
    tickets,
    providers,
    admin,
    dead_letters,
    attachments,
    openapi,
    pages,
    health,
)


def create_app(settings: Settings, broker: Broker) -> Quart:
    """A portal that connects to the database and listens to ``broker`` while it serves."""
    app = Quart("dss_portal", template_folder="pages/templates", static_folder="pages/static")
    app.config["DSS"] = settings
    app.extensions["dss_broker"] = broker
    app.extensions["dss_datastore"] = Datastore(settings.datastore, settings.max_upload_bytes)
    app.extensions["dss_relay"] = Relay(broker)
    app.extensions["dss_background"] = Background()
    app.extensions["dss_limits"] = Limits(settings)
    app.extensions["dss_openid"] = _issuer(settings)
    asgi.install(app)
    routing.install(app)
    errors.install(app)
    sessions.install(app, settings)
    for feature in FEATURES:
        app.register_blueprint(feature.blueprint)
    app.context_processor(lambda: {"has_issuer": bool(settings.oidc_issuer)})
    tracing.install(app)
    metering.install(app)
    _install_background(app, settings, broker)
    return app


def _missing(app: Quart) -> Missing:
    """For the operators' port, which is served by a thread of its own."""
    loop = asyncio.get_running_loop()
    return lambda: asyncio.run_coroutine_threadsafe(health.missing(app), loop).result(10)


def _unserved() -> Missing:
    loop = asyncio.get_running_loop()
    return lambda: asyncio.run_coroutine_threadsafe(health.unserved(), loop).result(10)


def _issuer(settings: Settings) -> OpenIdIssuer | None:
    if not settings.oidc_issuer:
        return None
    return OpenIdIssuer(
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_client_secret.get_secret_value(),
        f"{settings.public_url.rstrip('/')}/api/oauth2cb",
    )


def _install_background(app: Quart, settings: Settings, broker: Broker) -> None:
    resources = AsyncExitStack()
    end_health: list[Callable[[], None]] = []
    relay: Relay = app.extensions["dss_relay"]
    datastore: Datastore = app.extensions["dss_datastore"]
    background: Background = app.extensions["dss_background"]

    @app.before_serving
    async def _start() -> None:
        url = settings.database_url.get_secret_value()
        await resources.enter_async_context(database.connected(url))
        schema = background.begin("schema", waiting.for_migrations, returns=True)

        def begin(name: str, work: Work, *, returns: bool = False) -> asyncio.Task[None]:
            """As soon as the database has the schema that it needs."""
            return background.begin(name, lambda: _after(schema, work), returns=returns)

        first = []
        if settings.test_mode != "off":
            first.append(begin("test user", _make_test_user, returns=True))
        first.append(begin("datastore", lambda: prepare(datastore), returns=True))
        listener = Listener(datastore, settings, relay.wake)
        first.append(begin("listener", lambda: events.listen(broker, listener), returns=True))
        await asyncio.wait(first, timeout=LISTEN_S)
        background.begin("clock", clock.keep)
        begin("outbox relay", relay.run)
        begin("reaper", lambda: reaper.run(settings, datastore, broker, relay))
        begin("janitor", lambda: janitor.run(datastore, settings.tidy_s))
        begin("gauges", lambda: gauges.watch(datastore))
        begin("presence", Presence(broker).run)
        background.begin("certificates", lambda: _watch_certificates(settings))
        end_health.append(serve_health(settings.metrics_bind, _missing(app), _unserved()))

    @app.after_serving
    async def _stop() -> None:
        for end in end_health:
            await asyncio.to_thread(end)
        await asyncio.to_thread(broker.stop_consuming, settings.stop_s)
        try:
            await background.end()
        finally:
            await resources.aclose()


async def _after(first: "asyncio.Task[None]", work: Work) -> None:
    await asyncio.wait([first])
    await work()


async def _watch_certificates(settings: Settings) -> None:
    broker_url = settings.amqp_url.get_secret_value()
    await certificates.watch(portal=settings.public_url, broker=broker_url)


async def prepare(datastore: Datastore) -> None:
    """As soon as the database is there, and on a fresh site only: where files were stored before, an empty
    folder is a mount point without its volume.
    """
    waits = False
    while not await datastore.is_there():
        reason = "its volume is not mounted"
        try:
            if not await TicketFile.exists():
                await datastore.prepare()
                return
        except Exception as error:
            if not (isinstance(error, OSError) or database.is_away(error)):
                raise
            reason = repr(error)
        if not waits:
            log.warning("no datastore, waiting for it", extra={"reason": reason})
        waits = True
        await asyncio.sleep(1)


async def _make_test_user() -> None:
    """As soon as the database is there."""
    while True:
        try:
            await account_store.save_user(account_store.TEST_USER, sysadmin=True, tier="poweruser")
        except Exception as error:
            if not database.is_away(error):
                raise
            await asyncio.sleep(1)
        else:
            return
