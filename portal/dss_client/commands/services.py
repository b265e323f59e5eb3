"""Commands that need no ticket: services, a preview of images, doctor, the user's own service, completion."""

from dataclasses import asdict
from json import dumps
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from dss_client import options
from dss_client.command_group import FAILED, CommandGroup
from dss_client.console import local_errors, session, usable_token
from dss_client.credentials import LONG_LIVED_PREFIX
from dss_client.extras import command_for, installed
from dss_client.output import say
from dss_client.printable import on_one_line


@click.command()
@options.as_json
@options.connection
def services(*, as_json: bool, server: str, token: str | None, jar: Path | None) -> None:
    """List the services that the server offers."""
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
@options.as_json
def list_images(*, image: Path, as_json: bool) -> None:
    """List the series of a DICOM folder, and say whether each would be accepted; nothing is sent.  For other images,
    show their sizes.
    """
    from dss_client.previews import found_in, list_series  # noqa: PLC0415  (needs the extra ``images``)
    from dss_client.screen import Screen  # noqa: PLC0415

    if as_json:
        with local_errors():
            rows = found_in(image, lambda _: None)
        click.echo(dumps([asdict(row) for row in rows], indent=2))
        return
    with local_errors(), Screen() as screen:
        screen.stage("Looking through the files")
        lines = list_series(image, screen.show_share)
    say("\n".join(lines))


@click.command()
@options.server
@options.token
def doctor(server: str, token: str | None) -> None:
    """Check a connection step by step, as ITK-SNAP makes it, and say why it fails.  Exit status 1 if something is
    wrong.

    A one-time token is used up.
    """
    from dss_client.doctor import PROBLEM, examine  # noqa: PLC0415  (slow to import)

    wrong, token = False, usable_token(token or "")
    one_time, program = ("", token) if token.startswith(LONG_LIVED_PREFIX) else (token, "")
    for finding in examine(server, one_time, program):
        wrong = wrong or finding.level == PROBLEM
        say(f"{finding.level:<8} {finding.about}: {finding.text}", indent=9)
    if wrong:
        raise click.exceptions.Exit(FAILED)


class _OwnService(CommandGroup):
    """The group ``dss service``, whose commands are in ``dss_provider`` and need the extra ``provider``."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if not installed("provider"):
            raise click.ClickException(
                f"dss service needs the extra `provider`: {command_for('provider')}."
            )
        return super().get_command(ctx, cmd_name)


_OWN = "dss_provider.commands"


@click.command(
    "service",
    cls=_OwnService,
    places={
        "new": (f"{_OWN}.folders:new", "Make a folder that works at once."),
        "check": (f"{_OWN}.folders:check", "Say all that is wrong with a service."),
        "test": (f"{_OWN}.trial:try_here", "Run the algorithm on an image, as a ticket would."),
        "publish": (f"{_OWN}.publish:publish", "Serve a portal's tickets from this machine."),
    },
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.pass_context
def own_service(context: click.Context) -> None:
    """Offer an algorithm of your own as a service."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


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
