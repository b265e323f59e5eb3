"""How the portal says no: a status and a plain sentence, never a page or a traceback."""

import logging

from quart import Quart, Response
from werkzeug.exceptions import HTTPException

from dss_portal.formats import plain

log = logging.getLogger(__name__)


class Refused(Exception):
    """The request cannot be served; ``text`` is shown to the user as it stands."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class NotSignedIn(Refused):
    """The text is the one that clients know."""

    def __init__(self) -> None:
        super().__init__("You are not logged in!", 401)


# The reference server's words, which old scripts compare.
_WORDS = {404: "not found", 405: "method not allowed"}
_TYPES = {405: "text/html"}


def install(app: Quart) -> None:
    """Answer every error in plain text, and OPTIONS like any method that an address does not have."""
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    @app.errorhandler(Refused)
    async def _refused(error: Refused) -> Response:
        return plain(error.text, error.status)

    @app.errorhandler(HTTPException)
    async def _http(error: HTTPException) -> Response:
        status = error.code or 500
        answer = plain(_WORDS.get(status, error.description or error.name), status)
        answer.headers["Content-Type"] = _TYPES.get(status, "text/html; charset=utf-8")
        if allowed := getattr(error, "valid_methods", None):
            answer.headers["Allow"] = ", ".join(sorted(set(allowed) - {"HEAD", "OPTIONS"}))
        return answer

    @app.errorhandler(Exception)
    async def _unexpected(error: Exception) -> Response:
        log.error("request failed", exc_info=error)
        answer = plain("internal server error", 500)
        answer.headers["Content-Type"] = "text/html"
        return answer
