"""Lets a connection try the layers in front of the framework, and pass on a request that they do not handle.

The connection then gives the same bytes to h11, and the layers pass that request on at once.  So a write that failed
is not tried a second time, and the framework responds to its error.
"""

from typing import Any

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    ConnectionState,
    Scope,
)

_TRIED, _PASSED = "dss_portal.tried", "dss_portal.passed"
ERROR = "dss_portal.error"
"""Key of a scope for the error that the framework must answer."""


class Passed(Exception):
    """Raised if the layers do not handle a request that is tried.  ``error`` is the error that the framework must
    respond to.
    """

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error


class Behind:
    """ASGI middleware directly in front of the framework ``app``.  It raises Passed for a request that is only tried."""

    def __init__(self, app: ASGIFramework) -> None:
        self._app = app

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if _TRIED in _state(scope):
            raise Passed(error_of(scope))
        await self._app(scope, receive, send)


def tried() -> ConnectionState:
    """The state of a request that is only tried, which marks it for ``Behind``."""
    return ConnectionState({_TRIED: True})


def marked(state: ConnectionState, passed: Passed) -> ConnectionState:
    """A copy of ``state``, which all connections share, for a request that the layers have passed on."""
    return ConnectionState({**state, _PASSED: passed})


def was_passed(scope: Scope) -> Passed | None:
    """The Passed with which the layers passed on the request when it was tried; None if it was not tried."""
    found = _state(scope).get(_PASSED)
    return found if isinstance(found, Passed) else None


def error_of(scope: Scope) -> Exception | None:
    found = scope.get(ERROR)
    return found if isinstance(found, Exception) else None


def _state(scope: Scope) -> dict[str, Any]:
    found = scope.get("state")
    return found if isinstance(found, dict) else {}
