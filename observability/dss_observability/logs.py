"""Logging: one event per line, a constant text with facts beside it.  No patient data, no token."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TypeAlias

from pythonjsonlogger.json import JsonFormatter

from dss_observability import tracing

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OF_USERS = re.compile(r"(tickets/\d+/\w+/|attachments/\d+/)[^'\"\n]+")
"""Places in a path after which a name follows that a user has given: such names may name patients."""

_about: ContextVar[dict[str, object] | None] = ContextVar("about", default=None)

ExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


def concerns(**facts: object) -> None:
    """Add ``facts`` to every later log line of this task or thread.  Facts that are None are left out, and a line's
    own facts take precedence.
    """
    known = {name: value for name, value in facts.items() if value is not None}
    _about.set((_about.get() or {}) | known)


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """A context in which ``facts`` are added to every log line."""
    token = _about.set(_about.get())
    concerns(**facts)
    try:
        yield
    finally:
        _about.reset(token)


def configure_logging(program: str, *, json_lines: bool, level: str = "INFO") -> None:
    """Send all logging to standard error.  Called once, by a program's ``__main__``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_complete)
    if json_lines:
        handler.setFormatter(
            _JsonFormatter(
                "{asctime}{levelname}{name}{message}",
                style="{",
                rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
                static_fields={"program": program},
            )
        )
    else:
        handler.setFormatter(
            _ReadableFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # pika logs seven lines for each refused connection; dss_broker logs one instead.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    # It logs a traceback for each attempt to repair its pool; the code that uses the pool logs the outage.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
    # Its lines contain addresses, which may contain secrets of users.
    logging.getLogger("httpx2").setLevel(logging.WARNING)


def without_names(text: str) -> str:
    """``text`` with "(a file)" in place of each file name that a user has given."""
    return _OF_USERS.sub(r"\1(a file)", text)


class _NamelessTraces(logging.Formatter):
    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - the base class's name
        return without_names(super().formatException(ei))


class _JsonFormatter(_NamelessTraces, JsonFormatter):
    """Formats lines as JSON, for programs."""


class _ReadableFormatter(_NamelessTraces):
    """Formats lines for people: the facts follow the text as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        facts = [f"{k}={v}" for k, v in vars(record).items() if k not in _STANDARD]
        return "  ".join([super().format(record), *facts])


def _complete(record: logging.LogRecord) -> bool:
    """Add the facts of ``concerns`` and the trace to a record, and remove users' file names from it."""
    said = vars(record)
    for name, value in ((_about.get() or {}) | {"trace": tracing.trace_id()}).items():
        if value is not None and said.get(name) is None:
            said[name] = value
    for name in set(said) - _STANDARD:
        if isinstance(value := said[name], str):
            said[name] = without_names(value)
        elif value is None:
            del said[name]
    return True
