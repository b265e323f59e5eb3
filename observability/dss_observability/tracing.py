"""Spans of the programs' work, and the W3C trace to which they belong, without a tracing library.

By default there is no tracer: spans are not recorded, and the trace of a caller is only passed on.  ``telemetry``
contains the tracer that sends spans to OpenTelemetry; only ``telemetry`` imports that library.
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
"""Name of the header with the trace, in HTTP requests and in messages; see https://www.w3.org/TR/trace-context/."""

current_traceparent: ContextVar[str | None] = ContextVar("current_traceparent", default=None)
"""Traceparent of the current span of this asyncio task or thread.  Messages carry it, log lines its trace id."""

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Attributes: TypeAlias = Mapping[str, str | int | float]
"""Attributes of a span, by name: a name of OpenTelemetry's semantic conventions, or ``dss.<name>``.  The values must
not contain patient data, file names or tokens.
"""


class SpanKind(StrEnum):
    """The kind of a span, as in OpenTelemetry."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span(Protocol):
    """A span that has begun.  Every method may be called from any thread."""

    @property
    def traceparent(self) -> str | None:
        """The traceparent to pass on to programs and functions that are called; None if there is no trace."""

    def note(self, attributes: Attributes) -> None: ...

    def end(self, failure: str = "") -> None:
        """End the span.  ``failure`` is the class name of the error that has ended it, or "" for success.

        The error's text is not recorded, because it may name a patient's file.
        """


class Tracer(Protocol):
    """Creates spans and records them."""

    def begin(
        self, name: str, kind: SpanKind, parent: str | None, attributes: Attributes, began_ns: int
    ) -> Span: ...


@dataclass(frozen=True)
class _UnrecordedSpan:
    """A span that is not recorded, used without a tracer.  Its ``traceparent`` is that of the caller."""

    traceparent: str | None

    def note(self, attributes: Attributes) -> None: ...

    def end(self, failure: str = "") -> None: ...


@dataclass
class _TracerHolder:
    tracer: Tracer | None = None


_holder = _TracerHolder()


def set_tracer(tracer: Tracer | None) -> None:
    """Record all later spans of this process with ``tracer``; with None, they are not recorded."""
    _holder.tracer = tracer


def is_on() -> bool:
    """True if a tracer records spans."""
    return _holder.tracer is not None


def valid(traceparent: str | None) -> str | None:
    """``traceparent``, which may come from any client, if it is well-formed; otherwise None."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


def trace_id() -> str | None:
    """Trace id (32 hex digits) of the current span; None if there is none."""
    found = _TRACEPARENT.fullmatch(current_traceparent.get() or "")
    return found[1] if found else None


def given_or_current(traceparent: str | None) -> str | None:
    """``traceparent`` if it is well-formed and belongs to another trace than the current span; otherwise the current
    span's traceparent, None without a current span.
    """
    wanted = _TRACEPARENT.fullmatch(traceparent or "")
    return traceparent if wanted and wanted[1] != trace_id() else current_traceparent.get()


def begin(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: str | None = None,
    attributes: Attributes | None = None,
    began_ns: int | None = None,
) -> Span:
    """Begin a span, which the caller must end.  It does not become the current span.

    ``parent`` is the traceparent of its parent; if it is missing or invalid, the parent is the current span.
    ``began_ns`` is the time of its beginning in nanoseconds since 1970, by default now.
    """
    above = valid(parent) or current_traceparent.get()
    if _holder.tracer is None:
        return _UnrecordedSpan(above)
    began_ns = time.time_ns() if began_ns is None else began_ns
    return _holder.tracer.begin(name, kind, above, attributes or {}, began_ns)


@contextmanager
def span(
    name: str, *, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None
) -> Iterator[Span]:
    """A context with a new span, which is the current span in the context and ends with it.

    If the block raises, the span ends as failed, with the error's class name.
    """
    begun = begin(name, kind=kind, attributes=attributes)
    with in_span_of(begun.traceparent):
        try:
            yield begun
        except BaseException as error:
            begun.end(type(error).__name__)
            raise
        begun.end()


@contextmanager
def in_span_of(traceparent: str | None) -> Iterator[None]:
    """A context in which the span of ``traceparent`` is the current span; with None, there is no current span."""
    token = current_traceparent.set(traceparent)
    try:
        yield
    finally:
        current_traceparent.reset(token)


def end_when_done(begun: Span, done: "Future[None]") -> None:
    """End the span ``begun`` when ``done`` has a result or an error; with an error, the span ends as failed."""

    def ended(settled: "Future[None]") -> None:
        error = settled.exception()
        begun.end(type(error).__name__ if error else "")

    done.add_done_callback(ended)


@dataclass
class SpanChain:
    """A context for work in consecutive steps, with a span for each step, which is a child of ``parent``.

    ``parent`` is a traceparent, by default that of the current span.  The end of the context ends the last span, as
    failed if the block has raised.
    ``enter`` may be called from any thread, but not concurrently.
    """

    attributes: Attributes
    parent: str | None = field(default_factory=current_traceparent.get)
    _name: str = ""
    _open: Span | None = None

    def enter(self, name: str) -> None:
        """End the span of the current step and begin that of the step ``name``, unless that is the current step."""
        if name == self._name:
            return
        self._end()
        self._name = name
        self._open = begin(name, parent=self.parent, attributes=self.attributes)

    def __enter__(self) -> "SpanChain":
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
