"""Recognises small writes of ITK-SNAP and of providers' programs by the request line and headers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dss_portal.datastore.pieces import SMALL_BYTES
from dss_portal.polls.requests import TICKETS, USUAL_HEADERS
from dss_portal.writes import multipart

_READY = re.compile(r"/api/tickets/(\d{1,9})/status")
_OF_PROVIDER = re.compile(r"/api/pro/tickets/(\d{1,9})/(info|warning|error|progress)")
_CLAIM = re.compile(r"/api/pro/services/([a-f0-9]+)/claims")
_CLAIM_ANY = "/api/pro/services/claims"

_UPLOAD = re.compile(r"/api/tickets/(\d{1,9})/files/input")

_KEY = b"idempotency-key"
_EXPECTED = USUAL_HEADERS | {b"content-type", b"content-length", b"expect", _KEY}
_ONCE = frozenset({b"cookie", b"authorization", b"content-type", b"content-length", _KEY})
_FORM = b"application/x-www-form-urlencoded"


class Kind(StrEnum):
    """The kind of a small write.  The value is the framework's URL rule, which labels the request in metrics."""

    CREATE = TICKETS
    READY = "/api/tickets/<int:ticket_id>/status"
    LINE = "/api/pro/tickets/<int:ticket_id>/<any(info, warning, error):category>"
    PROGRESS = "/api/pro/tickets/<int:ticket_id>/progress"
    CLAIM = "/api/pro/services/<regex('[a-f0-9]+'):githash>/claims"
    CLAIM_ANY = _CLAIM_ANY
    UPLOAD = "/api/tickets/<int:ticket_id>/files/<any(input, results):area>"

    @property
    def scope(self) -> str:
        """The scope that a token must have for this kind of write."""
        return "provider" if self.value.startswith("/api/pro/") else "tickets"

    @property
    def is_claim(self) -> bool:
        return self in {Kind.CLAIM, Kind.CLAIM_ANY}


@dataclass(frozen=True, kw_only=True)
class Write:
    """A small write, as its URL and headers describe it.  ``ticket`` is 0 if the URL has none; ``word`` is the category
    of a log line, the hash of a service for a claim, or not used.

    ``boundary`` is the boundary of an upload's form; b"" for other writes.  ``key`` is the value of the header
    Idempotency-Key, which only the creation of a ticket considers; None without it.
    """

    kind: Kind
    ticket: int
    word: str
    query: bytes
    cookie: bytes
    authorization: bytes
    request_id: bytes
    boundary: bytes = b""
    key: str | None = None


def write_of(path: str, query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Write | None:
    """The Write that a POST request contains; None if it is not one, or is unusual, so that the framework must handle
    it.
    """
    target = _target(path)
    if target is None:
        return None
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in _EXPECTED or (name in found and name in _ONCE):
            return None
        found[name] = value
    kind, ticket, word = target
    content_type, boundary = found.get(b"content-type", _FORM), b""
    if kind is Kind.UPLOAD:
        boundary = _boundary_of_small(found)
        if not boundary or query:
            return None
    elif content_type.lower() != _FORM:
        return None
    if b"text/html" in found.get(b"accept", b""):
        return None
    return Write(
        kind=kind,
        ticket=ticket,
        word=word,
        query=query,
        cookie=found.get(b"cookie", b""),
        authorization=found.get(b"authorization", b""),
        request_id=found.get(b"x-request-id", b""),
        boundary=boundary,
        key=found[_KEY].decode("latin-1") if _KEY in found else None,
    )


def _boundary_of_small(headers: dict[bytes, bytes]) -> bytes:
    """The boundary of a multipart form with a Content-Length of at most SMALL_BYTES; b"" for a larger form or another
    content type.
    """
    length = headers.get(b"content-length", b"")
    if not length.isdigit() or int(length) > SMALL_BYTES:
        return b""
    return multipart.boundary_in(headers.get(b"content-type", b"")) or b""


def _target(path: str) -> tuple[Kind, int, str] | None:
    if path == TICKETS:
        return Kind.CREATE, 0, ""
    if path == _CLAIM_ANY:
        return Kind.CLAIM_ANY, 0, ""
    if found := _OF_PROVIDER.fullmatch(path):
        kind = Kind.PROGRESS if found[2] == "progress" else Kind.LINE
        return kind, int(found[1]), found[2]
    if found := _READY.fullmatch(path):
        return Kind.READY, int(found[1]), ""
    if found := _UPLOAD.fullmatch(path):
        return Kind.UPLOAD, int(found[1]), ""
    if found := _CLAIM.fullmatch(path):
        return Kind.CLAIM, 0, found[1]
    return None
