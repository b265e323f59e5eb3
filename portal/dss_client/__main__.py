"""``dss``: send images to a Distributed Segmentation Service, as ITK-SNAP does."""

import importlib
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from dss_client.batch import Batch
from dss_client.batch_items import SUCCESS, Item, items_of
from dss_client.batch_journal import RESULTS
from dss_client.batch_screen import BatchScreen
from dss_client.cookie_jar import jar_name
from dss_client.doctor import PROBLEM, examine
from dss_client.error_sentences import sentence
from dss_client.errors import ClientError, ImageUnreadable, SignInRefused
from dss_client.itksnap import ItkSnap
from dss_client.outputs import check_file, check_folder
from dss_client.previews import list_series, preview
from dss_client.printable import printable
from dss_client.report import summary, write_report
from dss_client.screen import Screen
from dss_client.sending import POLL_S, Sent, chosen, fetch, send
from dss_client.shipment import Source
from dss_client.token_memory import TokenMemory
from dss_process.commands import add_version

INTERRUPTED = 130
"""The exit status that shells give for Ctrl-C."""

ENDS = (signal.SIGTERM, signal.SIGHUP)

main = typer.Typer(
    help="Send images to a segmentation service and fetch the results, as ITK-SNAP does.",
    epilog="Exit status: 0 success, 1 the ticket failed, 2 it could not be done at all.",
    no_args_is_help=True,
)
add_version(main, "dss")

Server = Annotated[
    str, typer.Option(envvar="DSS_SERVER", help="address of the portal, with http:// or https://")
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="DSS_TOKEN",
        help="one-time token of SERVER/token, used once, then the session is kept; or a token for programs",
    ),
]
Jar = Annotated[
    Path | None,
    typer.Option(help="file for the session; by default one for each server in your own folder"),
]
Sources = Annotated[
    list[Path],
    typer.Argument(
        help="one or more of: workspace (.itksnap), NIfTI, NRRD or MetaImage file; DICOM folder, file, DICOMDIR or zip archive"
    ),
]
OneImage = Annotated[
    Path,
    typer.Argument(
        help="NIfTI, NRRD or MetaImage file; DICOM folder, file, DICOMDIR or zip archive"
    ),
]
SeriesName = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="of a DICOM folder: a number that `dss images` shows, 3.2 for the second phase of series 3, "
        "or a SeriesInstanceUID  [default: the CT or MR with the most slices]",
        show_default=False,
    ),
]
TicketNumber = Annotated[int, typer.Argument(metavar="TICKET", min=1)]

HOME = "http://127.0.0.1:8080"
FOR_PROGRAMS = "dss_"
"""How the portal's long-lived tokens begin."""


@main.command("send")
def send_image(
    images: Sources,
    *,
    service: Annotated[
        str,
        typer.Option(help="its name, as `dss services` shows it, or its hash", show_default=False),
    ] = "",
    series: SeriesName = "",
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG=FILE", help="a further image of the service")
    ] = None,
    each: Annotated[
        bool,
        typer.Option(
            "--each", help="a ticket for each image and each DICOM series below the folders"
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be sent, and send nothing")
    ] = False,
    server: Server = HOME,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="folder for the results  [default: ticket_<number>; of several images dss-results]",
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="write the outcome to this file")] = None,
    delete: Annotated[
        bool, typer.Option("--delete/--keep", help="delete the ticket after the download")
    ] = False,
    token: Token = None,
    jar: Jar = None,
) -> None:
    """Send images, follow their tickets, download the results and measure the labels.

    Several images keep the quota full and end with tables, results.csv and volumes.csv; the same command again goes on
    where it was ended.
    """
    if len(images) > 1 or each:
        _refuse_for_several(series=series, json=json, delete=delete, tag=tag)
        items = _items(images, each=each)
        if dry_run:
            typer.echo(
                printable("\n".join(f"{i.name}  {i.source} {i.series}".rstrip() for i in items))
            )
            return
        _require_service(service)
        with _client(server, jar) as client:
            sign_in(client, token, jar_of(server, jar))
            _send_all(client, items, service, output or Path("dss-results"))
        return
    (image,) = images
    source = Source(path=image, series=series, tagged=_tagged(tag or []))
    screen = Screen()
    if dry_run:
        with _local(), screen:
            screen.stage("Reading the image")
            lines = preview(image, series, screen.shared)
        typer.echo(printable("\n".join(lines)))
        return
    _require_service(service)
    with _client(server, jar) as client, _interruptible(screen, server):
        check_folder(output)
        check_file(json)
        sign_in(client, token, jar_of(server, jar))
        with screen:
            sent = send(client, source, service, output, screen)
        if json is not None:
            write_report(sent, json)
        _tell(sent)
        if delete:
            client.delete(sent.ticket)


def _require_service(service: str) -> None:
    if not service:
        raise typer.BadParameter(
            "the name of a service is missing; dss services lists them", param_hint="--service"
        )


