"""The commands of ``dss-portal providers`` and ``dss-portal services``."""

from pathlib import Path
from typing import Annotated

import typer

from dss_portal.admin import store as admin
from dss_portal.commands.console import exit_with, or_exit, with_database
from dss_portal.services import registration
from dss_portal.services import store as catalogue

providers = typer.Typer(help="Who offers services.", no_args_is_help=True)
services = typer.Typer(help="Services on offer.", no_args_is_help=True)


@providers.command("add")
def add_provider(name: str) -> None:
    """Add a provider, or restore a removed one."""
    or_exit(lambda: admin.add_provider(name))


@providers.command("list")
def list_providers() -> None:
    """Print a line for each provider that is not removed."""
    for provider in with_database(admin.providers):
        if provider.current:
            typer.echo(provider.name)


@providers.command("remove")
def remove_provider(name: str) -> None:
    """Stop a provider from taking tickets; services that only it offers are removed too."""
    or_exit(lambda: admin.remove_provider(name))


@providers.command("add-user")
def add_provider_user(
    provider: str, email: str, *, admin_rights: Annotated[bool, typer.Option("--admin")] = False
) -> None:
    """Give a user the right to claim tickets for a provider."""
    or_exit(lambda: admin.add_provider_user(provider, email, admin=admin_rights))


@services.command("add")
def add_service(provider: str, file: Path) -> None:
    """Register a service.json, .zip or .tar.gz; prints the service's hash alone on the last line."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise exit_with(f"{file} cannot be read: {error.strerror}.") from error

    async def add() -> str:
        owner = await admin.provider_named(provider)
        return await registration.from_upload(owner, file.name, data)

    typer.echo(or_exit(add))


@services.command("list")
def list_services() -> None:
    """Print a line for each service that takes tickets: name, version, hash, what it does."""
    for service in with_database(catalogue.listed):
        typer.echo(f"{service.name}\t{service.version}\t{service.githash}\t{service.shortdesc}")


@services.command("remove")
def remove_service(provider: str, githash: str) -> None:
    """Remove a service from those that a provider offers."""
    or_exit(lambda: admin.remove_service(provider, githash))
