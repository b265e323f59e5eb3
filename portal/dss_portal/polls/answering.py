"""Responds to polls and to downloads of small files in front of the framework (Quart), to save time.  Polls are the
four requests that each open ITK-SNAP dialog repeats.

The responses equal those of the framework's routes byte for byte.  This layer sends only responses with status 200; it
passes every unusual, refused or too long request to the framework.
"""

import re
import time
import uuid
from collections.abc import Sequence
from typing import Protocol

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

from dss_observability import metrics, tracing
from dss_portal.changes.feed import Feed
from dss_portal.changes.reading import Change, Subject
from dss_portal.datastore import Datastore
from dss_portal.polls import requests
from dss_portal.polls.callers import Caller, Callers
from dss_portal.polls.files import small_file
from dss_portal.polls.requests import Poll, PollKind
from dss_portal.polls.snapshots import Snapshots
from dss_portal.serving import layer_attempt

_JSON = ((b"content-type", b"application/json"),)
_CSV = ((b"content-type", b"text/csv"),)

PollResponse = tuple[Sequence[tuple[bytes, bytes]], bytes]
"""The headers of a response, and its body."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9-]{8,64}")


class App(Protocol):
    """An ASGI application: the framework, or another layer in front of it."""

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None: ...


class Limit(Protocol):
    """Limits how often requests with the same key may be made."""

    def count(self, key: str) -> None:
        """Count a request with the key ``key``.  Raises Refused if there were too many."""


class Polls:
    """ASGI middleware that responds to polls and downloads of small files, and passes all other requests to ``app``.
    While tracing is on, it passes every request on, so that each gets a span.

    ``requires_terms``: requests of users who have not accepted the terms of use are passed on, too.
    """

    def __init__(
        self,
        app: App,
        *,
        feed: Feed,
        callers: Callers,
        snapshots: Snapshots,
        datastore: Datastore,
        limit: Limit,
        requires_terms: bool,
    ) -> None:
        self._app = app
        self._feed = feed
        self._callers = callers
        self._snapshots = snapshots
        self._datastore = datastore
        self._limit = limit
        self._requires_terms = requires_terms
        self._counted = {
            kind: (
                metrics.HTTP_REQUESTS.labels("GET", kind.value, 200),
                metrics.HTTP_SECONDS.labels(kind.value),
            )
            for kind in PollKind
        }
        feed.follow(self._take)

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            poll = requests.poll_of(method, path, scope["query_string"], scope["headers"])
            if poll is not None:
                if not layer_attempt.earlier_attempt(scope) and await self._answered(poll, send):
                    return
            elif requests.may_change_something(method, path):
                send = self._forgetting(path, send)
        await self._app(scope, receive, send)

    async def _answered(self, poll: Poll, send: ASGISendCallable) -> bool:
        began_s = time.monotonic()
        if tracing.is_on():
            return False
        try:
            shown = await self._response(poll)
        except Exception:  # the framework gets the same error, and explains it in a sentence
            return False
        if shown is None:
            return False
        (kind, body) = shown
        requests_total, seconds = self._counted[poll.kind]
        requests_total.inc()
        seconds.observe(time.monotonic() - began_s)
        headers = [
            *kind,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id(poll.request_id)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return True

    async def _response(self, poll: Poll) -> PollResponse | None:
        keep = self._feed.is_current()
        caller = self._callers.known(poll.cookie, poll.authorization) if keep else None
        if caller is None:
            caller = await self._callers.load(poll.cookie, poll.authorization, keep=keep)
        if caller is None or not self._may_poll(caller):
            return None
        if poll.kind is PollKind.FILE:
            shown = await self._file(poll, caller)
        else:
            body = await self._shown(poll, caller, keep=keep)
            shown = None if body is None else (_type(poll), body)
        if shown is not None:
            self._limit.count(str(caller.id))
        return shown

    async def _file(self, poll: Poll, caller: Caller) -> PollResponse | None:
        found = await small_file(self._datastore, poll.ticket, poll.area, poll.index, caller)
        return None if found is None else (found.headers, found.content)

    def _may_poll(self, caller: Caller) -> bool:
        if self._requires_terms and caller.terms_accepted_at is None:
            return False
        return caller.has_scope("tickets")

    async def _shown(self, poll: Poll, caller: Caller, *, keep: bool) -> bytes | None:
        shown = self._snapshots
        if poll.kind is PollKind.LIST:
            return await shown.list(caller.id, wants_json=poll.wants_json, keep=keep)
        if poll.kind is PollKind.SERVICES:
            return await shown.services(wants_json=poll.wants_json, keep=keep)
        ticket = await shown.ticket(poll.ticket, keep=keep)
        if ticket is None or not (caller.sysadmin or ticket.owner == caller.id):
            return None
        if poll.kind is PollKind.STATUS:
            return ticket.status.value.encode()
        return await shown.detail(ticket, poll.since)

    def _take(self, changes: Sequence[Change] | None) -> None:
        if changes is None:
            self._forget_all()
            return
        for change in changes:
            self._snapshots.apply(change)
            if change.subject is Subject.USER:
                self._callers.forget(change.number)

    def _forget_all(self) -> None:
        self._callers.forget_all()
        self._snapshots.forget_all()

    def _forgetting(self, path: str, send: ASGISendCallable) -> ASGISendCallable:
        """A ``send`` for a request that may change something.  Before it sends the response, it removes from the cache
        what the request may have changed, so that the client never gets an older state afterwards.  If the path names
        no ticket, it waits for a poll of the feed, and empties the cache if that fails.
        """

        async def forget_and_send(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.start" and self._feed.knows():
                changed = requests.changed_ticket(path)
                if changed is not None:
                    number, of_state = changed
                    self._snapshots.forget_ticket(number, of_state=of_state)
                elif not await self._feed.wait_until_current():
                    self._forget_all()
            await send(event)

        return forget_and_send


def _type(poll: Poll) -> Sequence[tuple[bytes, bytes]]:
    """The Content-Type header of the response to a poll, in the form in which the framework sends it; none for plain
    text.
    """
    if poll.kind is PollKind.STATUS:
        return ()
    return _JSON if poll.kind is PollKind.DETAIL or poll.wants_json else _CSV


def request_id(header: bytes) -> bytes:
    """The request id that the client has sent (``header``) if it is safe to log; otherwise a new one."""
    return header if _REQUEST_ID.fullmatch(header) else uuid.uuid4().hex.encode()
