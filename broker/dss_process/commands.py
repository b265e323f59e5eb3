"""Options that the commands of all programs share."""

from typing import Annotated, Any

import typer

from dss_process.version import installed_version


def version_option(command: str) -> Any:
    """Typer's option ``--version`` of the program ``command``: prints a line such as ``dss-portal 0.1.0`` and exits."""

    def show(*, wanted: bool) -> None:
        if wanted:
            typer.echo(f"{command} {installed_version(command.removeprefix('dss-'))}")
            raise typer.Exit

    return typer.Option("--version", callback=show, is_eager=True, help="print the version")


def add_version(app: typer.Typer, command: str) -> None:
    """Add the option ``--version`` to the Typer program ``app``, which must have several commands and no callback."""

    @app.callback()
    def options(*, version: Annotated[bool, version_option(command)] = False) -> None:
        pass
