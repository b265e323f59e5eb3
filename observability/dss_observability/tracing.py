"""The W3C trace that the work in hand belongs to, and the spans of which it is made.

Without a tracer, which is the default, a span is nothing, and the trace that others have begun is only
carried on.  ``telemetry`` has the tracer that sends spans to OpenTelemetry; nothing else knows it.
"""

import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Protocol, TypeAlias

TRACEPARENT = "traceparent"
"""Header of a request and of a message, as in https://www.w3.org/TR/trace-context/."""

current_traceparent: ContextVar[str | None] = ContextVar("current_traceparent", default=None)
"""The span in hand; what is published or logged meanwhile belongs to it."""

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Attributes: TypeAlias = Mapping[str, str | int | float]
"""By OpenTelemetry's semantic conventions, or ``dss.<name>``.  No patient data, no file name, no token."""


class Kind(StrEnum):
    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span(Protocol):
    """Some work that goes on.  Every method may be called from any thread."""

    @property
    def traceparent(self) -> str | None:
        """For those who go on with the work."""

    def note(self, attributes: Attributes) -> None: ...

    def end(self, failure: str = "") -> None:
        """``failure`` is the kind of error that ended it, not its text: that may name a patient's file."""


class Tracer(Protocol):
    def begin(
        self, name: str, kind: Kind, parent: str | None, attributes: Attributes, began_ns: int
    ) -> Span: ...


@dataclass(frozen=True)
class _Untold:
    """Nobody wants to know; the trace goes on."""

    traceparent: str | None

    def note(self, attributes: Attributes) -> None: ...

    def end(self, failure: str = "") -> None: ...


@dataclass
class _Chosen:
    tracer: Tracer | None = None


_chosen = _Chosen()


def use(tracer: Tracer | None) -> None:
    """From now on spans go to ``tracer``; None: nowhere."""
    _chosen.tracer = tracer


def is_on() -> bool:
    """Does anybody want to know of spans?"""
    return _chosen.tracer is not None


def valid(traceparent: str | None) -> str | None:
    """``traceparent`` if it is one: it may come from anybody."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


def trace_id() -> str | None:
    """Of the work in hand."""
    found = _TRACEPARENT.fullmatch(current_traceparent.get() or "")
    return found[1] if found else None


def in_trace_of(traceparent: str | None) -> str | None:
    """The span in hand if it belongs to the same trace, or there is no other; otherwise ``traceparent``."""
    wanted = _TRACEPARENT.fullmatch(traceparent or "")
    return traceparent if wanted and wanted[1] != trace_id() else current_traceparent.get()


def begin(
    name: str,
    *,
    kind: Kind = Kind.INTERNAL,
    parent: str | None = None,
    attributes: Attributes | None = None,
    began_ns: int | None = None,
) -> Span:
    """A span that the caller ends, below ``parent``, or else below the one in hand."""
    above = valid(parent) or current_traceparent.get()
    if _chosen.tracer is None:
        return _Untold(above)
    began_ns = time.time_ns() if began_ns is None else began_ns
    return _chosen.tracer.begin(name, kind, above, attributes or {}, began_ns)


@contextmanager
def span(
    name: str, *, kind: Kind = Kind.INTERNAL, attributes: Attributes | None = None
) -> Iterator[Span]:
    """The block as a span; it is the one in hand meanwhile."""
    begun = begin(name, kind=kind, attributes=attributes)
    with within(begun.traceparent):
        try:
            yield begun
        except BaseException as error:
            begun.end(type(error).__name__)
            raise
        begun.end()


@contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """The block belongs to that span, or to none."""
    token = current_traceparent.set(traceparent)
    try:
        yield
    finally:
        current_traceparent.reset(token)


def end_with(begun: Span, done: "Future[None]") -> None:
    """End the span when ``done`` is."""

    def ended(settled: "Future[None]") -> None:
        error = settled.exception()
        begun.end(type(error).__name__ if error else "")

    done.add_done_callback(ended)


@dataclass
class Steps:
    """Spans one after another below the one in hand; ``enter`` may be called from any thread, one at a time."""

    attributes: Attributes
    parent: str | None = field(default_factory=current_traceparent.get)
    _name: str = ""
    _open: Span | None = None

    def enter(self, name: str) -> None:
        """The step before is done; the same name again is the same step."""
        if name == self._name:
            return
        self._end()
        self._name = name
        self._open = begin(name, parent=self.parent, attributes=self.attributes)

    def __enter__(self) -> "Steps":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(kind.__name__ if kind else "")

    def _end(self, failure: str = "") -> None:
        if self._open is not None:
            self._open.end(failure)
        self._open, self._name = None, ""
