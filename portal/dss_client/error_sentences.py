"""Turns errors of the client into sentences for the user.  The portal responds to an error with a sentence, a proxy
with a page of HTML.
"""

import re
from http import HTTPStatus
from urllib.parse import urlsplit

from dss_client.errors import ClientError, NobodyListens, Refused, SignInRefused, TicketNotOpen

_WITHOUT_PORTAL = {
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}

_MAX_CHARACTERS = 500

_WANTS_TLS = "plain HTTP request was sent to HTTPS port"
"""Words of nginx for a request without TLS at a port with TLS."""

_NOT_FOUND = re.compile(r"Ticket (\d+) not found for user \d+")
"""The server's text for a ticket that does not exist, that belongs to another user, or that is in the wrong state."""

_CANNOT_BE_RETRIED = {
    "init": "is not submitted yet",
    "ready": "waits already",
    "claimed": "is being worked on",
    "success": "has succeeded",
    "deleted": "is deleted",
}
"""Part of a sentence, by the state of a ticket that cannot be retried in it."""


def sentence(error: ClientError, server: str, *, for_programs: bool = False) -> str:
    """One or two sentences that name the cause of ``error`` and what to do.  ``for_programs``: a token for programs
    was used.
    """
    match error:
        case NobodyListens():
            return f"{error} {where_to_look(server)} dss doctor examines the connection."
        case SignInRefused() | Refused(status=401):
            if for_programs:
                return unknown_token(server)
            return (
                f"{server} does not know you. Sign in with dss login, or set DSS_TOKEN; a one-time token works once, "
                "and an admin of the site gives you another."
            )
        case Refused(status=404 | 405):
            return f"There is no segmentation service at {server}; check the address."
        case Refused(status=status) if 300 <= status < 400:
            return f"{server} leads to another address; give that one."
        case Refused(status=400, body=body) if _WANTS_TLS in body:
            return f"{server} speaks https:// only; begin the address with that."
        case TicketNotOpen(body=body) if found := _NOT_FOUND.match(body):
            return f"Ticket {found[1]} takes no more files: it was deleted, given up or submitted meanwhile."
        case Refused(body=body) if found := _NOT_FOUND.match(body):
            return f"Ticket {found[1]} does not exist, or it belongs to another user."
        case Refused(body=body) if _is_sentence(body):
            return f"The server refused. {body.strip()[:_MAX_CHARACTERS]}"
        case Refused(status=status):
            return _by_status(status, server)
        case _:
            return str(error)


def where_to_look(server: str) -> str:
    """Questions that help a user if no server listens at ``server``."""
    started = "Is the portal started (make up)?" if _is_own(server) else "Is the portal started?"
    return f"{started} Is the address right (--server, DSS_SERVER)?"


def unknown_token(server: str) -> str:
    """The sentence for a token for programs that the server refuses."""
    own = (
        " On a portal of your own, make provider writes one into .dss/provider.env."
        if _is_own(server)
        else ""
    )
    return (
        f"{server} does not accept this token for programs (it begins with dss_): it is mistyped, expired, revoked or "
        f"another portal's. A site admin makes one; where the site has a sign-in service, dss login gets one.{own}"
    )


def unknown_one_time_token(server: str, given: str) -> str:
    """The sentence for a one-time token that the server refuses.  ``given`` says where it is from, such as "of DSS_TOKEN"."""
    return (
        f"{server} does not accept the token {given}: it is mistyped, expired, another portal's, or was used before; a "
        f"one-time token works once. {one_time_token_from(server)}"
    )


def one_time_token_from(server: str) -> str:
    """A sentence that says where a one-time token comes from."""
    return (
        f"An admin of the site gives you a one-time token; so does {server.rstrip('/')}/token "
        "in a browser that is signed in."
    )


def _is_own(server: str) -> bool:
    """True if ``server`` is an address of this machine."""
    return urlsplit(server).hostname in {"localhost", "127.0.0.1", "::1"}


def of_disk(error: OSError) -> str:
    """A sentence about a disk error."""
    if error.filename is None:
        return f"The disk: {error.strerror}."
    return f"{error.filename}: {error.strerror}."


def not_retriable(ticket: int, status: str) -> str:
    """A sentence that says why the user's own ticket cannot be retried; "" if its status is no reason."""
    state = _CANNOT_BE_RETRIED.get(status)
    if state is None:
        return ""
    return f"Ticket {ticket} {state}; only a ticket that failed or timed out can be retried."


def is_missing(error: Refused) -> bool:
    """True if the server responded that it found no such ticket of the user; it says the same of a ticket that is in
    the wrong state for the request.
    """
    return _NOT_FOUND.match(error.body) is not None


def _is_sentence(body: str) -> bool:
    text = body.strip()
    return " " in text and not text.startswith(("<", "{"))


def _by_status(status: int, server: str) -> str:
    match status:
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return (
                f"A proxy in front of {server} does not let a file of this size through (status 413). "
                "Its administrator can raise the limit (nginx: client_max_body_size)."
            )
        case HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return f"A proxy in front of {server} asks for a user name and a password (status 407)."
        case HTTPStatus.FORBIDDEN:
            return f"A proxy in front of {server}, or a firewall, forbids the request (status 403)."
        case _ if status in _WITHOUT_PORTAL:
            return (
                f"A proxy answers at {server}, but the portal behind it does not (status {status}). "
                "Try again in a minute; if it stays so, tell the site's administrator."
            )
        case _:
            return (
                f"{server} answered with status {status} and no reason that can be shown. "
                "Tell the site's administrator."
            )
