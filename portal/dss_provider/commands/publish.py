"""``dss service publish``: serves a portal's tickets from this machine."""

from functools import partial
from pathlib import Path

import click

from dss_broker.dispatch_section import ProviderKind
from dss_provider.commands.folders import folder_name
from dss_provider.commands.site import BEAT_S, Site, instance, publisher_of, tell
from dss_provider.containers import end_orphans
from dss_provider.folder import ServiceFolder, load
from dss_provider.new_folder import placeholders
from dss_provider.orderly_stop import OrderlyStop
from dss_provider.ticket_folders import remove_orphans


@click.command()
@folder_name
@click.option(
    "--server", envvar="DSS_SERVER", required=True, show_envvar=True, help="address of the portal"
)
@click.option(
    "--token",
    envvar="DSS_TOKEN",
    show_envvar=True,
    default="",
    help="a token for programs with the scope provider; else the one that dss login keeps",
)
@click.option(
    "--provider", default="", help="your provider's name, if the service is not listed yet"
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="tickets at a time",
)
@click.option("--tickets", type=click.IntRange(1), help="end after so many")
@click.option(
    "--beat-s",
    envvar="DSS_BEAT_S",
    show_envvar=True,
    type=click.FloatRange(0.1),
    default=BEAT_S,
    show_default=True,
    help="give a sign of life after so many seconds",
)
def publish(
    *,
    folder: Path,
    server: str,
    token: str,
    provider: str,
    parallel: int,
    tickets: int | None,
    beat_s: float,
) -> None:
    """Serve a portal's tickets from this machine, over HTTPS alone.  Ctrl-C, or closing the terminal, lets the
    current tickets finish.
    """
    from dss_provider.running import require_loadable  # noqa: PLC0415  (takes a while to import)

    service = load(folder)
    require_loadable(service)
    publisher, offer = publisher_of(service, Site(server, token, provider), beat_s, tell)
    account = f"{service.descriptor.name} {service.descriptor.version} of {offer.provider}"
    tell(f"{server} gives tickets of {account} to this program; Ctrl-C ends it.")
    OrderlyStop(publisher.stop, tell, partial(_tidy, service, and_own=True)).listen()
    _tidy(service)
    for warning in (*offer.warnings, *placeholders(service)):
        tell(warning)
    publisher.run(parallel, instance(), tickets)


def _tidy(service: ServiceFolder, *, and_own: bool = False) -> None:
    """Remove the containers and folders that killed publishers have left; with ``and_own``, also those of this process."""
    if service.dispatch.provider is ProviderKind.CONTAINER:
        end_orphans(and_own=and_own)
    remove_orphans(and_own=and_own)
