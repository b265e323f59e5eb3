"""``dss watch``, ``log`` and ``download``."""

from dataclasses import asdict
from json import dumps
from pathlib import Path

import click

from dss_client import options
from dss_client.attachments import download_attachments
from dss_client.command_group import FAILED
from dss_client.console import session
from dss_client.estimate_polling import EstimatePoller
from dss_client.itksnap import ItkSnap
from dss_client.output import say
from dss_client.records import Detail
from dss_client.result_paths import check_file, check_folder
from dss_client.screen import Screen
from dss_client.sending import POLL_S, download_progress, fetch
from dss_client.shared_folders import other_workspaces


@click.command()
@options.ticket
@options.connection
def watch(ticket: int, server: str, token: str | None, jar: Path | None) -> None:
    """Follow a ticket until it has ended: queue, progress, log.  Exit status 1 if it has ended without success."""
    with session(server, token, jar) as client:
        _follow(client, ticket, to_the_end=True)


@click.command()
@options.ticket
@click.option("--follow", "-f", is_flag=True, help="until the ticket ends")
@options.as_json
@options.connection
def log(
    *,
    ticket: int,
    follow: bool,
    as_json: bool,
    server: str,
    token: str | None,
    jar: Path | None,
) -> None:
    """Show a ticket's log and state.  Exit status 1 if the ticket has ended without success.

    With --json, print only the log lines, as one JSON list; with --follow too, print them when the ticket has ended.
    """
    with session(server, token, jar) as client:
        if as_json:
            _list(client, ticket, to_the_end=follow)
        else:
            _follow(client, ticket, to_the_end=follow)


def _list(client: ItkSnap, ticket: int, *, to_the_end: bool) -> None:
    detail = client.detail(ticket)
    lines = list(detail.log)
    if to_the_end and not detail.finished:
        for detail in client.wait(ticket, since=lines[-1].id if lines else 0, every_s=POLL_S):
            lines += detail.log
    click.echo(dumps([asdict(line) for line in lines], indent=2))
    _end(detail)


def _follow(client: ItkSnap, ticket: int, *, to_the_end: bool) -> None:
    detail = client.detail(ticket)  # without retries, because the number may be wrong
    with Screen() as screen:
        estimate = EstimatePoller(client, ticket)
        screen.polled(detail)
        since = detail.log[-1].id if detail.log else 0
        if to_the_end and not detail.finished:
            for detail in client.wait(ticket, since=since, every_s=POLL_S):
                screen.expected(estimate.after(detail))
                screen.polled(detail)
    say(f"Ticket {ticket}: {detail.status}, {detail.progress:.0%}.")
    _end(detail)


def _end(detail: Detail) -> None:
    """Exit with the status FAILED if the ticket has ended without success."""
    if detail.finished and detail.status != "success":
        raise click.exceptions.Exit(FAILED)


@click.command()
@options.ticket
@click.argument(
    "target",
    type=options.NamedPath(),
    help="folder for the files, or a name that ends with .zip for one archive of them",
)
@click.option(
    "--attachments",
    is_flag=True,
    help="the files attached to the log (tables, reports, pictures), too, into TARGET/attachments, or attachments_NUMBER beside other tickets' results",
)
@options.connection
def download(
    *,
    ticket: int,
    target: Path,
    attachments: bool,
    server: str,
    token: str | None,
    jar: Path | None,
) -> None:
    """Download a finished ticket's results: files into a folder, whose labels are measured, or one archive.

    Files are compared with the server's checksums, an archive with the checksums in it.
    """
    if attachments and target.suffix.lower() == ".zip":
        raise click.UsageError("--attachments needs a folder; the archive has the results alone.")
    with session(server, token, jar) as client, Screen() as screen:
        if target.suffix.lower() == ".zip":
            check_file(target)
            _archive(client, ticket, target, screen)
            return
        check_folder(target)
        results = fetch(client, ticket, target, screen)
        attached = [_attached(client, ticket, target, screen)] if attachments else []
    from dss_client.report import summary  # noqa: PLC0415  (beside its only use)

    say("\n".join([*summary(results), *attached]))


def _attached(client: ItkSnap, ticket: int, target: Path, screen: Screen) -> str:
    """Download the attachments of the ticket's log into a folder in ``target``: ``attachments``, or, if ``target`` has
    results of other tickets, whose attachments may have the same names, one with the ticket's number.  Returns a line
    to print: their names and the folder, or that there are none.
    """
    is_shared = any(other_workspaces(ticket, target))
    folder = target / (f"attachments_{ticket:08d}" if is_shared else "attachments")
    found = client.run(download_attachments(ticket, folder, screen.moved))
    if not found:
        return "No file is attached to the log."
    return f"Attachments: {', '.join(path.name for path in found)} in {folder.resolve()}"


def _archive(client: ItkSnap, ticket: int, target: Path, screen: Screen) -> None:
    client.download_archive(ticket, target, download_progress(screen))
    screen.note(f"Archive of the results: {target.resolve()}")
