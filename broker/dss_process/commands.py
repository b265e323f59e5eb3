"""Options that the commands of all programs share."""

from typing import Annotated

import typer

from dss_process.version import installed_version


def add_version(app: typer.Typer, command: str) -> None:
    """Add the option ``--version`` to ``app``, which must have no callback: it prints ``dss-portal 0.1.0`` and exits."""

    def show(*, wanted: bool) -> None:
        if wanted:
            typer.echo(f"{command} {installed_version(command.removeprefix('dss-'))}")
            raise typer.Exit

    @app.callback()
    def options(
        *,
        version: Annotated[
            bool, typer.Option("--version", callback=show, is_eager=True, help="print the version")
        ] = False,
    ) -> None:
        pass
