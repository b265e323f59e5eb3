"""Commands that need no ticket: services, a preview of images, doctor, the user's own service, completion."""

import importlib
from dataclasses import asdict
from json import dumps
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from dss_client import options
from dss_client.console import FOR_PROGRAMS, local_errors, session, usable_token
from dss_client.extras import command_for, lacking
from dss_client.output import say
from dss_client.printable import on_one_line
from dss_client.program import FAILED, IMPOSSIBLE


@click.command()
@options.as_json
@options.connection
def services(*, as_json: bool, server: str, token: str | None, jar: Path | None) -> None:
    """List what the server offers."""
    with session(server, token, jar) as client:
        rows = client.services()
        estimates = client.service_estimates()
    if as_json:
        found = [asdict(row) | {"estimate": estimates.get(row.githash, "")} for row in rows]
        click.echo(dumps(found, indent=2))
        return
    for row in rows:
        say(on_one_line(f"{row.name}  {row.version}  {row.shortdesc}"))
        if row.githash in estimates:
            say(on_one_line(f"    {estimates[row.githash]}"))


@click.command("images")
@click.argument(
    "image",
    type=options.NamedPath(),
    help="NIfTI, NRRD or MetaImage file; DICOM folder, file, DICOMDIR or zip archive",
)
def list_images(image: Path) -> None:
    """List the series of a DICOM folder, and what would become of each; nothing is sent."""
    from dss_client.previews import list_series  # noqa: PLC0415  (needs the extra ``images``)
    from dss_client.screen import Screen  # noqa: PLC0415

    with local_errors(), Screen() as screen:
        screen.stage("Looking through the files")
        lines = list_series(image, screen.shared)
    say("\n".join(lines))


@click.command()
@options.server
@options.token
def doctor(server: str, token: str | None) -> None:
    """Say why a connection fails, step by step, as ITK-SNAP makes it.  Exit status 1 if something is wrong.

    A one-time token is used up.
    """
    from dss_client.doctor import PROBLEM, examine  # noqa: PLC0415  (slow to import)

    wrong, token = False, usable_token(token or "")
    one_time, program = ("", token) if token.startswith(FOR_PROGRAMS) else (token, "")
    for finding in examine(server, one_time, program):
        wrong = wrong or finding.level == PROBLEM
        say(f"{finding.level:<8} {finding.about}: {finding.text}", indent=9)
    if wrong:
        raise click.exceptions.Exit(FAILED)


@click.command(
    "service",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND ...")
def own_service(words: tuple[str, ...]) -> None:
    """Offer an algorithm of your own as a service: new, check, test, publish."""
    try:
        commands = importlib.import_module("dss_provider.commands")
    except ImportError as error:
        if lacking(error) is None and (error.name or "").startswith("dss_"):
            raise
        say(
            f"dss service needs the extra `provider`: {command_for('provider')} ({error.name} is not installed).",
            error=True,
        )
        raise click.exceptions.Exit(IMPOSSIBLE) from error
    commands.main(args=list(words), prog_name="dss service")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), help="the shell that you use")
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in a shell.

    bash: dss completion bash > ~/.local/share/bash-completion/completions/dss
    """
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(context.find_root().command, {}, "dss", "_DSS_COMPLETE").source())
