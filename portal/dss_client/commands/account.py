"""``dss login`` and ``dss logout``."""

import sys
import webbrowser
from contextlib import suppress
from pathlib import Path

import click

from dss_client import options
from dss_client.console import FOR_PROGRAMS, asked_token, connected, jar_of, usable_token
from dss_client.cookie_jar import forget_jar
from dss_client.credentials import Credentials
from dss_client.errors import ClientError
from dss_client.output import say
from dss_client.token_memory import TokenMemory


@click.command()
@click.option("--browser/--no-browser", default=True, help="open the page that gives a token")
@options.connection
def login(*, browser: bool, server: str, token: str | None, jar: Path | None) -> None:
    """Sign in; the other commands then need no token.

    SERVER/token gives a one-time token, by the site's own sign-in; it opens a session, which is kept in a file that only you
    can read. A token for programs is kept in the system's keyring if the extra `keyring` is installed, else in such a file.
    """
    place = jar_of(server, jar)
    if not token:
        page = f"{server.rstrip('/')}/token"
        say(f"Get a token at {page} and paste it here.", error=True)
        if browser and sys.stdin.isatty():
            webbrowser.open(page)
        token = asked_token()
    token = usable_token(token)
    with connected(server, jar) as client:
        if token.startswith(FOR_PROGRAMS):
            client.use_token(token)
            email = client.account()
            kept = Credentials(place).keep(token)
            say(f"Signed in as {email}. The token is kept in {kept}.")
            return
        email = client.login(token)
        Credentials(place).forget()
        TokenMemory(place).remember(token)
    say(f"Signed in as {email}.")


@click.command()
@options.server
@options.jar
def logout(server: str, jar: Path | None) -> None:
    """Forget the session and the token of a server, and end the session there."""
    place = jar_of(server, jar)
    if place.exists():
        with suppress(ClientError), connected(server, jar) as client:
            client.logout()
    had = [Credentials(place).forget(), TokenMemory(place).forget(), forget_jar(place)]
    say(f"Signed out of {server}." if any(had) else f"You were not signed in at {server}.")
