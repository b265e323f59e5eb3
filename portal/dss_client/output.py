"""Writes the output of the commands of ``dss``.  ``say`` makes text safe for a terminal; output that cannot be written
is an error.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal, TextIO

import click

from dss_client.errors import ClientError
from dss_client.printable import printable


class OutputLost(ClientError):
    """Standard output cannot be written: the disk is full, or the reading program has ended."""


def say(text: str, *, error: bool = False, indent: int = 0) -> None:
    """Print ``text``, made safe for a terminal, and a line break; with ``error`` on standard error.  Lines of ``text``
    after the first begin with ``indent`` blanks.

    Raises OutputLost if standard output cannot be written; errors when writing to standard error are ignored.
    """
    try:
        click.echo(printable(text, indent=indent), err=error)
    except OSError as failure:
        if not error:
            raise lost(failure) from failure


def write(stream: TextIO, text: str) -> None:
    """Write ``text`` unchanged, and flush.  Raises OutputLost if ``stream`` cannot be written."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as failure:
        raise lost(failure) from failure


def lost(failure: OSError) -> OutputLost:
    """The OutputLost for ``failure``, with the reason in a sentence."""
    if isinstance(failure, BrokenPipeError):
        return OutputLost("The output was closed by its reader before everything was written.")
    return OutputLost(f"The output cannot be written: {failure.strerror}.")


def prepare_streams() -> None:
    """Replace streams that the caller has closed (``>&-``, a service without a terminal) by empty ones.

    A character that the terminal's encoding lacks is printed as its number instead of raising an error.
    """
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = sys.stdout or _nowhere("w")
    sys.stderr = sys.stderr or _nowhere("w")
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _nowhere(mode: Literal["r", "w"]) -> TextIO:
    return Path(os.devnull).open(mode, encoding="utf-8")


def flush() -> None:
    """Flush standard output.  Raises OutputLost if it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as failure:
        raise lost(failure) from failure


def abandon() -> None:
    """Redirect output that cannot be written to the null device, so that Python's flush at exit does not fail as
    well.
    """
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
