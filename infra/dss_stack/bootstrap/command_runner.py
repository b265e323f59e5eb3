"""Runs the commands of the bootstrap: their output goes to a log, one line for each step goes to the terminal."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from dss_stack.errors import StackError

_CLEAR = "\r\x1b[K"
_WIDTH = 90


class CommandRunner:
    """Runs commands, with the folder ``checkout`` as default working folder.  Methods may be called from several
    threads.

    ``lock`` is an open, locked file that every command inherits.  While a command runs, even after this process was
    killed, no other process can lock the file.
    """

    def __init__(self, checkout: Path, log: Path, lock: TextIO) -> None:
        self.checkout = checkout
        self._log = log
        self._lock = lock
        self._begun = time.monotonic()
        self._terminal = threading.Lock()

    def say(self, text: str) -> None:
        """Show a step to the user, with the seconds since the start."""
        self._write(f"{text}\n")

    def run(
        self,
        command: Sequence[str],
        *,
        purpose: str,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Run a command to its end.  Raises StackError, which names the ``purpose``, if it fails."""
        with subprocess.Popen(
            command,
            cwd=folder or self.checkout,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            pass_fds=(self._lock.fileno(),),
        ) as process:
            last = self._follow(process, " ".join(command))
        if process.returncode != 0:
            raise StackError(f"{purpose} failed: {last}\nAll its output is in {self._log}.")

    def _follow(self, process: subprocess.Popen[str], title: str) -> str:
        """Copy the output of ``process`` to the log until it ends, and return its last line."""
        assert process.stdout is not None  # noqa: S101 - we asked for a pipe
        last = "it said nothing."
        with self._log.open("a") as log:
            log.write(f"\n$ {title}\n")
            for line in process.stdout:
                log.write(line)
                last = line.strip() or last
                self._show(last)
        return last

    def _show(self, line: str) -> None:
        """Show a line of a command's output on a terminal, where the next line overwrites it."""
        if sys.stdout.isatty():
            self._write(line[:_WIDTH])

    def _write(self, text: str) -> None:
        start = _CLEAR if sys.stdout.isatty() else ""
        with self._terminal:
            sys.stdout.write(f"{start}{time.monotonic() - self._begun:4.0f} s  {text}")
            sys.stdout.flush()
