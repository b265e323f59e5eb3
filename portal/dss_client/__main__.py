"""``dss``: send images to a Distributed Segmentation Service, as ITK-SNAP does."""

import importlib
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from dss_client.console import (
    FOR_PROGRAMS,
    HOME,
    Jar,
    Server,
    TicketNumber,
    Token,
    connected,
    jar_of,
    local_errors,
    sign_in,
)
from dss_client.doctor import PROBLEM, examine
from dss_client.outputs import check_folder
from dss_client.previews import list_series
from dss_client.printable import printable
from dss_client.report import summary
from dss_client.screen import Screen
from dss_client.send_command import send_image
from dss_client.sending import POLL_S, fetch
from dss_client.token_memory import TokenMemory
from dss_process.commands import add_version

main = typer.Typer(
    help="Send images to a segmentation service and fetch the results, as ITK-SNAP does.",
    epilog="Exit status: 0 success, 1 the ticket failed, 2 it could not be done at all.",
    no_args_is_help=True,
)
add_version(main, "dss")
main.command("send")(send_image)

OneImage = Annotated[
    Path,
    typer.Argument(
        help="NIfTI, NRRD or MetaImage file; DICOM folder, file, DICOMDIR or zip archive"
    ),
]


@main.command("images")
def list_images(image: OneImage) -> None:
    """List the series of a DICOM folder, and what would become of each; nothing is sent."""
    with local_errors(), Screen() as screen:
        screen.stage("Looking through the files")
        lines = list_series(image, screen.shared)
    typer.echo(printable("\n".join(lines)))


@main.command()
def services(*, server: Server = HOME, token: Token = None, jar: Jar = None) -> None:
    """List what the server offers."""
    with connected(server, jar) as client:
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
    with connected(server, jar) as client:
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
    with connected(server, jar) as client:
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
    with connected(server, jar) as client:
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
    with connected(server, jar) as client:
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
    with connected(server, jar) as client:
        sign_in(client, token, jar_of(server, jar))
        client.delete(ticket)


@main.command()
def login(*, server: Server = HOME, token: Token = None, jar: Jar = None) -> None:
    """Sign in with a one-time token; the session is kept for the other commands."""
    token = token or typer.prompt("Token", hide_input=True)
    with connected(server, jar) as client:
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


if __name__ == "__main__":
    main()
