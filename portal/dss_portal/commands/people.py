"""The commands of ``dss-portal users``, ``dss-portal tiers`` and ``dss-portal tokens``."""

from datetime import timedelta
from typing import Annotated

import typer

from dss_portal.accounts import api_tokens
from dss_portal.accounts import store as accounts
from dss_portal.commands.console import or_exit, with_database
from dss_portal.models import User

users = typer.Typer(help="Users who may sign in.", no_args_is_help=True)
tiers = typer.Typer(help="What classes of users may do.", no_args_is_help=True)
tokens = typer.Typer(help="Long-lived tokens for programs.", no_args_is_help=True)

MAX_PRIORITY_MINUTES = 7 * 24 * 60


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
    typer.echo(or_exit(lambda: _add_user(email, sysadmin, tier)))


@users.command("list")
def list_users() -> None:
    """Print a line for each user: e-mail, tier, rights."""
    for user in with_database(_all_users):
        rights = "sysadmin" if user.sysadmin else "user"
        typer.echo(f"{user.email}\t{user.tier_id}\t{'disabled' if user.disabled else rights}")


@users.command("disable")
def disable_user(email: str) -> None:
    """Disable a user: sessions and tokens are refused; ``users add`` enables the user again."""
    or_exit(lambda: accounts.disable_user(email))


@tiers.command("list")
def list_tiers() -> None:
    """Print a line for each tier: name, open tickets, stored bytes, minutes of priority, stored files."""
    for tier in with_database(accounts.tiers):
        limits = f"{tier.max_tickets}\t{tier.max_stored_bytes}\t{tier.priority_minutes}\t{tier.max_files}"
        typer.echo(f"{tier.name}\t{limits}")


@tiers.command("priority")
def set_priority(
    tier: str, minutes: Annotated[int, typer.Argument(min=0, max=MAX_PRIORITY_MINUTES)]
) -> None:
    """Queue the tickets of a tier as if they had come so many minutes earlier."""
    or_exit(lambda: accounts.set_priority(tier, minutes))


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
    """Create a long-lived token for programs, and print it alone on the last line.  It is not shown again."""

    async def create() -> str:
        life = timedelta(days=days) if days is not None else None
        return await api_tokens.create(await accounts.user_named(email), name, scope, life)

    typer.echo(or_exit(create))


@tokens.command("list")
def list_tokens() -> None:
    """Print a line for each valid token: number, user, scopes, what it is for."""
    for token in with_database(api_tokens.listed):
        typer.echo(f"{token.id}\t{token.user.email}\t{token.scopes}\t{token.name}")


@tokens.command("revoke")
def revoke_token(number: int) -> None:
    """Revoke a token: it is refused from the next request on."""
    or_exit(lambda: api_tokens.revoke(number))


async def _add_user(email: str, sysadmin: bool | None, tier: str | None) -> str:  # noqa: FBT001 - as typed
    user = await accounts.save_user(email, sysadmin=sysadmin, tier=tier)
    return await accounts.new_login_token(user, life_s=24 * 3600)


async def _all_users() -> list[User]:
    return await User.all().order_by("email")
