"""``dss service``: turns an algorithm into a service."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dss_broker.dispatch_section import Modality, ProviderKind
from dss_client.command_group import FAILED, INTERRUPTED
from dss_client.console import FOR_PROGRAMS, Explained, jar_of
from dss_client.credentials import Credentials
from dss_client.error_sentences import sentence
from dss_client.errors import ClientError, Refused
from dss_client.options import NamedPath
from dss_client.output import say
from dss_provider import new_folder
from dss_provider.containers import end_orphans
from dss_provider.errors import AlgorithmFailed, ServiceInvalid, Withdrawn
from dss_provider.folder import ServiceFolder, load
from dss_provider.orderly_stop import OrderlyStop
from dss_provider.outcome import Point
from dss_provider.ticket_folders import remove_orphans
from dss_provider.trial_arguments import images_by_tag, points_by_tag, require_tags

if TYPE_CHECKING:
    from dss_provider.serving import Offer, ServicePublisher

WHERE_FROM = (
    "One with the scope provider begins with dss_ and goes into DSS_TOKEN, or is kept by dss login. "
    "A site admin makes it: dss-portal tokens create YOU@EXAMPLE.ORG --scope provider"
)
BEAT_S = 15.0
folder_name = click.argument("folder", type=NamedPath(), help="folder with service.json")
for_server = click.option(
    "--token",
    envvar="DSS_TOKEN",
    show_envvar=True,
    default="",
    help="a token for programs with the scope provider; else the one that dss login keeps",
)


@click.command()
@click.argument("folder", type=NamedPath(), help="folder to make; its name becomes the service's")
@click.option(
    "--modality",
    type=click.Choice([kind.value for kind in Modality]),
    default=Modality.ANY.value,
    show_default=True,
    help="what the image's values mean",
)
@click.option(
    "--run",
    metavar="COMMAND",
    default="",
    help='a program instead of a function: "prog {image} {labels}"',
)
@click.option(
    "--container",
    metavar="IMAGE",
    default="",
    help="a container image, in which --run is run",
)
def new(*, folder: Path, modality: str, run: str, container: str) -> None:
    """Make a folder that works at once: service.json, algorithm.py, a test, a README."""
    command = new_folder.command_from(run)
    made = new_folder.make(folder, Modality(modality), command, container)
    say(f"{folder} holds {', '.join(made)}.")
    begin = "look at" if run else "write"
    say(f"Next: {begin} {folder}/{made[-1]}, then dss service test {folder} IMAGE")


@click.command()
@folder_name
def check(*, folder: Path) -> None:
    """Say all that is wrong with a service.  Exit status 2 if something is."""
    found = load(folder)
    say(f"{found.descriptor.name} {found.descriptor.version}: usable.")


@click.command("test")
@folder_name
@click.argument(
    "image", type=NamedPath(), help="NIfTI, NRRD or MetaImage file for the service's tag"
)
@click.option("--tag", multiple=True, metavar="TAG=FILE", help="a further image of the service")
@click.option("--landmark", multiple=True, metavar="TAG=X,Y,Z", help="a landmark, in LPS, mm")
@click.option("--output", "-o", type=NamedPath(), help="folder for the results and a picture")
@click.option(
    "--server",
    default="",
    metavar="URL",
    help="send it to this portal as a real ticket, and serve that from here",
)
@click.option(
    "--token",
    envvar="DSS_TOKEN",
    show_envvar=True,
    default="",
    help="for --server: one with the scopes provider and tickets",
)
@click.option(
    "--provider",
    default="",
    help="for --server: your provider's name, if the service is not listed",
)
def try_here(
    *,
    folder: Path,
    image: Path,
    tag: tuple[str, ...],
    landmark: tuple[str, ...],
    output: Path | None,
    server: str,
    token: str,
    provider: str,
) -> None:
    """Run the algorithm on an image as a ticket would, here, without a server or with one."""
    service = load(folder)
    inputs = {service.dispatch.tag: image.resolve(), **images_by_tag(tag)}
    places = points_by_tag(landmark)
    for path in inputs.values():
        if not path.is_file():
            raise Explained(f"There is no file {path}.")
    require_tags(service, inputs, places)
    if output is not None and output.exists() and any(output.iterdir()):
        raise Explained(f"{output} is not empty; name a new folder.")
    if server:
        if places:
            raise Explained(
                "--landmark is for a test without --server; `dss send` takes workspaces."
            )
        site = _Site(server, token, provider)
        raise click.exceptions.Exit(_try_for_real(service, site, inputs, output))
    signal.signal(signal.SIGTERM, _end)  # as Ctrl-C, so that nothing is left
    with tempfile.TemporaryDirectory(prefix="dss-test-") as work:
        _try(service, inputs, places, Path(work), output)


@click.command()
@folder_name
@click.option(
    "--server", envvar="DSS_SERVER", required=True, show_envvar=True, help="address of the portal"
)
@for_server
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
    """Serve a portal's tickets from this machine, over HTTPS alone.  Ctrl-C lets the current tickets finish."""
    service = load(folder)
    publisher, offer = _publisher(service, _Site(server, token, provider), beat_s, _say)
    account = f"{service.descriptor.name} {service.descriptor.version} of {offer.provider}"
    _say(f"{server} gives tickets of {account} to this program; Ctrl-C ends it.")
    stop = OrderlyStop(publisher.stop, _say, partial(_tidy, service, and_own=True))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    _tidy(service)
    publisher.run(parallel, _instance(), tickets)


