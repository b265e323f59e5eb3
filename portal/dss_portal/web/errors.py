"""Turns exceptions of requests into responses: a status and a sentence in plain text, without a page or a traceback."""

import asyncio
import errno
import logging
from contextlib import suppress

from asyncpg import DataError
from quart import Quart, Response, request
from tortoise.exceptions import OperationalError, ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestedRangeNotSatisfiable

from dss_datastore.space import is_disk_full
from dss_datastore.volume import is_away
from dss_portal import database
from dss_portal.refusals import Refused
from dss_portal.web.answers import plain

log = logging.getLogger(__name__)


# The reference server's words, which old scripts compare.
_WORDS = {404: "not found", 405: "method not allowed"}
_TYPES = {405: "text/html"}

REST_BYTES = 64 * 1024
REST_S = 1.0
AWAY_S = 10


def install(app: Quart) -> None:
    """Make ``app`` respond to every error with a status and a plain sentence, unless a more specific handler, such as
    those of the pages, is registered; and treat OPTIONS as any other method that a route does not have.
    """
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    app.register_error_handler(Refused, _refused)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)
    app.after_request(_take_the_rest)


async def _refused(error: Refused) -> Response:
    return plain(error.text, error.status)


async def _http(error: HTTPException) -> Response:
    return reference_answer(error)


async def _unexpected(error: Exception) -> Response:
    if _is_of_the_request(error):
        # The error itself is not logged, because its text contains the complete value.
        kind = type(error.__cause__ or error).__name__
        log.warning("the database takes no such value", extra={"reason": kind, "route": _route()})
        return plain("The request has a value that is too long or too large.", 400)
    return await _outage(error) or _fault(error)


async def _outage(error: Exception) -> Response | None:
    """The response to an error that the database, its schema, or the files' disk has caused; None to another error."""
    if database.is_missing_table(error) and await _misses_migrations(error):
        return _later("This service is being set up; please try again in a minute.")
    if await database.is_temporary(error):
        return _away(error)
    if is_disk_full(error):
        log.warning("disk full", extra={"reason": repr(error)})
        return plain("The service has no room on its disk; please tell its operator.", 507)
    if is_away(error):
        log.warning("datastore away", extra={"reason": repr(error)})
        return _later("The service cannot reach its files; please try again in a minute.")
    return None


def _fault(error: Exception) -> Response:
    """The response to an error of this program, which is logged with its traceback."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return plain(_WORDS[404], 404)  # a static file; the names of other files are ours
    facts = {"route": _route(), "ticket": (request.view_args or {}).get("ticket_id")}
    log.error("request failed", exc_info=error, extra=facts)
    answer = plain("internal server error", 500)
    answer.headers["Content-Type"] = "text/html"
    return answer


async def _take_the_rest(response: Response) -> Response:
    """Read the rest of a small request body before ``response`` is sent; otherwise the server would close the
    connection before the client sees the response.
    """
    if 0 < (request.content_length or 0) <= REST_BYTES:
        with suppress(Exception):
            async with asyncio.timeout(REST_S):  # cheaper than wait_for, which makes a task
                await _drained()
    return response


def reference_answer(error: HTTPException) -> Response:
    """The response to an HTTP error, such as an unknown address, with the same words and headers as the reference
    server.
    """
    status = error.code or 500
    answer = plain(_WORDS.get(status, error.description or error.name), status)
    answer.headers["Content-Type"] = _TYPES.get(status, "text/html; charset=utf-8")
    if isinstance(error, MethodNotAllowed):
        allowed = set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}
        answer.headers["Allow"] = ", ".join(sorted(allowed))
    if isinstance(error, RequestedRangeNotSatisfiable) and error.length is not None:
        answer.headers["Content-Range"] = f"{error.units} */{error.length}"
    return answer


async def _misses_migrations(error: Exception) -> bool:
    try:
        return await database.misses_migrations(error)
    except Exception:  # the database has become unavailable
        return False


def _away(error: Exception) -> Response:
    log.warning("database away", extra={"reason": repr(error)})
    why = "does not answer"
    if database.has_full_disk(error):
        why = "has no room on its disk"
    elif database.is_read_only(error):
        why = "takes no changes"
    return _later(f"The database of this service {why}; please try again in a minute.")


def _later(sentence: str) -> Response:
    answer = plain(sentence, 503)
    answer.headers["Retry-After"] = str(AWAY_S)
    return answer


async def _drained() -> None:
    async for _ in request.body:
        pass


def _route() -> str | None:
    return request.url_rule.rule if request.url_rule else None


def _is_of_the_request(error: Exception) -> bool:
    """True if the error means that the database or its model has refused a value that the request contains."""
    if isinstance(error, OperationalError):
        return isinstance(error.__cause__, DataError | ValueError)  # our driver raises ValueError
    return isinstance(error, ValidationError)
