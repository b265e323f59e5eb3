"""Lets a connection try a request on the layers in front of the framework before Hypercorn handles it.

If the layers do not handle the request, they raise NotHandled.  The connection then gives the same bytes to Hypercorn,
and the layers, which find the mark of the first attempt, pass the request to the framework at once.  So a write that failed
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

_IS_ATTEMPT, _ATTEMPT = "dss_portal.is_layer_attempt", "dss_portal.layer_attempt"
ERROR = "dss_portal.error"
"""Key in an ASGI scope for the error of a failed write, to which the framework must respond."""


class NotHandled(Exception):
    """Raised if the layers in front of the framework do not handle a request that is only tried.  ``error`` is the
    error of a write that failed, to which the framework must respond; None if there is none.
    """

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error


class FrameworkGuard:
    """ASGI middleware between the layers and the framework ``app``.  A request that is only tried does not reach the
    framework: NotHandled is raised.
    """

    def __init__(self, app: ASGIFramework) -> None:
        self._app = app

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        if _IS_ATTEMPT in _state(scope):
            raise NotHandled(error_of(scope))
        await self._app(scope, receive, send)


def attempt_state() -> ConnectionState:
    """The value ``state`` for the ASGI scope of a request that is first tried on the layers in front of the framework."""
    return ConnectionState({_IS_ATTEMPT: True})


def with_attempt(state: ConnectionState, not_handled: NotHandled) -> ConnectionState:
    """A copy of ``state`` that also records that the layers in front of the framework have passed the request on.  It
    is a copy, because all connections share ``state``.
    """
    return ConnectionState({**state, _ATTEMPT: not_handled})


def earlier_attempt(scope: Scope) -> NotHandled | None:
    """The error that was raised when this request was tried on the layers before; None if it was not tried before."""
    found = _state(scope).get(_ATTEMPT)
    return found if isinstance(found, NotHandled) else None


def error_of(scope: Scope) -> Exception | None:
    found = scope.get(ERROR)
    return found if isinstance(found, Exception) else None


def _state(scope: Scope) -> dict[str, Any]:
    found = scope.get("state")
    return found if isinstance(found, dict) else {}