@dataclass(frozen=True)
class _Site:
    """A portal, as the options name it."""

    server: str
    token: str
    provider: str


def _publisher(
    service: ServiceFolder, site: _Site, beat_s: float, say: Callable[[str], None]
) -> "tuple[ServicePublisher, Offer]":
    """The publisher of the service.  Exits with a sentence if the portal does not answer, or does not list the service."""
    from dss_provider.held import held_by  # noqa: PLC0415  (takes a while to import)
    from dss_provider.portal import Portal  # noqa: PLC0415
    from dss_provider.serving import ServicePublisher, offer_of  # noqa: PLC0415
    from dss_provider.ticket import work_on  # noqa: PLC0415

    token = _token(site.server, site.token)

    def connect() -> Portal:
        return Portal(site.server, token)

    try:
        first = Portal(site.server, token, patience_s=0)  # the address may be mistyped
        offer = offer_of(service, first, site.provider)
        first.close()
    except ServiceInvalid:
        raise
    except ClientError as error:
        unknown = isinstance(error, Refused) and error.status == HTTPStatus.UNAUTHORIZED
        text = f"{site.server} does not know this token, or not any more. {WHERE_FROM}"
        raise Explained(text if unknown else sentence(error, site.server)) from error
    work = partial(work_on, service=service, connect=connect, beat_s=beat_s, say=_say)
    return ServicePublisher(offer, connect, work, held_by(site.server, service), say), offer


def _try_for_real(
    service: ServiceFolder, site: _Site, inputs: dict[str, Path], output: Path | None
) -> int:
    from dss_provider.real_trial import SendArguments, try_for_real  # noqa: PLC0415  (takes a while to import)

    publisher, _ = _publisher(service, site, BEAT_S, lambda _: None)
    sent = SendArguments(
        service=service,
        server=site.server,
        token=_token(site.server, site.token),
        images=inputs,
        output=output,
    )
    return try_for_real(sent, publisher, _instance())


def _instance() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _token(server: str, given: str) -> str:
    """The token for programs that was given, or that is stored for ``server``; exits with a sentence if there is none."""
    token = given.strip() or Credentials(jar_of(server, None)).token()
    if not token.startswith(FOR_PROGRAMS):
        raise Explained(f"A token for programs is needed. {WHERE_FROM}")
    return token


def _tidy(service: ServiceFolder, *, and_own: bool = False) -> None:
    """Remove what killed publishers have left; with ``and_own`` what this process has, too."""
    if service.dispatch.provider is ProviderKind.CONTAINER:
        end_orphans(and_own=and_own)
    remove_orphans(and_own=and_own)


def _end(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _try(
    service: ServiceFolder,
    inputs: dict[str, Path],
    places: dict[str, Point],
    work: Path,
    output: Path | None,
) -> None:
    from dss_provider.trial import tried  # noqa: PLC0415  (takes a while to import)

    try:
        found = tried(service, inputs, places, work, _tell)
    except AlgorithmFailed as error:
        if error.detail:
            say(error.detail, error=True)
        say(str(error), error=True)
        raise click.exceptions.Exit(FAILED) from error
    except Withdrawn as error:
        raise click.exceptions.Exit(INTERRUPTED) from error
    say("\n".join(found.lines))
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for file in found.files:
            shutil.copy(file, output)
        say(f"The results are in {output}.")


def _tell(fraction: float, text: str) -> None:
    say(f"{100 * fraction:3.0f} % {text}", error=True)


def _say(text: str) -> None:
    say(text, error=True)
