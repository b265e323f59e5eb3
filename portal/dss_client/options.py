"""The options that commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

HOME = "http://127.0.0.1:8080"
LARGEST = 2**31 - 1
"""Largest ticket number: ticket numbers are 32-bit integers."""


class NamedPath(click.Path):
    """The type of an option that is a path.  An empty text is an error, because Python would take it for the current
    folder.
    """

    def __init__(self) -> None:
        super().__init__(
            path_type=Path, readable=False
        )  # the code that reads the file reports errors

    def convert(
        self,
        value: "str | os.PathLike[str]",
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> "str | bytes | os.PathLike[str]":
        if not str(value).strip():
            self.fail("a name of a file or folder is needed, and it is empty", param, ctx)
        return super().convert(value, param, ctx)


class TicketNumber(click.ParamType[int]):
    """The type of an argument that is the number of a ticket, as ``dss tickets`` shows it."""

    name = "number"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value)
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= LARGEST):
            self.fail(f"'{text}' is no number of a ticket; dss tickets lists yours", param, ctx)
        return int(text)


server = click.option(
    "--server",
    envvar="DSS_SERVER",
    default=HOME,
    show_default=True,
    show_envvar=True,
    help="address of the portal, with http:// or https://",
)
token = click.option(
    "--token",
    envvar="DSS_TOKEN",
    show_envvar=True,
    help="one-time token of SERVER/token, used once, then the session is kept; or a token for programs",
)
jar = click.option(
    "--jar",
    type=NamedPath(),
    help="file for the session; by default one for each server in your own folder",
)
ticket = click.argument("ticket", type=TicketNumber(), metavar="TICKET", help="number of a ticket")
as_json = click.option("--json", "as_json", is_flag=True, help="for programs")
yes = click.option("--yes", "-y", is_flag=True, help="do not ask")


def connection(command: F) -> F:
    """Add the options for server, token and session to ``command``."""
    return server(token(jar(command)))
