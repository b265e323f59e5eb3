"""``dss-portal``: serve, migrate, manage users, tokens, providers and services."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from dss_broker.rabbit import RabbitBroker
from dss_broker.stopping import on_stop
from dss_observability.logs import configure_logging
from dss_observability.telemetry import start_tracing
from dss_portal import database
from dss_portal.accounts import api_tokens
from dss_portal.accounts import store as accounts
from dss_portal.admin import store as admin
from dss_portal.app import create_app
from dss_portal.asgi import OldPaths
from dss_portal.datastore import Datastore
from dss_portal.dead_letters import store as letters
from dss_portal.dead_letters.routes import row as letter_row
from dss_portal.errors import Refused
from dss_portal.legacy import renamed
from dss_portal.models import User
from dss_portal.services import registration
from dss_portal.services import store as catalogue
from dss_portal.settings import DatabaseSettings, Settings

main = typer.Typer(help="The portal of the Distributed Segmentation Service.", no_args_is_help=True)
users = typer.Typer(help="Who may sign in.", no_args_is_help=True)
tiers = typer.Typer(help="What classes of users may do.", no_args_is_help=True)
tokens = typer.Typer(help="Long-lived tokens for programs.", no_args_is_help=True)
providers = typer.Typer(help="Who offers services.", no_args_is_help=True)
services = typer.Typer(help="What is offered.", no_args_is_help=True)
dead_letters = typer.Typer(help="Messages that nobody could handle.", no_args_is_help=True)
main.add_typer(users, name="users")
main.add_typer(tiers, name="tiers")
main.add_typer(tokens, name="tokens")
main.add_typer(providers, name="providers")
main.add_typer(services, name="services")
main.add_typer(dead_letters, name="dead-letters")

ENDING_S = 60.0
"""What the end may take beside the messages in hand: the database may be slow to close."""

MAX_PRIORITY_MINUTES = 7 * 24 * 60

S = TypeVar("S", bound=BaseSettings)
T = TypeVar("T")


@main.command()
def serve() -> None:
    """Serve ITK-SNAP clients and browsers until SIGTERM.  Settings come from DSS_* variables."""
    settings = _settings(Settings)
    configure_logging("portal", json_lines=settings.log_json)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "portal", settings.instance)
    end_tracing = start_tracing("portal", settings.instance, os.environ)
    try:
        asyncio.run(_serve(settings, broker))
    finally:
        broker.close()
        end_tracing()


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
    typer.echo(_or_exit(lambda: _add_user(email, sysadmin, tier)))


@users.command("list")
def list_users() -> None:
    """One line for each: e-mail, tier, rights."""
    for user in _with_database(_all_users):
        rights = "sysadmin" if user.sysadmin else "user"
        typer.echo(f"{user.email}\t{user.tier_id}\t{'disabled' if user.disabled else rights}")


@users.command("disable")
def disable_user(email: str) -> None:
    """Nothing of the user's works any more; ``users add`` enables the user again."""
    _or_exit(lambda: accounts.disable_user(email))


@tiers.command("list")
def list_tiers() -> None:
    """One line for each: name, open tickets, stored bytes, minutes of priority."""
    for tier in _with_database(accounts.tiers):
        limits = f"{tier.max_tickets}\t{tier.max_stored_bytes}\t{tier.priority_minutes}"
        typer.echo(f"{tier.name}\t{limits}")


@tiers.command("priority")
def set_priority(
    tier: str, minutes: Annotated[int, typer.Argument(min=0, max=MAX_PRIORITY_MINUTES)]
) -> None:
    """From now on the tier's tickets count as if they had come so many minutes earlier."""
    _or_exit(lambda: accounts.set_priority(tier, minutes))


@tokens.command("create")
def create_token(
    email: str,
    *,
    scope: Annotated[list[str], typer.Option(help="tickets, provider or admin; repeatable")],
    name: Annotated[str, typer.Option(help="what it is for")] = "",
    days: Annotated[
        float | None, typer.Option(help="its life; without this it never expires")
    ] = None,
) -> None:
    """A long-lived token for programs, alone on the last line.  It is shown this once."""

    async def create() -> str:
        life = timedelta(days=days) if days is not None else None
        return await api_tokens.create(await accounts.user_named(email), name, scope, life)

    typer.echo(_or_exit(create))


@tokens.command("list")
def list_tokens() -> None:
    """One line for each that is valid: number, user, scopes, what it is for."""
    for token in _with_database(api_tokens.listed):
        typer.echo(f"{token.id}\t{token.user.email}\t{token.scopes}\t{token.name}")


@tokens.command("revoke")
def revoke_token(number: int) -> None:
    """The token is worth nothing from the next request on."""
    _or_exit(lambda: api_tokens.revoke(number))


@providers.command("add")
def add_provider(name: str) -> None:
    """A new provider, or a removed one again."""
    _or_exit(lambda: admin.add_provider(name))


