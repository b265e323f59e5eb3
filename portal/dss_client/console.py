"""Shared parts of the commands: options, signing in, and errors shown as one sentence."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dss_client.cookie_jar import jar_name
from dss_client.error_sentences import sentence
from dss_client.errors import ClientError, SignInRefused
from dss_client.itksnap import ItkSnap
from dss_client.printable import printable
from dss_client.token_memory import TokenMemory

INTERRUPTED = 130
"""The exit status that shells give for Ctrl-C."""

Server = Annotated[
    str, typer.Option(envvar="DSS_SERVER", help="address of the portal, with http:// or https://")
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="DSS_TOKEN",
        help="one-time token of SERVER/token, used once, then the session is kept; or a token for programs",
    ),
]
Jar = Annotated[
    Path | None,
    typer.Option(help="file for the session; by default one for each server in your own folder"),
]
TicketNumber = Annotated[int, typer.Argument(metavar="TICKET", min=1)]

HOME = "http://127.0.0.1:8080"
FOR_PROGRAMS = "dss_"
"""Prefix of the portal's long-lived tokens."""


def sign_in(client: ItkSnap, token: str | None, jar: Path) -> None:
    """Sign in: with the session in the jar if ``token`` opened it, otherwise with ``token``; ask the user if there is
    neither.

    A token for programs opens no session; it is sent with each request.
    """
    if token and token.startswith(FOR_PROGRAMS):
        client.use_token(token)
        return
    memory = TokenMemory(jar)
    if token and not (memory.knows(token) and _has_session(client)):
        client.login(token)
        memory.remember(token)
    elif not token:
        _sign_in_without_token(client)


def _has_session(client: ItkSnap) -> bool:
    try:
        client.account()
    except SignInRefused:
        return False
    return True


def _sign_in_without_token(client: ItkSnap) -> None:
    try:
        client.account()
    except SignInRefused:
        if not sys.stdin.isatty():
            raise
        client.login(typer.prompt("Token", hide_input=True))


def jar_of(server: str, jar: Path | None) -> Path:
    """The file that ``--jar`` names, or the server's own in the user's folder."""
    return jar or Path(typer.get_app_dir("dss", roaming=False)) / jar_name(server)


@contextmanager
def local_errors() -> Iterator[None]:
    """A context that shows errors about the user's files as one sentence and exits with status 2."""
    try:
        yield
    except ClientError as error:
        typer.echo(printable(str(error)), err=True)
        raise typer.Exit(2) from error
    except OSError as error:
        typer.echo(f"{error.filename or 'The disk'}: {error.strerror}.", err=True)
        raise typer.Exit(2) from error


@contextmanager
def connected(server: str, jar: Path | None) -> Iterator[ItkSnap]:
    """A client for ``server``.  Its errors are shown as one sentence, with exit status 2."""
    try:
        with ItkSnap(server, jar_of(server, jar)) as client:
            yield client
    except ClientError as error:
        typer.echo(printable(sentence(error, server)), err=True)
        raise typer.Exit(2) from error
    except OSError as error:  # the user's disk: the connection's errors are ClientErrors
        typer.echo(f"{error.filename or 'The disk'}: {error.strerror}.", err=True)
        raise typer.Exit(2) from error