def _refuse_for_several(
    *, series: str, json: Path | None, delete: bool, tag: list[str] | None
) -> None:
    given = {"--series": series, "--json": json, "--delete": delete, "--tag": tag}
    for name, value in given.items():
        if value:
            raise typer.BadParameter("this is for one image alone", param_hint=name)


def _tagged(words: list[str]) -> dict[str, Path]:
    pairs = [word.partition("=") for word in words]
    if any(not (name and path) for name, _, path in pairs):
        raise typer.BadParameter("TAG=FILE is needed", param_hint="--tag")
    return {name: Path(path) for name, _, path in pairs}


def _items(images: list[Path], *, each: bool) -> list[Item]:
    with _local():
        for image in images:
            if not image.exists():
                raise ImageUnreadable(f"There is no file {image}.")
        return items_of(images, each=each)


def _send_all(client: ItkSnap, items: list[Item], service: str, output: Path) -> None:
    """Exit status 1 if one has not succeeded."""
    check_folder(output)
    with BatchScreen(len(items)) as screen:
        try:
            Batch(client, chosen(client, service), output, screen).run(items)
        except KeyboardInterrupt:
            typer.echo("What is submitted goes on; the same command again goes on, too.", err=True)
            raise typer.Exit(INTERRUPTED) from None
    done = sum(item.status == SUCCESS for item in items)
    typer.echo(f"{done} of {len(items)} succeeded; {output / RESULTS} has them all.")
    if done < len(items):
        raise typer.Exit(1)


@main.command("images")
def list_images(image: OneImage) -> None:
    """List the series of a DICOM folder, and what would become of each; nothing is sent."""
    with _local(), Screen() as screen:
        screen.stage("Looking through the files")
        lines = list_series(image, screen.shared)
    typer.echo(printable("\n".join(lines)))


@main.command()
def services(*, server: Server = HOME, token: Token = None, jar: Jar = None) -> None:
    """List what the server offers."""
    with _client(server, jar) as client:
        sign_in(client, token, jar_of(server, jar))
        for row in client.services():
            typer.echo(printable(f"{row.name}  {row.version}  {row.shortdesc}"))


