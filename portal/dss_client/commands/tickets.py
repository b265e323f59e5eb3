"""``dss tickets``, ``show``, ``retry``, ``delete`` and ``open``."""

import shutil
import subprocess
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from json import dumps
from pathlib import Path

import click

from dss_client import options
from dss_client.console import ExplainedError, require_confirmation, session
from dss_client.error_sentences import is_missing, not_retriable
from dss_client.errors import ClientError, Refused
from dss_client.itksnap import ItkSnap
from dss_client.moments import local, moment_in
from dss_client.output import say
from dss_client.printable import on_one_line
from dss_client.proxies import require_address
from dss_client.records import Detail, Summary
from dss_client.result_paths import check_folder
from dss_client.sending import downloaded

STATUSES = ("init", "ready", "claimed", "success", "failed", "timeout")
NONE = "You have no tickets yet; dss send makes one."
PROGRAM = "itksnap"
"""Name of ITK-SNAP's executable, as its packages install it."""


class Since(click.ParamType[datetime]):
    """The type of an option that is a date, a date with time, or a time span before now: 7d, 12h, 30m."""

    name = "date"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        found = moment_in(str(value))
        if found is None:
            self.fail(
                "a date such as 2026-11-29, or how long ago such as 7d or 12h, is needed",
                param,
                ctx,
            )
        return found


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="only those in this state")
@click.option("--service", help="only those of this service")
@click.option(
    "--since", type=Since(), help="only those made since a date, or since so long ago: 7d, 12h"
)
@options.as_json
@options.connection
def tickets(
    *,
    status: str | None,
    service: str | None,
    since: datetime | None,
    as_json: bool,
    server: str,
    token: str | None,
    jar: Path | None,
) -> None:
    """List your tickets: number, state, when it was made, service and name."""
    with session(server, token, jar) as client:
        rows = [
            row
            for row in client.summaries()
            if status in {None, row.status} and service in {None, row.service} and _made(row, since)
        ]
    if as_json:
        click.echo(dumps([asdict(row) for row in rows], indent=2))
        return
    for line in _table(rows):
        say(line)
    if not rows:
        is_chosen = status or service or since
        say("No ticket of yours is like that." if is_chosen else NONE, error=True)


def _made(row: Summary, since: datetime | None) -> bool:
    """True if the ticket was made at ``since`` or later, or if the time of its creation is not known."""
    return since is None or not row.created_at or datetime.fromisoformat(row.created_at) >= since


def _table(rows: Sequence[Summary]) -> list[str]:
    width = max((len(row.service) for row in rows), default=0)
    return [
        on_one_line(
            f"{row.id:>8}  {row.status:<8}  {local(row.created_at):<16}  {row.service:<{width}}  {row.title}"
        ).rstrip()
        for row in rows
    ]


@click.command()
@options.ticket
@options.as_json
@options.connection
def show(*, ticket: int, as_json: bool, server: str, token: str | None, jar: Path | None) -> None:
    """Show one ticket: state, time left, times, files, log."""
    with session(server, token, jar) as client:
        detail = client.detail(ticket)
        row = next((row for row in client.summaries() if row.id == ticket), None)
        names = [name for _, name in client.files(ticket)] if detail.status == "success" else []
        estimate = "" if detail.finished else client.ticket_estimate(ticket)
    if as_json:
        known = asdict(row) if row else {"id": ticket}
        more = {"results": names, "estimate": estimate}
        click.echo(dumps({**known, **asdict(detail), **more}, indent=2))
        return
    for line in _shown(ticket, detail, row, names, estimate):
        say(line, indent=10)


def _shown(
    ticket: int, detail: Detail, row: Summary | None, names: Sequence[str], estimate: str
) -> list[str]:
    service = f"{row.service} {row.version}".strip() if row else ""
    facts = {
        "Ticket": f"{ticket}  {row.title if row else ''}".rstrip(),
        "Service": service,
        "State": f"{detail.status}, {detail.progress:.0%}",
        "Queue": f"number {detail.queue_position}" if detail.queue_position is not None else "",
        "Estimate": estimate,
        "Made": local(row.created_at) if row else "",
        "Ended": local(row.ended_at) if row else "",
        "Verdict": row.verdict if row else "",
        "Results": ", ".join(names),
    }
    lines = [f"{name + ':':<9} {on_one_line(text)}" for name, text in facts.items() if text]
    return [*lines, *(f"{line.category:<9} {line.message}" for line in detail.log)]


@click.command()
@options.ticket
@options.connection
def retry(ticket: int, server: str, token: str | None, jar: Path | None) -> None:
    """Submit a failed or timed-out ticket once more, with its files."""
    with session(server, token, jar) as client:
        try:
            client.retry(ticket)
        except Refused as error:
            raise _retry_refused(client, ticket, error) from error
    say(f"Ticket {ticket} is submitted again. To follow it: dss watch {ticket}")


def _retry_refused(client: ItkSnap, ticket: int, error: Refused) -> ClientError:
    """The error to show if the server refuses a retry: ``error``, or a sentence about the ticket's state, because the
    server says "not found" also for a ticket in the wrong state.  Raises Refused if the user has no such ticket.
    """
    text = not_retriable(ticket, client.detail(ticket).status) if is_missing(error) else ""
    return ExplainedError(text) if text else error


@click.command()
@options.ticket
@options.yes
@options.connection
def delete(*, ticket: int, yes: bool, server: str, token: str | None, jar: Path | None) -> None:
    """Delete a ticket with its files; if it is being worked on, the work stops."""
    with session(server, token, jar) as client:
        if not yes:
            client.detail(ticket)  # raises Refused if the user has no such ticket
        require_confirmation(f"Delete ticket {ticket} with its files?", yes=yes)
        client.delete(ticket)
    say(f"Ticket {ticket} is deleted.")


@click.command("open")
@options.ticket
@click.option("--page", is_flag=True, help="the page in the browser, even if ITK-SNAP is installed")
@options.connection
def open_ticket(
    *, ticket: int, page: bool, server: str, token: str | None, jar: Path | None
) -> None:
    """Open a ticket's result in ITK-SNAP if ITK-SNAP is installed, else the ticket's page in the browser.

    The results are downloaded to the folder ticket_NUMBER (eight digits) and compared with the server's checksums.
    """
    program = None if page else shutil.which(PROGRAM)
    if program is None:
        require_address(server)
        with session(server, token, jar) as client:
            client.detail(ticket)  # raises Refused if the user has no such ticket
        address = f"{server.rstrip('/')}/tickets/{ticket}"
        say(address)
        webbrowser.open(address)
        return
    with session(server, token, jar) as client:
        folder = Path(f"ticket_{ticket:08d}")
        check_folder(folder)
        files = downloaded(client, ticket, folder)
    workspaces = [path for path in files if path.suffix == ".itksnap"]
    if not workspaces:
        raise ExplainedError(f"Ticket {ticket} has no workspace that ITK-SNAP could open.")
    say(f"ITK-SNAP opens {workspaces[0]}.")
    subprocess.Popen([program, "-w", str(workspaces[0])], start_new_session=True)
