"""Recognises polls, downloads of small files, and requests that may change something, by their request line and
headers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from dss_datastore.layout import Area

TICKETS = "/api/tickets"
SERVICES = "/api/services"
_TICKET = re.compile(r"/api/tickets/(\d{1,9})/(status|detail)")
_FILE = re.compile(r"/api/tickets/(\d{1,9})/files/(input|results)/(\d{1,9})")
_SINCE = re.compile(rb"since=(\d{1,18})")
_OF_TICKET = re.compile(r"/api/(?:pro/)?tickets/(\d{1,9})/(\w+)")
_OF_LOG_OR_FILES = frozenset({"info", "warning", "error", "progress", "files", "attachments"})
_CHANGING = ("delete", "retry", "logout", "token", "signin", "oauth2cb")
"""Last segments of the paths of those GET requests that change something."""

USUAL_HEADERS = frozenset(
    {
        b"host",
        b"user-agent",
        b"accept",
        b"accept-encoding",
        b"cookie",
        b"authorization",
        b"connection",
        b"cache-control",
        b"pragma",
        b"x-request-id",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-real-ip",
        b"forwarded",
        b"via",
    }
)
"""Header fields that programs and proxies usually send; a request with any other field is passed to the framework."""


class PollKind(StrEnum):
    """The kind of a request that is answered in front of the framework.  The value is the framework's URL rule, which
    labels the request in metrics.
    """

    LIST = TICKETS
    SERVICES = SERVICES
    STATUS = "/api/tickets/<int:ticket_id>/status"
    DETAIL = "/api/tickets/<int:ticket_id>/detail"
    FILE = "/api/tickets/<int:ticket_id>/files/<any(input, results):area>/<int:index>"


@dataclass(frozen=True, kw_only=True)
class Poll:
    """A poll, or a request for a file, taken from its URL and headers.  ``ticket`` and ``since`` (the last known log
    line) are 0 if the URL has none; ``area`` and ``index`` identify a file.
    """

    kind: PollKind
    cookie: bytes = b""
    authorization: bytes = b""
    request_id: bytes = b""
    ticket: int = 0
    since: int = 0
    wants_json: bool = False
    area: Area = "input"
    index: int = 0


def poll_of(
    method: str, path: str, query: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> Poll | None:
    """The Poll that a request contains; None if it is not one, or is unusual, so that the framework must handle it."""
    if method != "GET":
        return None
    target = _target(path, query)
    if target is None:
        return None
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in USUAL_HEADERS or (name in found and name in {b"cookie", b"authorization"}):
            return None
        found[name] = value
    if b"text/html" in found.get(b"accept", b""):
        return None
    return target(
        cookie=found.get(b"cookie", b""),
        authorization=found.get(b"authorization", b""),
        request_id=found.get(b"x-request-id", b""),
    )


def may_change_something(method: str, path: str) -> bool:
    """True if a request may change data, so that the cache must be invalidated before its response.  False for requests
    that report their changes to the feed themselves.
    """
    last = path.rpartition("/")[2]
    if last == "claims" or path == TICKETS:  # these requests report their changes to the feed
        return False
    return method not in {"GET", "HEAD", "OPTIONS"} or last in _CHANGING


def changed_ticket(path: str) -> tuple[int, bool] | None:
    """The number of the ticket in the path of an API request, and whether the request may change the ticket's state
    (not only its log, progress or files).  None if the path contains no ticket.
    """
    found = _OF_TICKET.match(path)
    return (int(found[1]), found[2] not in _OF_LOG_OR_FILES) if found else None


def _target(path: str, query: bytes) -> "partial[Poll] | None":
    """The Poll that the URL describes, to be called with the values from the headers; None if the URL is not that of a
    poll or file.
    """
    if path in {TICKETS, SERVICES}:
        if query not in {b"", b"format=json", b"format=csv"}:
            return None
        kind = PollKind.LIST if path == TICKETS else PollKind.SERVICES
        return partial(Poll, kind=kind, wants_json=query == b"format=json")
    if found := _TICKET.fullmatch(path):
        return _of_ticket(int(found[1]), found[2], query)
    if (found := _FILE.fullmatch(path)) and not query:
        area: Area = "input" if found[2] == "input" else "results"
        return partial(
            Poll, kind=PollKind.FILE, ticket=int(found[1]), area=area, index=int(found[3])
        )
    return None


def _of_ticket(ticket: int, what: str, query: bytes) -> "partial[Poll] | None":
    since = _SINCE.fullmatch(query) if query else None
    if what == "status":
        return None if query else partial(Poll, kind=PollKind.STATUS, ticket=ticket)
    if query and since is None:
        return None
    return partial(Poll, kind=PollKind.DETAIL, ticket=ticket, since=int(since[1]) if since else 0)
