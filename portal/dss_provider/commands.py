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
from typing import TYPE_CHECKING, Annotated

import typer

from dss_broker.descriptor import TagType
from dss_broker.dispatch_section import IMAGE_TAGS, Modality
from dss_client.console import FOR_PROGRAMS, jar_of
from dss_client.credentials import Credentials
from dss_client.error_sentences import sentence
from dss_client.errors import ClientError, Refused
from dss_client.printable import printable
from dss_provider import making
from dss_provider.errors import AlgorithmFailed, ServiceInvalid, Withdrawn
from dss_provider.folder import ServiceFolder, load
from dss_provider.outcome import Point

if TYPE_CHECKING:
    from dss_provider.serving import Offer, ServicePublisher

main = typer.Typer(help="Offer an algorithm of your own as a service.", no_args_is_help=True)

WHERE_FROM = (
    "One with the scope provider begins with dss_ and goes into DSS_TOKEN, or is kept by dss login. "
    "A site admin makes it: dss-portal tokens create YOU@EXAMPLE.ORG --scope provider"
)
BEAT_S = 15.0
FolderName = Annotated[Path, typer.Argument(help="folder with service.json")]


@main.command()
def new(
    folder: Annotated[Path, typer.Argument(help="folder to make; its name becomes the service's")],
    *,
    modality: Annotated[Modality, typer.Option(help="what the image's values mean")] = Modality.ANY,
    run: Annotated[
        str,
        typer.Option(
            metavar="COMMAND", help='a program instead of a function: "prog {image} {labels}"'
        ),
    ] = "",
    container: Annotated[
        str, typer.Option(metavar="IMAGE", help="a container image, in which --run is run")
    ] = "",
) -> None:
    """Make a folder that works at once: service.json, algorithm.py, a test, a README."""
    try:
        made = making.make(folder, modality, making.command_from(run), container)
    except ServiceInvalid as error:
        raise _refused(str(error)) from error
    typer.echo(f"{folder} holds {', '.join(made)}.")
    begin = "look at" if run else "write"
    typer.echo(f"Next: {begin} {folder}/{made[-1]}, then dss service test {folder} IMAGE")


@main.command()
def check(folder: FolderName) -> None:
    """Say all that is wrong with a service.  Exit status 2 if something is."""
    found = _loaded(folder)
    typer.echo(f"{found.descriptor.name} {found.descriptor.version}: usable.")


@main.command("test")
def try_here(
    folder: FolderName,
    image: Annotated[
        Path, typer.Argument(help="NIfTI, NRRD or MetaImage file for the service's tag")
    ],
    *,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG=FILE", help="a further image of the service")
    ] = None,
    landmark: Annotated[
        list[str] | None, typer.Option(metavar="TAG=X,Y,Z", help="a landmark, in LPS, mm")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder for the results and a picture")
    ] = None,
    server: Annotated[
        str, typer.Option(help="send it to this portal as a real ticket, and serve that from here")
    ] = "",
    token: Annotated[
        str,
        typer.Option(
            envvar="DSS_TOKEN", help="for --server: one with the scopes provider and tickets"
        ),
    ] = "",
    provider: Annotated[
        str, typer.Option(help="for --server: your provider's name, if the service is not listed")
    ] = "",
) -> None:
    """Run the algorithm on an image as a ticket would, here, without a server or with one."""
    service = _loaded(folder)
    inputs = {service.dispatch.tag: image.resolve(), **_tagged(tag or [])}
    places = _places(landmark or [])
    for path in inputs.values():
        if not path.is_file():
            raise _refused(f"There is no file {path}.")
    _require_tags(service, inputs, places)
    if output is not None and output.exists() and any(output.iterdir()):
        raise _refused(f"{output} is not empty; name a new folder.")
    if server:
        if places:
            raise _refused(
                "--landmark is for a test without --server; `dss send` takes workspaces."
            )
        raise typer.Exit(_try_for_real(service, _Site(server, token, provider), inputs, output))
    with tempfile.TemporaryDirectory(prefix="dss-test-") as work:
        _try(service, inputs, places, Path(work), output)


