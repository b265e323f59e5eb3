"""``dss-portal``: serve, migrate, manage users."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from dss_broker.rabbit import RabbitBroker
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from dss_observability.logs import configure_logging
from dss_portal import database
from dss_portal.accounts import store as accounts
from dss_portal.app import create_app
from dss_portal.asgi import OldPaths
from dss_portal.models import User
from dss_portal.settings import DatabaseSettings, Settings

main = typer.Typer(help="The portal of the Distributed Segmentation Service.", no_args_is_help=True)
users = typer.Typer(help="Who may sign in.", no_args_is_help=True)
main.add_typer(users, name="users")

S = TypeVar("S", bound=BaseSettings)
T = TypeVar("T")


@main.command()
def serve() -> None:
    """Serve ITK-SNAP clients and browsers until SIGTERM.  Settings come from DSS_* variables."""
    settings = _settings(Settings)
    configure_logging("portal", json_lines=settings.log_json)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "portal", settings.instance)
    try:
        asyncio.run(_serve(settings, broker))
    finally:
        broker.close()


@main.command()
def migrate() -> None:
    """Bring the database schema up to date.  May be repeated, also by several portals at once."""
    url = _settings(DatabaseSettings).database_url.get_secret_value()
    for step in asyncio.run(database.migrate_to_latest(url)):
        typer.echo(step)
    _with_database(accounts.make_tiers)


@users.command("add")
def add_user(
    email: str,
    *,
    sysadmin: Annotated[
        bool | None, typer.Option("--sysadmin/--no-sysadmin", help="may manage everything")
    ] = None,
    tier: Annotated[str | None, typer.Option(help="guest, poweruser or xnat")] = None,
) -> None:
    """Create or update a user; prints a fresh one-time token alone on the last line."""
    try:
        typer.echo(_with_database(lambda: _add_user(email, sysadmin, tier)))
    except LookupError as error:
        raise _exit(str(error)) from error


@users.command("list")
def list_users() -> None:
    """One line for each: e-mail, tier, rights."""
    for user in _with_database(_all_users):
        rights = "sysadmin" if user.sysadmin else "user"
        typer.echo(f"{user.email}\t{user.tier_id}\t{'disabled' if user.disabled else rights}")


async def _serve(settings: Settings, broker: RabbitBroker) -> None:
    config = Config()
    config.bind = [settings.bind]
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = 64 * 1024
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def stopped() -> None:
        await stop.wait()

    app: Any = OldPaths(create_app(settings, broker), settings.public_prefix)
    await hypercorn_serve(app, config, shutdown_trigger=stopped)


async def _add_user(email: str, sysadmin: bool | None, tier: str | None) -> str:  # noqa: FBT001 - as typed
    user = await accounts.save_user(email, sysadmin=sysadmin, tier=tier)
    return await accounts.new_login_token(user, life_s=24 * 3600)


async def _all_users() -> list[User]:
    return await User.all().order_by("email")


def _with_database(work: Callable[[], Awaitable[T]]) -> T:
    url = _settings(DatabaseSettings).database_url.get_secret_value()

    async def connected() -> T:
        async with database.connected(url):
            return await work()

    return asyncio.run(connected())


def _settings(kind: type[S]) -> S:
    """From the environment.  Exits with a sentence for each setting that is missing or wrong."""
    try:
        return kind()
    except ValidationError as error:
        lines = [f"DSS_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
        raise _exit("\n".join(lines)) from error


def _exit(text: str) -> typer.Exit:
    typer.secho(text, err=True, fg="red")
    return typer.Exit(2)


if __name__ == "__main__":
    main()