@providers.command("list")
def list_providers() -> None:
    """One line for each that is not removed."""
    for provider in _with_database(admin.providers):
        if provider.current:
            typer.echo(provider.name)


@providers.command("remove")
def remove_provider(name: str) -> None:
    """The provider takes no more tickets; services that only it offers are removed too."""
    _or_exit(lambda: admin.remove_provider(name))


@providers.command("add-user")
def add_provider_user(
    provider: str, email: str, *, admin_rights: Annotated[bool, typer.Option("--admin")] = False
) -> None:
    """Let a user claim for a provider."""
    _or_exit(lambda: admin.add_provider_user(provider, email, admin=admin_rights))


@services.command("add")
def add_service(provider: str, file: Path) -> None:
    """Register a service.json, .zip or .tar.gz; prints the service's hash alone on the last line."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _exit(f"{file} cannot be read: {error.strerror}.") from error

    async def add() -> str:
        owner = await admin.provider_named(provider)
        return await registration.from_upload(owner, file.name, data)

    typer.echo(_or_exit(add))


@services.command("list")
def list_services() -> None:
    """One line for each that takes tickets: name, version, hash, what it does."""
    for service in _with_database(catalogue.listed):
        typer.echo(f"{service.name}\t{service.version}\t{service.githash}\t{service.shortdesc}")


@services.command("remove")
def remove_service(provider: str, githash: str) -> None:
    """The provider does not offer the service any more."""
    _or_exit(lambda: admin.remove_service(provider, githash))


@dead_letters.command("list")
def list_dead_letters() -> None:
    """One line for each, the oldest first: id, type, ticket, reason, queue, who, tries, age, trace."""
    for letter in _with_broker(lambda _, broker: letters.listed(broker)):
        typer.echo("\t".join(str(cell) for cell in letter_row(letter)))


LetterId = Annotated[str | None, typer.Argument(help="as listed", metavar="[ID]")]
AllLetters = Annotated[bool, typer.Option("--all", help="every one instead of one")]


@dead_letters.command("requeue")
def requeue_dead_letters(letter_id: LetterId = None, *, all_of_them: AllLetters = False) -> None:
    """Let the ticket of a message, or of all, wait again; other messages go back to their queue."""
    which = _which_letter(letter_id, all_of_them=all_of_them)

    async def requeue(settings: Settings, broker: RabbitBroker) -> letters.Requeued:
        datastore = Datastore(settings.datastore, settings.max_upload_bytes)
        return await letters.requeue(broker, datastore, which)

    requeued = _with_broker(requeue)
    typer.echo(requeued.sentence)
    if requeued.refused:
        raise typer.Exit(1)


@dead_letters.command("discard")
def discard_dead_letters(
    letter_id: LetterId = None,
    *,
    all_of_them: AllLetters = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Remove a message, or all, for good."""
    which = _which_letter(letter_id, all_of_them=all_of_them)
    if not yes:
        typer.confirm(f"Remove {which or 'all dead letters'} for good?", abort=True)
    count = _with_broker(lambda _, broker: letters.discard(broker, which))
    typer.echo(f"{count} discarded.")


def _which_letter(letter_id: str | None, *, all_of_them: bool) -> str | None:
    """None for all."""
    if (letter_id is None) is not all_of_them:
        raise _exit("Name one message, or say --all.")
    return letter_id


async def _serve(settings: Settings, broker: RabbitBroker) -> None:
    config = Config()
    config.bind = [settings.bind]
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = 64 * 1024
    config.graceful_timeout = settings.stop_s
    config.shutdown_timeout = settings.stop_s + ENDING_S
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    on_stop(lambda: loop.call_soon_threadsafe(stop.set))

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


def _or_exit(work: Callable[[], Awaitable[T]]) -> T:
    """Like ``_with_database``; what cannot be done ends with a sentence."""
    try:
        return _with_database(work)
    except (LookupError, Refused) as error:
        raise _exit(str(error)) from error


def _with_broker(work: Callable[[Settings, RabbitBroker], Awaitable[T]]) -> T:
    """Like ``_or_exit``, with the broker at hand too."""
    settings = _settings(Settings)
    broker = RabbitBroker(settings.amqp_url.get_secret_value(), "portal", settings.instance)
    try:
        return _or_exit(lambda: work(settings, broker))
    finally:
        broker.close()


def _settings(kind: type[S]) -> S:
    """From the environment.  Exits with a sentence for each setting that is missing or wrong."""
    for name, value in renamed(os.environ).items():
        os.environ.setdefault(name, value)
    try:
        return kind()
    except ValidationError as error:
        raise _exit("\n".join(_problem(e["loc"], e["msg"]) for e in error.errors())) from error


def _problem(where: tuple[int | str, ...], what: str) -> str:
    return f"DSS_{str(where[0]).upper()}: {what}" if where else what


def _exit(text: str) -> typer.Exit:
    typer.secho(text, err=True, fg="red")
    return typer.Exit(2)


if __name__ == "__main__":
    main()
