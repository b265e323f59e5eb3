"""The commands of the program ``dss-portal``: ``serve`` and ``migrate``; others manage users, tiers, tokens, providers,
services and dead letters.
"""

import asyncio
import gc
import os
import socket
import threading

import typer
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from hypercorn.utils import LifespanFailureError

from dss_broker.rabbit import RabbitBroker
from dss_broker.rabbit.old_retry_queues import start_emptying
from dss_broker.settings import cannot_listen
from dss_observability.logs import configure_logging
from dss_observability.telemetry import start_tracing
from dss_portal import database
from dss_portal.accounts import store as accounts
from dss_portal.app import create_app, served
from dss_portal.commands.console import exit_with, or_sentence, read, with_database
from dss_portal.commands.dead_letters import dead_letters
from dss_portal.commands.offers import providers, services
from dss_portal.commands.people import tiers, tokens, users
from dss_portal.commands.postgres_programs import with_database as run_with_database
from dss_portal.database import schema, waiting
from dss_portal.patches import hypercorn
from dss_portal.processes import of_process, serve_in_many
from dss_portal.serving.connections import Connection
from dss_portal.settings import DatabaseSettings, Settings
from dss_portal.web.context import components_of
from dss_process.commands import add_version
from dss_process.proxies import ProxyUnusable, proxy_for
from dss_process.signals import stop_event
from dss_process.startup import prepare_process
from dss_process.supervision import Supervisor

main = typer.Typer(help="The portal of the Distributed Segmentation Service.", no_args_is_help=True)
add_version(main, "dss-portal")
main.add_typer(users, name="users")
main.add_typer(tiers, name="tiers")
main.add_typer(tokens, name="tokens")
main.add_typer(providers, name="providers")
main.add_typer(services, name="services")
main.add_typer(dead_letters, name="dead-letters")

ENDING_S = 60.0
"""Time that the end of a process may take beyond ``Settings.stop_s``, in seconds: closing the database may be slow."""


@main.command()
def serve() -> None:
    """Serve ITK-SNAP clients and browsers until SIGTERM.  Settings come from DSS_* variables."""
    settings = read(Settings)
    configure_logging("portal", json_lines=settings.log_json)
    _check_port("DSS_BIND", settings.bind)
    _check_scratch(settings)
    _check_proxy(settings)
    for number in range(settings.portal_processes):
        if bind := of_process(settings, number).metrics_bind:
            _check_port("DSS_METRICS_BIND", bind)
    if settings.portal_processes == 1:
        _serve_alone(settings)
        return
    status = serve_in_many(settings, _serve_alone, settings.stop_s + 2 * ENDING_S)
    raise typer.Exit(status if status > 0 else int(status != 0))


def _serve_alone(settings: Settings) -> None:
    """Run the portal in this process until SIGTERM.  Ends the program with a sentence if the portal cannot start."""
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "portal", settings.instance)
    stop = threading.Event()
    supervisor, _ = start_emptying(settings.amqp_url.get_secret_value(), stop)
    end_tracing = start_tracing("portal", settings.instance, os.environ)
    try:
        asyncio.run(_serve(settings, broker, supervisor))
    except LifespanFailureError as error:
        raise exit_with(f"The portal cannot start: {error}") from error
    finally:
        stop.set()
        broker.close()
        end_tracing()


@main.command()
def migrate() -> None:
    """Bring the database schema up to date.  May be repeated, also by several portals at once.

    Waits DSS_DATABASE_WAIT_S seconds for PostgreSQL, if need be.  A schema of a newer release is left as it is.
    """
    settings = read(DatabaseSettings)
    for step in or_sentence(_migrate(settings)):
        typer.echo(step)
    for name in with_database(_finish_migration):
        typer.echo(
            f"The database has {name} of a newer release, which this program leaves as it is."
        )


main.command(
    "with-database",
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)(run_with_database)


async def _migrate(settings: DatabaseSettings) -> list[str]:
    url = settings.database_url.get_secret_value()
    await waiting.for_server(url, settings.database_wait_s, lambda s: typer.echo(s, err=True))
    return await database.migrate_to_latest(url)


async def _finish_migration() -> list[str]:
    """Make the tiers.  Returns the migrations of newer releases; raises SchemaTooNew if one prevents this program."""
    newer = await schema.require_usable()
    await accounts.make_tiers()
    return newer


def _check_scratch(settings: Settings) -> None:
    """End the program with a sentence if the datastore is in a bucket, and boto3 is not installed or the scratch folder
    cannot be written.  For a datastore in a folder, do nothing.
    """
    if not settings.is_s3:
        return
    try:
        _, scratch = settings.s3_parts()
    except ValueError as error:
        raise exit_with(str(error)) from error
    scratch.close()


def _check_proxy(settings: Settings) -> None:
    """End the program with a sentence if users sign in by OpenID Connect, and the issuer's proxy cannot be used."""
    if not settings.oidc_issuer:
        return
    from dss_portal.accounts.openid import address_of  # noqa: PLC0415 - takes 0.3 s; many sites need it not

    try:
        proxy_for(address_of(settings.oidc_issuer), os.environ)
    except ProxyUnusable as error:
        raise exit_with(str(error)) from error


def _check_port(setting: str, bind: str) -> None:
    """End the program with a sentence if the portal cannot listen on the address ``bind``, the value of ``setting``.
    Hypercorn would report that only after the whole start.
    """
    host, _, port = bind.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, _, _, address = found[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise exit_with(cannot_listen(setting, bind, error)) from error


async def _serve(settings: Settings, broker: RabbitBroker, supervisor: Supervisor) -> None:
    stop = stop_event()  # before the portal accepts connections
    config = Config()
    config.bind = [settings.bind]
    config.workers = (
        settings.portal_processes
    )  # with more than one, several processes may bind the port
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = 64 * 1024
    config.max_app_queue_size = (
        2  # of 64 kB each: what waits there is not bounded by our own buffer
    )
    config.graceful_timeout = settings.stop_s
    config.shutdown_timeout = settings.stop_s + ENDING_S
    hypercorn.install()
    hypercorn.use(Connection)
    portal = create_app(settings, broker)
    components_of(portal).background.report(supervisor)
    app = served(portal)
    gc.freeze()  # objects of the start live as long as the process, so the collector may skip them

    async def stopped() -> None:
        await stop.wait()
        components_of(portal).streams.end()  # open streams would use up the whole graceful_timeout

    await hypercorn_serve(app, config, shutdown_trigger=stopped)


if __name__ == "__main__":
    prepare_process(os.environ)
    main()
