"""``make chaos``: hurt a whole site for some minutes, and see whether any ticket was lost or done twice."""

import tempfile
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chaos import notices
from chaos import sabotage as sabotages
from chaos.report import slow_recoveries, table
from chaos.run import Plan, run
from conftest import SYSROOT
from support import commands
from support.stacks import leave_nothing_running


class Datastore(StrEnum):
    FOLDER = "folder"
    S3 = "s3"


def main(
    *,
    tickets: Annotated[int, typer.Option(help="How many are sent.", min=1)] = 500,
    users: Annotated[int, typer.Option(help="By how many users at a time.", min=1)] = 20,
    faults: Annotated[int, typer.Option(help="How many at most.", min=0)] = 40,
    pause: Annotated[
        float, typer.Option(help="Mean seconds from recovery to the next fault.", min=0)
    ] = 3.0,
    seed: Annotated[int, typer.Option(help="Another one, other faults.")] = 1,
    kind: Annotated[list[str] | None, typer.Option(help="Only these faults.")] = None,
    outage: Annotated[
        float,
        typer.Option(
            help="First, all portals, RabbitMQ and PostgreSQL are away for so many seconds each.",
            min=0,
        ),
    ] = 0.0,
    datastore: Annotated[
        Datastore, typer.Option(help="In a folder, or in a bucket over links that fail.")
    ] = Datastore.FOLDER,
    sabotage: Annotated[str, typer.Option(help=", ".join(sabotages.HOW))] = "",
    keep: Annotated[Path | None, typer.Option(help="A new folder for logs and files.")] = None,
) -> None:
    """Exit status 1 if anything was lost, stuck, doubled or left behind."""
    leave_nothing_running()
    plan = Plan(
        seed=seed,
        users=users,
        tickets=tickets,
        faults=faults,
        pause_s=pause,
        outage_s=outage,
        in_bucket=datastore is Datastore.S3,
        sabotage=sabotage,
    )
    plan = replace(plan, **sabotages.WEAKNESSES.get(sabotage, {}))
    if kind:
        plan = replace(plan, kinds=tuple(kind))
    with tempfile.TemporaryDirectory(prefix="dss-chaos-") as name:
        folder = keep or Path(name) / "run"
        folder.mkdir()
        outcome = run(plan, folder, SYSROOT, typer.echo)
    outcome.violations += slow_recoveries(outcome.faults)
    if (evidence := outcome.evidence) is not None:
        outcome.violations += notices.late(evidence.tickets.values(), evidence.deliveries)
    typer.echo(table(outcome))
    raise typer.Exit(1 if outcome.violations else 0)


if __name__ == "__main__":
    commands.run(main)