@main.command()
def tickets(
    *,
    status: Annotated[
        str, typer.Option(help="only those: init, ready, claimed, success, failed, timeout")
    ] = "",
    service: Annotated[str, typer.Option(help="only those of this service")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
    server: Server = HOME,
    token: Token = None,
    jar: Jar = None,
) -> None:
    """List your tickets."""
    with _client(server, jar) as client:
        sign_in(client, token, jar_of(server, jar))
        rows = [
            row
            for row in client.tickets()
            if status in {"", row.status} and service in {"", row.service}
        ]
    if as_json:
        typer.echo(dumps([asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        typer.echo(printable(f"{row.id:>8}  {row.status:<8}  {row.service}"))


@main.command()
def retry(
    ticket: TicketNumber, *, server: Server = HOME, token: Token = None, jar: Jar = None
) -> None:
    """Submit a failed ticket once more, with the files that it has."""
    with _client(server, jar) as client:
        sign_in(client, token, jar_of(server, jar))
        client.retry(ticket)
    typer.echo(f"Ticket {ticket} is submitted again. To watch it: dss log {ticket} --follow")


@main.command("open")
def open_page(ticket: TicketNumber, *, server: Server = HOME) -> None:
    """Open a ticket's page in the browser."""
    address = f"{server.rstrip('/')}/tickets/{ticket}"
    typer.echo(address)
    typer.launch(address)


@main.command("doctor")
def examine_connection(*, server: Server = HOME, token: Token = None) -> None:
    """Say why a connection fails, step by step, as ITK-SNAP makes it.  Exit status 1 if something is wrong.

    A one-time token is used up.
    """
    wrong = False
    one_time, program = (token, "") if token and not token.startswith(FOR_PROGRAMS) else ("", token)
    for finding in examine(server, one_time or "", program or ""):
        wrong = wrong or finding.level == PROBLEM
        typer.echo(printable(f"{finding.level:<8} {finding.about}: {finding.text}", indent=9))
    if wrong:
        raise typer.Exit(1)


@main.command()
def log(
    ticket: TicketNumber,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="until the ticket ends")] = False,
    server: Server = HOME,
    token: Token = None,
    jar: Jar = None,
) -> None:
    """Show a ticket's log and state.  Exit status 1 if it has failed."""
    with _client(server, jar) as client:
        sign_in(client, token, jar_of(server, jar))
        with Screen() as screen:
            for detail in client.wait(ticket, every_s=POLL_S):
                screen.polled(detail)
                if not follow:
                    break
        typer.echo(printable(f"Ticket {ticket}: {detail.status}, {detail.progress:.0%}."))
    if detail.finished and detail.status != "success":
        raise typer.Exit(1)


@main.command()
def download(
    ticket: TicketNumber,
    folder: Path,
    *,
    server: Server = HOME,
    token: Token = None,
    jar: Jar = None,
) -> None:
    """Download a finished ticket's results and measure the labels."""
    with _client(server, jar) as client:
        check_folder(folder)
        sign_in(client, token, jar_of(server, jar))
        with Screen() as screen:
            results = fetch(client, ticket, folder, screen)
        typer.echo(printable("\n".join(summary(results))))


@main.command()
def delete(
    ticket: TicketNumber,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    server: Server = HOME,
    token: Token = None,
    jar: Jar = None,
) -> None:
    """Delete a ticket with its files; if it is being worked on, the work stops."""
    if not yes:
        typer.confirm(f"Delete ticket {ticket} with its files?", abort=True)
    with _client(server, jar) as client:
        sign_in(client, token, jar_of(server, jar))
        client.delete(ticket)


@main.command()
def login(*, server: Server = HOME, token: Token = None, jar: Jar = None) -> None:
    """Sign in with a one-time token; the session is kept for the other commands."""
    token = token or typer.prompt("Token", hide_input=True)
    with _client(server, jar) as client:
        email = client.login(token)
        TokenMemory(jar_of(server, jar)).remember(token)
    typer.echo(printable(f"Signed in as {email}."))


@main.command(
    "service",
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    },
)
def service_commands(context: typer.Context) -> None:
    """Offer an algorithm of your own as a service: new, check, test, publish."""
    try:
        commands = importlib.import_module("dss_provider.commands")
    except ImportError as error:
        lacking = (
            "dss service needs the extra `provider`: pip install 'itksnap-dss-middleware[provider]'"
        )
        typer.echo(f"{lacking} ({error.name} is not installed).", err=True)
        raise typer.Exit(2) from error
    commands.main(args=context.args, prog_name="dss service")


def sign_in(client: ItkSnap, token: str | None, jar: Path) -> None:
    """By the session in the jar if ``token`` opened it; else with the token; without one by asking.

    A token for programs is sent with each request, and opens no session.
    """
    if token and token.startswith(FOR_PROGRAMS):
        client.use_token(token)
        return
    memory = TokenMemory(jar)
    if token and not (memory.knows(token) and _has_session(client)):
        client.login(token)
        memory.remember(token)
    elif not token:
        _sign_in_without_token(client)


def _has_session(client: ItkSnap) -> bool:
    try:
        client.account()
    except SignInRefused:
        return False
    return True


def _sign_in_without_token(client: ItkSnap) -> None:
    try:
        client.account()
    except SignInRefused:
        if not sys.stdin.isatty():
            raise
        client.login(typer.prompt("Token", hide_input=True))


def jar_of(server: str, jar: Path | None) -> Path:
    """The file that ``--jar`` names, or the server's own in the user's folder."""
    return jar or Path(typer.get_app_dir("dss", roaming=False)) / jar_name(server)


@contextmanager
def _local() -> Iterator[None]:
    """Errors of the user's files become one sentence and exit status 2."""
    try:
        yield
    except ClientError as error:
        typer.echo(printable(str(error)), err=True)
        raise typer.Exit(2) from error
    except OSError as error:
        typer.echo(f"{error.filename or 'The disk'}: {error.strerror}.", err=True)
        raise typer.Exit(2) from error


@contextmanager
def _client(server: str, jar: Path | None) -> Iterator[ItkSnap]:
    """Whose errors become one sentence and exit status 2."""
    try:
        with ItkSnap(server, jar_of(server, jar)) as client:
            yield client
    except ClientError as error:
        typer.echo(printable(sentence(error, server)), err=True)
        raise typer.Exit(2) from error
    except OSError as error:  # the user's disk: the connection's errors are ClientErrors
        typer.echo(f"{error.filename or 'The disk'}: {error.strerror}.", err=True)
        raise typer.Exit(2) from error


@contextmanager
def _interruptible(screen: Screen, server: str) -> Iterator[None]:
    """Ctrl-C ends only the watching; say so.  The ends of a terminal or machine count like it."""
    earlier = {number: signal.signal(number, _interrupt) for number in ENDS}
    try:
        yield
    except KeyboardInterrupt:
        if screen.running:
            typer.echo(f"Ticket {screen.ticket} goes on. To watch it again:", err=True)
            typer.echo(f"  dss log {screen.ticket} --follow --server {server}", err=True)
            typer.echo(f"  dss download {screen.ticket} FOLDER --server {server}", err=True)
        _tell_what_is_left(screen, server)
        raise typer.Exit(INTERRUPTED) from None
    except (ClientError, OSError):
        _tell_what_is_left(screen, server)
        raise
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _tell_what_is_left(screen: Screen, server: str) -> None:
    """Of a ticket that could not be withdrawn either."""
    if screen.ticket and not screen.running:
        typer.echo(f"Ticket {screen.ticket} was not submitted. To remove it:", err=True)
        typer.echo(f"  dss delete {screen.ticket} --server {server}", err=True)


def _tell(sent: Sent) -> None:
    """The summary, or why there is none and exit status 1."""
    if sent.results is not None:
        typer.echo(printable("\n".join(summary(sent.results))))
        return
    typer.echo(f"Ticket {sent.ticket}: {sent.status}.", err=True)
    for line in sent.log:
        if line.category == "error":
            typer.echo(printable(f"  {line.message}", indent=2), err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    main()
