"""What the commands of all programs have in common."""

from typing import Annotated

import typer

from dss_process.version import installed_version


def add_version(app: typer.Typer, command: str) -> None:
    """Give ``app``, which has no callback of its own, ``--version``: it prints ``dss-portal 0.1.0`` and ends."""

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
