"""Logging of all programs: one event per line, which is a constant text with facts (names and values) beside it.

Lines contain no patient data and no tokens.
"""

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
"""Matches paths of the datastore that contain a file name given by a user, which may name a patient."""

_log_facts: ContextVar[dict[str, object] | None] = ContextVar("about", default=None)

ExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


def add_log_facts(**facts: object) -> None:
    """Add ``facts`` to every later log line of this asyncio task or thread.

    Facts that are None are left out.  If a line has a fact of the same name, the line's fact is logged.
    """
    known = {name: value for name, value in facts.items() if value is not None}
    _log_facts.set((_log_facts.get() or {}) | known)


@contextmanager
def log_facts(**facts: object) -> Iterator[None]:
    """A context in which ``facts`` are added to every log line of this asyncio task or thread, as by ``add_log_facts``."""
    token = _log_facts.set(_log_facts.get())
    add_log_facts(**facts)
    try:
        yield
    finally:
        _log_facts.reset(token)


def configure_logging(program: str, *, json_lines: bool, level: str = "INFO") -> None:
    """Send all logging from ``level`` on to standard error, as JSON or in lines for people.

    Called once, by a program's ``__main__``.
    """
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


def without_file_names(text: str) -> str:
    """``text`` with "(a file)" in place of each file name that a user has given."""
    return _OF_USERS.sub(r"\1(a file)", text)


class _NamelessTraces(logging.Formatter):
    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - the base class's name
        return without_file_names(super().formatException(ei))


class _JsonFormatter(_NamelessTraces, JsonFormatter):
    """Formats log lines as JSON, for programs that read them."""


class _ReadableFormatter(_NamelessTraces):
    """Formats log lines for people: the facts follow the text as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        facts = [f"{k}={v}" for k, v in vars(record).items() if k not in _STANDARD]
        return "  ".join([super().format(record), *facts])


def _complete(record: logging.LogRecord) -> bool:
    """A filter of logging: adds the facts of ``add_log_facts`` and the trace id to a record, and removes users' file names.

    Always True, so that every record is logged.
    """
    attributes = vars(record)
    for name, value in ((_log_facts.get() or {}) | {"trace": tracing.trace_id()}).items():
        if value is not None and attributes.get(name) is None:
            attributes[name] = value
    for name in set(attributes) - _STANDARD:
        if isinstance(value := attributes[name], str):
            attributes[name] = without_file_names(value)
        elif value is None:
            del attributes[name]
    return True
