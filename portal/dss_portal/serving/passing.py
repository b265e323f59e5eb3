"""Lets a connection try a request on the layers in front of the framework before Hypercorn handles it.

If the layers do not handle the request, they raise Passed.  The connection then gives the same bytes to Hypercorn, and
the layers, which find the mark of the first attempt, pass the request to the framework at once.  So a write that failed
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
"""Key in an ASGI scope for the error of a failed write, to which the framework must respond."""


class Passed(Exception):
    """Raised if the layers in front of the framework do not handle a request that is only tried.  ``error`` is the
    error of a write that failed, to which the framework must respond; None if there is none.
    """

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error


class Behind:
    """ASGI middleware between the layers and the framework ``app``.  A request that is only tried does not reach the
    framework: Passed is raised.
    """

    def __init__(self, app: ASGIFramework) -> None:
        self._app = app

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if _TRIED in _state(scope):
            raise Passed(error_of(scope))
        await self._app(scope, receive, send)


def tried() -> ConnectionState:
    """The value ``state`` for the ASGI scope of a request that is first tried on the layers in front of the framework."""
    return ConnectionState({_TRIED: True})


def marked(state: ConnectionState, passed: Passed) -> ConnectionState:
    """A copy of ``state`` that also records that the layers in front of the framework have passed the request on.  It
    is a copy, because all connections share ``state``.
    """
    return ConnectionState({**state, _PASSED: passed})


def was_passed(scope: Scope) -> Passed | None:
    """The Passed that was raised when this request was tried on the layers before; None if it was not tried before."""
    found = _state(scope).get(_PASSED)
    return found if isinstance(found, Passed) else None


def error_of(scope: Scope) -> Exception | None:
    found = scope.get(ERROR)
    return found if isinstance(found, Exception) else None


def _state(scope: Scope) -> dict[str, Any]:
    found = scope.get("state")
    return found if isinstance(found, dict) else {}
