"""Gets a token for this command line through a sign-in in the user's browser (device flow, RFC 8628).  If the browser
is on the same machine, it also delivers its answer to this program over loopback (RFC 8252).
"""

import getpass
import json
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from dss_client.errors import ClientError, NotUnderstood, Refused, Unreachable
from dss_client.rest import FORM, RestClient
from dss_client.resumable import Reply
from dss_client.retries import BUSY

ANSWER_PAGE = (
    "<!doctype html><meta charset=utf-8><title>dss</title><p>dss has your answer. "
    "You can close this page and go back to the command line."
)
_UNKNOWN = {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
LISTEN_S = 1.0
_WAITS = {"authorization_pending", "slow_down", "invalid_grant"}


class NotOffered(ClientError):
    """The server has no sign-in by a browser."""


class NotAllowed(ClientError):
    """The user has refused the sign-in, or has not answered in time."""


@dataclass(frozen=True, kw_only=True)
class SignInPrompt:
    """What is shown to the user for the sign-in: the address of the ``page``, and the minutes for which it is valid.
    ``code`` is shown on the page for comparison or, if ``is_typed``, must be typed there.
    """

    page: str
    code: str
    is_typed: bool
    minutes: int


def sign_in(
    rest: RestClient,
    scopes: Sequence[str],
    show: Callable[[SignInPrompt], object],
    *,
    here: bool,
    pause: Callable[[float], object] = time.sleep,
) -> str:
    """Begin a sign-in, call ``show`` with what the user needs, wait for the user's consent, and return the token.

    ``scopes`` are the rights that the token is to have.  ``here``: the user's browser is on this machine.  Raises
    NotOffered, NotAllowed, and any other ClientError.
    """
    with _listening() if here else nullcontext() as listener:
        answer = _begun(rest, scopes, listener.address if listener else "")
        prompt = _prompt(answer, is_typed=listener is None)
        show(prompt)
        end_s = time.monotonic() + _number(answer, "expires_in")
        passed_on = None if listener else ""
        while time.monotonic() < end_s:
            if not listener:
                pause(_number(answer, "interval"))
            elif (brought := listener.wait(LISTEN_S)) is not None:
                passed_on = brought
            if passed_on is None:
                continue
            if token := _redeemed(rest, str(answer["device_code"]), passed_on):
                return token
    raise NotAllowed(f"Nobody has allowed the sign-in within {prompt.minutes} minutes.")


def _begun(rest: RestClient, scopes: Sequence[str], callback: str) -> dict[str, object]:
    form = {"machine": _machine(), "scope": " ".join(scopes), "callback": callback}
    reply = _posted(rest, "api/device", form)
    if reply.status in _UNKNOWN:
        raise NotOffered("This server has no sign-in by a browser; use a token.")
    if reply.status != HTTPStatus.OK:
        raise reply.refusal()
    return _read(reply)


def _prompt(answer: dict[str, object], *, is_typed: bool) -> SignInPrompt:
    page = str(answer.get("verification_uri" if is_typed else "verification_uri_complete", ""))
    if urlsplit(page).scheme not in {"http", "https"} or not answer.get("device_code"):
        raise NotUnderstood("The server does not say where to sign in.")
    minutes = round(_number(answer, "expires_in") / 60)
    return SignInPrompt(
        page=page, code=str(answer.get("user_code")), is_typed=is_typed, minutes=minutes
    )


def _redeemed(rest: RestClient, secret: str, passed_on: str) -> str:
    """Ask the portal for the token of the sign-in ``secret``.  ``passed_on`` is what the browser delivered, or "".

    Returns "" if the user has not answered yet, or if the portal does not respond or restarts.  Raises NotAllowed if
    the user refused or the time is over, NotUnderstood for an unreadable response, and Refused for any other.
    """
    try:
        reply = _posted(rest, "api/device/token", {"device_code": secret, "code": passed_on})
    except Unreachable:
        return ""
    if reply.status in BUSY or reply.status == HTTPStatus.NOT_FOUND:
        return ""  # the portal restarts, or is an instance that is not upgraded yet
    answer = _read(reply)
    if reply.status == HTTPStatus.OK and isinstance(token := answer.get("access_token"), str):
        return token
    match answer.get("error"):
        case "access_denied":
            raise NotAllowed("The sign-in was refused on the page.")
        case "expired_token":
            raise NotAllowed("The sign-in has expired; begin again.")
        case error if error in _WAITS:
            return ""
    raise Refused(reply.status, reply.body.decode(errors="replace"))


def _posted(rest: RestClient, path: str, form: dict[str, str]) -> Reply:
    body = urlencode(form).encode()
    headers = {"Content-Length": str(len(body)), "Content-Type": FORM}
    return rest.exchange("POST", path, headers, body)


def _read(reply: Reply) -> dict[str, object]:
    with suppress(ValueError):
        answer = json.loads(reply.body)
        if isinstance(answer, dict):
            return answer
    raise NotUnderstood("The server's answer to the sign-in cannot be read.")


def _number(answer: dict[str, object], name: str) -> float:
    value = answer.get(name)
    if not isinstance(value, int | float) or not 0 <= value <= 86400:
        raise NotUnderstood("The server's answer to the sign-in cannot be read.")
    return float(value)


def _machine() -> str:
    """USER@HOST of this machine, which the sign-in page shows; only HOST if the user has no name."""
    with suppress(KeyError, OSError):
        return f"{getpass.getuser()}@{socket.gethostname()}"
    return socket.gethostname()


class _Listener:
    """An HTTP server on loopback that receives the answer of a browser on this machine.  Its path is random, so that
    only the page that knows ``address`` can deliver an answer.
    """

    def __init__(self) -> None:
        self._name = f"/{secrets.token_urlsafe(24)}"
        self._brought: queue.Queue[str] = queue.Queue()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self.server.server_port}{self._name}"

    def wait(self, seconds: float) -> str | None:
        """The secret that a browser has delivered, "" for a refusal; None if no browser came within ``seconds``."""
        with suppress(queue.Empty):
            return self._brought.get(timeout=seconds)
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                if path != listener._name:
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(ANSWER_PAGE.encode())
                listener._brought.put((parse_qs(query).get("code") or [""])[0])

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def _listening() -> Iterator[_Listener]:
    listener = _Listener()
    thread = threading.Thread(target=listener.server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.server.shutdown()
        listener.server.server_close()
        thread.join()
