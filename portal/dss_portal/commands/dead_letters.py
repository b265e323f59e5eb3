"""The commands ``dss-portal dead-letters list``, ``requeue`` and ``discard``."""

from typing import Annotated

import typer

from dss_broker.rabbit import RabbitBroker
from dss_portal.commands.console import exit_with, with_broker
from dss_portal.datastores import datastore_of
from dss_portal.dead_letters import store as letters
from dss_portal.dead_letters.table import row as letter_row
from dss_portal.settings import Settings

dead_letters = typer.Typer(help="Messages that no program could handle.", no_args_is_help=True)


@dead_letters.command("list")
def list_dead_letters() -> None:
    """Print a line for each letter, the oldest first: id, type, ticket, reason, queue, process, tries, age, trace."""
    for letter in with_broker(lambda _, broker: letters.listed(broker)):
        typer.echo("\t".join(str(cell) for cell in letter_row(letter)))


LetterId = Annotated[str | None, typer.Argument(help="as listed", metavar="[ID]")]
AllLetters = Annotated[bool, typer.Option("--all", help="all messages instead of one")]


@dead_letters.command("requeue")
def requeue_dead_letters(letter_id: LetterId = None, *, all_of_them: AllLetters = False) -> None:
    """Requeue a message, or all: its ticket waits again from the beginning; a message without a
    ticket is sent again.
    """
    which = _which_letter(letter_id, all_of_them=all_of_them)

    async def requeue(settings: Settings, broker: RabbitBroker) -> letters.RequeueOutcome:
        return await letters.requeue(broker, datastore_of(settings), which)

    requeued = with_broker(requeue)
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
    """Delete a message, or all.  Asks first, except with --yes."""
    which = _which_letter(letter_id, all_of_them=all_of_them)
    if not yes:
        typer.confirm(f"Remove {which or 'all dead letters'} for good?", abort=True)
    count = with_broker(lambda _, broker: letters.discard(broker, which))
    typer.echo(f"{count} discarded.")


def _which_letter(letter_id: str | None, *, all_of_them: bool) -> str | None:
    """The id of the message that the options name; None for all messages.  Exits with status 2 unless there is either
    an id or ``--all``.
    """
    if (letter_id is None) is not all_of_them:
        raise exit_with("Name one message, or say --all.")
    return letter_id
