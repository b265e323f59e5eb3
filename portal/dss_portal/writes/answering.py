"""Responds to small writes of ITK-SNAP and of providers' programs in front of the framework (Quart).

The responses equal those of the framework's routes byte for byte.  This layer sends only responses with status 200.
All other responses, and those to unusual requests, come from the framework, which gets the complete request again, and
the error if there was one.
"""

import time
from typing import Protocol, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope
from quart import Quart, request

from dss_observability import metrics, tracing
from dss_observability.logs import add_log_facts
from dss_portal import forms
from dss_portal.changes.feed import Feed
from dss_portal.datastore.pieces import SMALL_BYTES
from dss_portal.polls.answering import App, request_id
from dss_portal.polls.callers import Caller, Callers
from dss_portal.refusals import Refused
from dss_portal.serving import layer_attempt
from dss_portal.writes import multipart, requests
from dss_portal.writes.body import ClientGone, RequestBody
from dss_portal.writes.requests import Kind, Write
from dss_portal.writes.write_handler import Answer, WriteHandler

BODY_TIMEOUT_S = 1.0
"""If the body of a request has not arrived within this time in seconds, the framework handles the request; it waits
longer.
"""


class Limit(Protocol):
    """Limits how often requests with the same key may be made."""

    def count(self, key: str) -> None:
        """Count a request with the key ``key``.  Raises Refused if there were too many."""

    def uncount(self, key: str) -> None:
        """Undo one call of ``count`` for ``key``."""


class Writes:
    """ASGI middleware that responds to small writes, and passes all other requests to ``app``.  While tracing is on, it
    passes every request on, so that each gets a span.

    ``requires_terms``: requests of users who have not accepted the terms of use are passed on, too.
    """

    def __init__(
        self,
        app: App,
        *,
        handler: WriteHandler,
        feed: Feed,
        callers: Callers,
        limit: Limit,
        requires_terms: bool,
    ) -> None:
        self._app = app
        self._handler = handler
        self._feed = feed
        self._callers = callers
        self._limit = limit
        self._requires_terms = requires_terms
        self._counted = {
            kind: (
                metrics.HTTP_REQUESTS.labels("POST", kind.value, 200),
                metrics.HTTP_SECONDS.labels(kind.value),
            )
            for kind in Kind
        }

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        write = None
        if attempt := layer_attempt.earlier_attempt(scope):
            scope = _with_error(scope, attempt.error) if attempt.error else scope
        elif scope["type"] == "http" and scope["method"] == "POST" and not tracing.is_on():
            write = requests.write_of(scope["path"], scope["query_string"], scope["headers"])
        if write is None:
            await self._app(scope, receive, send)
            return
        body, named, answer = RequestBody(receive), request_id(write.request_id), None
        try:
            answer = await self._done(write, body, named)
        except ClientGone:
            return
        except Refused:  # the framework raises it again and responds
            pass
        except Exception as error:  # a second attempt might write twice
            scope = _with_error(scope, error)
        if answer is None:
            await self._app(scope, body.next_event, send)
        else:
            await _send(answer, named, send)

    async def _done(self, write: Write, body: RequestBody, named: bytes) -> Answer | None:
        began_s = time.monotonic()
        caller = await self._caller(write)
        if caller is None:
            return None
        add_log_facts(request=named.decode(), ticket=write.ticket or None)
        answer = await self._limited(write, body, caller)
        if answer is not None:
            requests_total, seconds = self._counted[write.kind]
            requests_total.inc()
            seconds.observe(time.monotonic() - began_s)
        return answer

    async def _limited(self, write: Write, body: RequestBody, caller: Caller) -> Answer | None:
        """Count the request against the user's limit, then carry out the write.  The request is counted first, so that
        no write is carried out and then refused by the limit.

        Returns the response; None if the framework must handle the request.  Raises Refused if there were too many
        requests, or if the write is not allowed.  In both cases the request is not counted here, because the framework
        then handles and counts it.
        """
        user, acted = str(caller.id), self._uploaded if write.kind is Kind.UPLOAD else self._written
        self._limit.count(user)
        try:
            answer = await acted(write, body, caller)
        except Refused:
            self._limit.uncount(user)
            raise
        if answer is None:
            self._limit.uncount(user)
        return answer

    async def _written(self, write: Write, body: RequestBody, caller: Caller) -> Answer | None:
        sent = await body.read_all(self._handler.settings.max_form_bytes, BODY_TIMEOUT_S)
        if sent is None:
            return None
        form = forms.decoded(write.query) | forms.decoded(b"".join(sent))
        act = self._handler.carry_out(write, form, caller)
        # A client that disconnects while its claim request waits gets no ticket.
        return await (body.while_connected(act) if write.kind.is_claim else act)

    async def _uploaded(self, write: Write, body: RequestBody, caller: Caller) -> Answer | None:
        if not await self._handler.accepts_files(write.ticket, caller):
            return None
        sent = await body.read_all(SMALL_BYTES, BODY_TIMEOUT_S)
        file = None if sent is None else multipart.lone_file(write.boundary, sent)
        return None if file is None else await self._handler.upload(write.ticket, file, caller)

    async def _caller(self, write: Write) -> Caller | None:
        keep = self._feed.is_current()
        caller = self._callers.known(write.cookie, write.authorization) if keep else None
        if caller is None:
            caller = await self._callers.load(write.cookie, write.authorization, keep=keep)
        if caller is None or not caller.has_scope(write.kind.scope):
            return None
        if self._requires_terms and caller.terms_accepted_at is None:
            return None
        return caller


def _with_error(scope: Scope, error: Exception) -> Scope:
    return cast("HTTPScope", {**scope, layer_attempt.ERROR: error})


async def _send(answer: Answer, named: bytes, send: ASGISendCallable) -> None:
    body = answer.body.encode()
    kind = [(b"content-type", answer.content_type.encode())] if answer.content_type else []
    headers = [*kind, (b"content-length", b"%d" % len(body)), (b"x-request-id", named)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def install(app: Quart) -> None:
    """Make the framework raise the error of a write that this layer has passed on, and so respond to it."""

    @app.before_request
    async def _raise_earlier() -> None:
        if error := layer_attempt.error_of(request.scope):
            raise error
