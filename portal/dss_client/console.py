"""What the commands of ``dss`` share: signing in, and errors that name the server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from dss_client.command_group import FAILED
from dss_client.cookie_jar import jar_name
from dss_client.credentials import LONG_LIVED_PREFIX, Credentials
from dss_client.error_sentences import of_disk, sentence, unknown_one_time_token
from dss_client.errors import ClientError, SignInRefused
from dss_client.itksnap import ItkSnap
from dss_client.output import OutputLost, say
from dss_client.token_memory import TokenMemory

TYPED = "that was typed"


class ExplainedError(ClientError):
    """An error whose text already is a sentence for the user, so that ``connected`` raises it unchanged."""


def sign_in(client: ItkSnap, token: str | None, jar: Path) -> None:
    """Sign in with ``token`` or, without it, with what ``dss login`` has stored.  If there is neither, ask the user for
    a token; raises SignInRefused if standard input is no terminal.

    A token for programs opens no session and is sent with each request.  A one-time token is exchanged for a session
    once.
    """
    given = option_of_token() if token else "that dss login keeps"
    token = usable_token(token or Credentials(jar).token())
    if token.startswith(LONG_LIVED_PREFIX):
        client.use_token(token)
        return
    memory = TokenMemory(jar)
    if token and not (memory.knows(token) and _has_session(client)):
        exchange(client, token, given)
        memory.remember(token)
    elif not token:
        _sign_in_without_token(client)


def exchange(client: ItkSnap, token: str, given: str) -> str:
    """Exchange a one-time token for a session, and return the user's e-mail address.  Raises ExplainedError if the token
    is refused; ``given`` says where it is from, such as "of DSS_TOKEN".
    """
    try:
        return client.login(token)
    except SignInRefused as error:
        raise ExplainedError(unknown_one_time_token(client.server, given)) from error


def option_of_token() -> str:
    """Where the option ``--token`` of the current command has its value from, for ``exchange``."""
    source = click.get_current_context().get_parameter_source("token")
    return "of DSS_TOKEN" if source is click.core.ParameterSource.ENVIRONMENT else "of --token"


def usable_token(token: str) -> str:
    """``token`` without blanks around it.  Raises ExplainedError if it cannot be a portal's token."""
    bare = token.strip()
    if not (bare.isascii() and bare.isprintable() and " " not in bare):
        raise ExplainedError("The token has characters that no token has; copy it again.")
    return bare


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
        exchange(client, usable_token(read_token()), TYPED)


def read_token() -> str:
    """A token that the user types without echo, or the first line of standard input if that is no terminal.  Raises
    ClientError if it is empty.
    """
    if sys.stdin.isatty():
        text = str(click.prompt("Token", hide_input=True, err=True))
    else:
        text = sys.stdin.readline()
    if not text.strip():
        raise ClientError("A token is needed: by --token, DSS_TOKEN or the standard input.")
    return text.strip()


def jar_of(server: str, jar: Path | None) -> Path:
    """The cookie file: the one that ``--jar`` names, or the server's own file in the user's folder."""
    return jar or Path(click.get_app_dir("dss", roaming=False)) / jar_name(server)


def require_confirmation(question: str, *, yes: bool) -> None:
    """Return if the user confirms or has given ``--yes``; otherwise exit with status 1.  Raises ExplainedError if standard
    input is no terminal and has no answer.
    """
    try:
        if yes or click.confirm(question, err=True):
            return
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise ExplainedError("\nNobody is there to answer; --yes does.") from None
    say("Nothing was done.", error=True)
    raise click.exceptions.Exit(FAILED)


@contextmanager
def local_errors() -> Iterator[None]:
    """A context that raises ExplainedError instead of an OSError without a file name.  Other errors pass unchanged."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise ExplainedError(of_disk(error)) from error


@contextmanager
def connected(server: str, jar: Path | None) -> Iterator[ItkSnap]:
    """A context with a client for ``server`` that is not signed in yet.  A ClientError other than OutputLost, and an
    OSError without a file name, are raised as ExplainedError, with a sentence for the user.
    """
    client: ItkSnap | None = None
    try:
        with local_errors(), ItkSnap(server, jar_of(server, jar)) as client:
            yield client
    except (OutputLost, ExplainedError):
        raise
    except ClientError as error:
        for_programs = client is not None and client.is_program
        raise ExplainedError(sentence(error, server, for_programs=for_programs)) from error


@contextmanager
def session(server: str, token: str | None, jar: Path | None) -> Iterator[ItkSnap]:
    """A context with a client that is signed in.  ClientErrors, and OSErrors without a file name, are raised as
    ExplainedError, with a sentence for the user.
    """
    with connected(server, jar) as client:
        sign_in(client, token, jar_of(server, jar))
        yield client
