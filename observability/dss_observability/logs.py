"""One event per line: constant text, facts beside it.  No patient data, no token."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _ReadableFormatter(logging.Formatter):
    """For people: the facts follow the text as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        facts = [f"{k}={v}" for k, v in vars(record).items() if k not in _STANDARD]
        return "  ".join([super().format(record), *facts])


def configure_logging(program: str, *, json_lines: bool, level: str = "INFO") -> None:
    """Send all logging to standard error.  Called once, by a program's ``__main__``."""
    handler = logging.StreamHandler(sys.stderr)
    if json_lines:
        handler.setFormatter(
            JsonFormatter(
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
    # Seven lines for each refused connection, of which rabbit_link makes one.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    # A trace for each try to mend its pool; whoever meets the outage says so.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
