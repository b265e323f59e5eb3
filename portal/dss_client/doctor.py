"""``dss doctor``: checks each step of a connection, as ITK-SNAP makes it, and says what to do if one fails.

More than 300 lines: one short function for each step, in the order in which they run.
"""

import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

from dss_client.body_limits import accepted_and_refused_bytes
from dss_client.error_sentences import one_time_token_from, sentence, unknown_token, where_to_look
from dss_client.errors import ClientError, NobodyListens
from dss_client.proxies import proxy_for, require_address
from dss_client.rest import tls
from dss_client.unreachable import unreachable
from dss_process.version import installed_version

WITHIN_S = 10.0
LARGE_BYTES = 2 * 2**20
"""Size in bytes of the form that tests a proxy's limit; above nginx's default limit of 1 MB."""
OWN_REFUSAL = "The form is larger than"
"""Text of the portal's refusal of a large form; a proxy refuses with a page of its own."""
CLOCK_S = 120.0
SOON_DAYS = 14.0
OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The outcome of one check.  ``level`` is ok, warning or problem; ``about`` names the check; ``text`` is one or two
    sentences.
    """

    level: str
    about: str
    text: str


class _Stop(Exception):
    """Ends the checks with a problem, because all following checks would fail for the same reason."""

    def __init__(self, about: str, text: str) -> None:
        super().__init__(text)
        self.finding = Observation(level=PROBLEM, about=about, text=text)


def examine(server: str, token: str = "", bearer: str = "") -> Iterator[Observation]:
    """Check the steps of a connection in their order, and yield the outcomes.  A problem that would make all later
    checks fail ends them; other problems do not.

    ``bearer`` is a token for programs.  ``token`` is a one-time token, which is used up.  Without both, the sign-in is
    not tried.
    """
    steps: list[Callable[[str], Iterator[Observation]]] = [
        _address,
        _proxy,
        _name,
        _certificate,
        _portal,
        _clock,
        _limit,
    ]
    try:
        for step in steps:
            yield from step(server)
        yield from _sign_in(server, token, bearer)
    except _Stop as stop:
        yield stop.finding


def _address(server: str) -> Iterator[Observation]:
    try:
        require_address(server)
    except ClientError as error:
        raise _Stop("address", str(error)) from error
    if server.endswith("/"):
        text = (
            f"{server} ends with a slash; ITK-SNAP then asks for addresses with two. Leave it out."
        )
        yield Observation(level=WARNING, about="address", text=text)
    parts = urlsplit(server)
    if parts.scheme == "http" and not _is_local(parts.hostname or ""):
        text = "http:// shows tokens and images to the network; ask the site for an address with https://."
        yield Observation(level=WARNING, about="address", text=text)
    yield Observation(level=OK, about="address", text=f"{server} is an address.")


def _is_local(host: str) -> bool:
    return host in {"localhost", "127.0.0.1", "::1"}


def _proxy(server: str) -> Iterator[Observation]:
    try:
        proxy = proxy_for(server, os.environ)
    except ClientError as error:
        raise _Stop("proxy", str(error)) from error
    if proxy is None:
        yield Observation(
            level=OK,
            about="proxy",
            text="The server is asked directly; no variable names a proxy for it.",
        )
        return
    host = urlsplit(proxy.address).hostname
    text = f"{proxy.variable} sends requests through {host}. NO_PROXY={urlsplit(server).hostname} would not."
    yield Observation(level=OK, about="proxy", text=text)


def _name(server: str) -> Iterator[Observation]:
    """Check that the host name can be resolved.  If a proxy is used, the proxy resolves it."""
    if proxy_for(server, os.environ) is not None:
        return
    host = urlsplit(server).hostname or ""
    try:
        found = sorted({str(row[4][0]) for row in socket.getaddrinfo(host, None)})
    except OSError as error:
        raise _Stop(
            "name", f"The name {host} is not known to this network; check it, or your VPN."
        ) from error
    yield Observation(level=OK, about="name", text=f"{host} is {', '.join(found)}.")


def _certificate(server: str) -> Iterator[Observation]:
    """Report for how long the certificate is valid.  Without HTTPS, through a proxy, or if the connection fails,
    nothing is reported; ``_portal`` checks whether the certificate is trusted.
    """
    parts = urlsplit(server)
    if parts.scheme != "https" or proxy_for(server, os.environ) is not None:
        return
    with suppress(OSError):
        address = (parts.hostname or "", parts.port or 443)
        with (
            socket.create_connection(address, WITHIN_S) as plain,
            ssl.create_default_context().wrap_socket(
                plain, server_hostname=parts.hostname
            ) as secure,
        ):
            certificate = secure.getpeercert() or {}
            ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
            days = (ends - time.time()) / 86400
            level = OK if days > SOON_DAYS else WARNING
            text = f"The certificate is trusted, and valid for {days:.0f} days more."
            yield Observation(level=level, about="certificate", text=text)


def _portal(server: str) -> Iterator[Observation]:
    answer = _asked(server, "GET", "api/login?format=json")
    if answer.is_redirect:
        there = answer.headers.get("Location", "another address").partition("/api/login")[0]
        text = f"{server} leads to {there}; ITK-SNAP does not follow. Give that address."
        raise _Stop("portal", text)
    if "WWW-Authenticate" in answer.headers:
        text = (
            f"Something in front of {server} asks for a user name and a password, which ITK-SNAP cannot give. "
            "Its administrator lets the addresses that begin with /api/ through."
        )
        raise _Stop("portal", text)
    if (
        answer.status_code not in {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED}
        or "<html" in answer.text.lower()
    ):
        raise _Stop("portal", _strange(server, answer))
    version, own_address = _version_and_address(server)
    text = f"A segmentation service answers at {server}{version}; this is dss {installed_version('client')}."
    yield Observation(level=OK, about="portal", text=text)
    if own_address and own_address != server.rstrip("/"):
        text = (
            f"The portal takes its own address for {own_address}, and its pages, sign-in and cookies follow that. "
            "Use that address, or its administrator sets DSS_PUBLIC_URL."
        )
        yield Observation(level=WARNING, about="portal", text=text)


def _strange(server: str, answer: httpx.Response) -> str:
    from dss_client.errors import Refused  # noqa: PLC0415  (beside its only use)

    if answer.status_code in {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED}:
        return f"A web page answers at {server}, not a segmentation service; is a part of the address missing, such as /dss?"
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return f"There is no segmentation service at {server}; check the address. Is a part of it missing, such as /dss?"
    return sentence(Refused(answer.status_code, answer.text), server)


def _version_and_address(server: str) -> tuple[str, str]:
    """The portal's version as part of a sentence, and the address that the portal has for itself (DSS_PUBLIC_URL).
    Both are "" if the request fails, or if the server, such as the reference server, does not give them.
    """
    with suppress(ValueError, KeyError, TypeError, IndexError, _Stop):
        description = json.loads(_asked(server, "GET", "api/openapi.json").text)
        return f", version {description['info']['version']}", str(description["servers"][0]["url"])
    return "", ""


def _clock(server: str) -> Iterator[Observation]:
    header = _asked(server, "GET", "api/login?format=json").headers.get("Date", "")
    with suppress(ValueError):
        apart_s = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        if abs(apart_s) > CLOCK_S:
            text = f"This machine's clock and the server's are {abs(apart_s):.0f} s apart; sessions and certificates may fail."
            yield Observation(level=WARNING, about="clock", text=text)
        else:
            yield Observation(
                level=OK, about="clock", text="This machine's clock agrees with the server's."
            )


def _limit(server: str) -> Iterator[Observation]:
    """Check that no proxy in front of the portal refuses a large request.  A refusal without the portal's own sentence
    comes from a proxy.
    """
    form = b"token=" + b"x" * LARGE_BYTES
    try:
        answer = _asked(server, "POST", "api/login", form)
    except _Stop:
        answer = None  # the portal may close the connection before it has read the form
    if (
        answer is not None
        and answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        and OWN_REFUSAL not in answer.text
    ):
        text = "A proxy in front of the portal lets no large file through. Its administrator raises the limit (nginx: client_max_body_size 0)."
        yield Observation(level=PROBLEM, about="uploads", text=text)
    else:
        yield _large_files(server)


def _large_files(server: str) -> Observation:
    passed, refused = accepted_and_refused_bytes(server)
    if refused is not None:
        text = (
            f"A proxy in front of the portal refuses files of {_size(refused)}; ITK-SNAP sends a file in one request. "
            "Its administrator raises the limit (nginx: client_max_body_size 0). dss send needs 8 MB."
        )
        return Observation(level=WARNING, about="uploads", text=text)
    text = f"Nothing in front of the portal refuses {_size(passed or LARGE_BYTES)}."
    return Observation(level=OK, about="uploads", text=text)


def _size(count_bytes: int) -> str:
    return f"{count_bytes >> 30} GB" if count_bytes >= 2**30 else f"{count_bytes >> 20} MB"


def _sign_in(server: str, token: str, bearer: str) -> Iterator[Observation]:
    if not token and not bearer:
        text = f"Not tried, since there is no token. {one_time_token_from(server)}"
        yield Observation(level=OK, about="sign-in", text=text)
        return
    if bearer:
        answer = _asked(server, "GET", "api/login?format=json", bearer=bearer)
    else:
        answer = _asked(server, "POST", "api/login?format=json", f"token={token}".encode())
    if answer.status_code != HTTPStatus.OK:
        text = (
            unknown_token(server)
            if bearer
            else f"The token is not accepted; a one-time token works once. {one_time_token_from(server)}"
        )
        raise _Stop("sign-in", text)
    email = json.loads(answer.text)["result"]["email"]
    if not bearer and "webpy_session_id" not in answer.headers.get("Set-Cookie", ""):
        text = "The session's cookie did not come back; something in front of the portal removes Set-Cookie."
        raise _Stop("sign-in", text)
    cookie = answer.headers.get("Set-Cookie", "").lower().replace(" ", "")
    if server.startswith("http:") and "secure" in cookie.split(";"):
        text = (
            "The session's cookie is for https:// only, so over http:// it never comes back. Use the address with "
            "https://, or its administrator sets DSS_PUBLIC_URL to this one."
        )
        raise _Stop("sign-in", text)
    yield Observation(level=OK, about="sign-in", text=f"Signed in as {email}.")


def _asked(
    server: str, method: str, path: str, form: bytes | None = None, bearer: str = ""
) -> httpx.Response:
    """Send a request as ITK-SNAP does, without following redirects, and return the response of any status.  Raises
    _Stop if the connection fails.
    """
    proxy = proxy_for(server, os.environ)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    try:
        with httpx.Client(
            verify=tls(server),
            proxy=proxy.address if proxy else None,
            trust_env=False,
            timeout=WITHIN_S,
        ) as client:
            return client.request(
                method, f"{server.rstrip('/')}/{path}", content=form, headers=headers
            )
    except httpx.TransportError as error:
        fault = unreachable(server, proxy, error)
        advice = f" {where_to_look(server)}" if isinstance(fault, NobodyListens) else ""
        raise _Stop("connection", f"{fault}{advice}") from error