@main.command()
def publish(
    folder: FolderName,
    *,
    server: Annotated[str, typer.Option(envvar="DSS_SERVER", help="address of the portal")],
    token: Annotated[
        str,
        typer.Option(
            envvar="DSS_TOKEN",
            help="a token for programs with the scope provider; else the one that dss login keeps",
        ),
    ] = "",
    provider: Annotated[
        str, typer.Option(help="your provider's name, if the service is not listed yet")
    ] = "",
    parallel: Annotated[int, typer.Option(min=1, max=64, help="tickets at a time")] = 1,
    tickets: Annotated[int | None, typer.Option(min=1, help="end after so many")] = None,
    beat_s: Annotated[
        float,
        typer.Option(
            envvar="DSS_BEAT_S", min=0.1, help="give a sign of life after so many seconds"
        ),
    ] = BEAT_S,
) -> None:
    """Serve a portal's tickets from this machine, over HTTPS alone.  Ctrl-C lets the current tickets finish."""
    service = _loaded(folder)
    publisher, offer = _publisher(service, _Site(server, token, provider), beat_s, _say)
    account = f"{service.descriptor.name} {service.descriptor.version} of {offer.provider}"
    _say(f"{server} gives tickets of {account} to this program; Ctrl-C ends it.")
    stop = _Stop(publisher.stop)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
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
    except ServiceInvalid as error:
        raise _refused(str(error)) from error
    except ClientError as error:
        unknown = isinstance(error, Refused) and error.status == HTTPStatus.UNAUTHORIZED
        text = f"{site.server} does not know this token, or not any more. {WHERE_FROM}"
        raise _refused(text if unknown else sentence(error, site.server)) from error
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
        raise _refused(f"A token for programs is needed. {WHERE_FROM}")
    return token


class _Stop:
    """Signal handler: the first signal lets the current tickets finish, the second one ends them."""

    def __init__(self, stop: making.Action) -> None:
        self._stop = stop
        self._told = False

    def __call__(self, _number: int, _frame: object) -> None:
        if self._told:
            os._exit(130)
        self._told = True
        _say(
            "No more tickets are claimed; the current ones are finished.  A second Ctrl-C ends at once; a restart continues them."
        )
        self._stop()


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
            typer.echo(printable(error.detail), err=True)
        raise _refused(str(error), 1) from error
    except Withdrawn as error:
        raise typer.Exit(130) from error
    typer.echo(printable("\n".join(found.lines)))
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for file in found.files:
            shutil.copy(file, output)
        typer.echo(f"The results are in {output}.")


def _tagged(words: list[str]) -> dict[str, Path]:
    found = {}
    for word in words:
        tag, equals, path = word.partition("=")
        if not equals:
            raise _refused(f"--tag {word}: TAG=FILE is needed.")
        found[tag] = Path(path).resolve()
    return found


def _places(words: list[str]) -> dict[str, Point]:
    from dss_provider.judging import point  # noqa: PLC0415  (takes a while to import)

    found = {}
    for word in words:
        tag, _, text = word.partition("=")
        try:
            found[tag] = point(text.split(","), f"The landmark '{tag}'")
        except AlgorithmFailed as error:
            raise _refused(f"--landmark {word}: {error}") from error
    return found


def _require_tags(
    service: ServiceFolder, inputs: dict[str, Path], places: dict[str, Point]
) -> None:
    """Exits with a sentence if a given tag is not one of the service's, or if a required one is missing."""
    for given, kinds, option in (
        (set(inputs), IMAGE_TAGS, "--tag TAG=FILE"),
        (set(places), (TagType.LANDMARK,), "--landmark TAG=X,Y,Z"),
    ):
        tags = {tag.name: tag.required for tag in service.descriptor.tags if tag.type in kinds}
        if unknown := sorted(given - set(tags)):
            known = ", ".join(tags) or "none"
            raise _refused(f"The service has no tag '{unknown[0]}' for {option}; it has {known}.")
        if missing := [name for name, required in tags.items() if required and name not in given]:
            raise _refused(f"The service requires '{missing[0]}': {option}.")


def _loaded(folder: Path) -> ServiceFolder:
    try:
        return load(folder)
    except ServiceInvalid as error:
        raise _refused(str(error)) from error


def _tell(fraction: float, text: str) -> None:
    typer.echo(printable(f"{100 * fraction:3.0f} % {text}"), err=True)


def _say(text: str) -> None:
    typer.echo(printable(text), err=True)


def _refused(text: str, status: int = 2) -> typer.Exit:
    typer.echo(printable(text), err=True)
    return typer.Exit(status)
