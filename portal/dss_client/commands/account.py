"""``dss login`` and ``dss logout``."""

import os
import sys
import webbrowser
from pathlib import Path

import click

from dss_client import options
from dss_client.browser_sign_in import NotAllowed, NotOffered, SignInPrompt, sign_in
from dss_client.command_group import FAILED
from dss_client.console import (
    TYPED,
    connected,
    exchange,
    jar_of,
    option_of_token,
    read_token,
    usable_token,
)
from dss_client.cookie_jar import CookieJar, forget_jar
from dss_client.credentials import LONG_LIVED_PREFIX, Credentials
from dss_client.earlier_sign_in import EarlierSignIn
from dss_client.itksnap import ItkSnap
from dss_client.output import say
from dss_client.rest import RestClient
from dss_client.token_memory import TokenMemory

BROWSER = (
    "by the browser of this machine, or by a browser anywhere, where you type a code "
    " [default: as it fits, on sites with a sign-in service]"
)


@click.command()
@click.option("--browser/--no-browser", default=None, help=BROWSER)
@click.option(
    "--provider", is_flag=True, help="for `dss service publish`, too; only with a browser"
)
@options.connection
def login(
    *, browser: bool | None, provider: bool, server: str, token: str | None, jar: Path | None
) -> None:
    """Sign in; the other commands then need no token.

    On a site with a sign-in service you sign in on its page, and allow this machine there: nothing is copied. Without
    a browser here, as over ssh, an address and a code are shown for a browser elsewhere. On other sites, and from a
    pipe, a token is read: a one-time token from SERVER/token opens a session, which is kept in a file that only you
    can read. A token for programs, pasted or got by the browser, is kept in the system's keyring if the extra
    `keyring` is installed, else in such a file.

    After a successful sign-in, the session of an earlier `dss login` is ended, and the token that it got by the browser
    is revoked. Exit status 1 if you refuse on the page, or do not answer in time.
    """
    place = jar_of(server, jar)
    earlier = EarlierSignIn(server, place)
    with connected(server, jar) as client:
        given = option_of_token() if token else TYPED
        by_browser = "" if token else _by_browser_if_wanted(server, browser, provider=provider)
        token = usable_token(token or by_browser or _pasted(server))
        if token.startswith(LONG_LIVED_PREFIX):
            email = _known(client, token)
            location = Credentials(place).keep(token, is_own=bool(by_browser))
            earlier.revoke_token(token)
            earlier.end_session()
            forget_jar(place)
            TokenMemory(place).forget()
            say(f"Signed in as {email}. The token is kept in {location}.")
            return
        email = exchange(client, token, given)
        Credentials(place).forget()
        TokenMemory(place).remember(token)
    earlier.revoke_token()
    earlier.end_session()
    say(f"Signed in as {email}.")


def _by_browser_if_wanted(server: str, browser: bool | None, *, provider: bool) -> str:  # noqa: FBT001  (three states)
    """As ``_by_browser``; "" from a pipe, unless the user gave ``--browser`` or ``--no-browser``."""
    if browser is None and not sys.stdin.isatty():
        return ""
    return _by_browser(server, browser, provider=provider)


def _known(client: ItkSnap, token: str) -> str:
    client.use_token(token)
    return client.account()


def _pasted(server: str) -> str:
    page = f"{server.rstrip('/')}/token"
    say(
        f"Paste a token here. An admin of the site gives you one; so does {page} in a browser that is signed in.",
        error=True,
    )
    if sys.stdin.isatty() and _has_browser():
        webbrowser.open(page)
    return read_token()


def _by_browser(server: str, browser: bool | None, *, provider: bool) -> str:  # noqa: FBT001  (three states)
    """A token from the sign-in on the portal's page.  Without a sign-in service, "" if the user gave neither
    ``--browser``, ``--no-browser`` nor ``--provider``; otherwise raises NotOffered.

    Exits with status 1 if the user refuses or does not answer in time.
    """
    scopes = ["tickets", "provider", "admin"] if provider else ["tickets"]
    here = _has_browser() if browser is None else browser
    try:
        rest = RestClient(server, CookieJar())
        try:
            return sign_in(rest, scopes, _show, here=here)
        finally:
            rest.close()
    except NotOffered:
        if browser is not None or provider:
            raise
        return ""
    except NotAllowed as refusal:
        say(str(refusal), error=True)
        raise click.exceptions.Exit(FAILED) from refusal


def _show(prompt: SignInPrompt) -> None:
    if prompt.is_typed:
        say(
            f"Open {prompt.page} in any browser, and type the code {prompt.code} there.", error=True
        )
    else:
        say(f"Your browser shows {prompt.page}", error=True)
        say(f"Allow this machine there, if the page shows the code {prompt.code}.", error=True)
        if not webbrowser.open(prompt.page):
            say("No browser could be started; open the address yourself.", error=True)
    say(f"Waiting for at most {prompt.minutes} minutes; Ctrl-C ends it.", error=True)


def _has_browser() -> bool:
    """True if this machine can probably open a browser window for its user."""
    if "SSH_CONNECTION" in os.environ:
        return False
    if sys.platform in {"darwin", "win32"} or os.environ.get("BROWSER"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@click.command()
@options.server
@options.jar
def logout(server: str, jar: Path | None) -> None:
    """Forget the session and the token of a server, and end the session there.

    A token that `dss login` got by a browser is revoked; one that you gave it stays valid elsewhere.
    """
    place = jar_of(server, jar)
    earlier = EarlierSignIn(server, place)
    earlier.revoke_token()
    earlier.end_session()
    had = [Credentials(place).forget(), TokenMemory(place).forget(), forget_jar(place)]
    say(f"Signed out of {server}." if any(had) else f"You were not signed in at {server}.")
