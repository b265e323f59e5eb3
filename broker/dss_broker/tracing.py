"""The W3C trace that the work in hand belongs to, carried from message to message."""

from contextvars import ContextVar

TRACEPARENT = "traceparent"
"""Header of the message, as in https://www.w3.org/TR/trace-context/."""

current_traceparent: ContextVar[str | None] = ContextVar("current_traceparent", default=None)
"""Set while a handler runs; what is published meanwhile carries it on."""
