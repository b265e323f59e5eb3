"""Runs an algorithm's process with limits on its time, memory and output, and ends it with all its children.  Nothing
relies on the process behaving well.
"""

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

from dss_provider import launcher
from dss_provider.errors import AlgorithmFailed, Withdrawn
from dss_provider.process_output import ProcessOutput

POLL_S = 0.1
GRACE_S = 2.0
"""Time in seconds between SIGTERM and SIGKILL."""
PIECE_BYTES = 65536
MOST_LEFT_PIECES = 64
"""Number of pieces of output that are read after the process has ended; limited, because children of the process may
write without end.
"""

_MARK = "DSS_WORK"
"""An environment variable of the process, which its children inherit.  It identifies children that have left the
process group.
"""
_SECRETS = ("DSS_TOKEN",)

ProgressListener = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True)
class ProcessLimits:
    """The limits of a process; None means no limit.  ``scratch`` is the folder for its temporary files."""

    time_s: float | None = None
    memory_bytes: int | None = None
    scratch: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a process ended.  ``status`` is the exit status as in a shell (128 plus the signal's number); ``detail`` is
    the end of the output.
    """

    status: int
    detail: str


def run_process(
    words: Sequence[str],
    folder: Path,
    limits: ProcessLimits,
    on_progress: ProgressListener,
    ended: threading.Event,
) -> Ending:
    """Run the command ``words`` in ``folder`` until the process has ended; children that still run then are killed.
    ``on_progress`` is called with the progress, and must return at once.

    Raises AlgorithmFailed after ``limits.time_s``, and Withdrawn when ``ended`` is set; in both cases the process and
    its children have been ended before.
    """
    output, mark = ProcessOutput(on_progress), uuid4().hex
    process = _started(words, folder, limits, mark)
    try:
        with _Pipes(process, output) as pipes:
            try:
                _wait(process, pipes, limits.time_s, ended)
            except AlgorithmFailed as error:
                raise AlgorithmFailed(str(error), output.detail) from error
            finally:
                _end(process, pipes, mark)
                pipes.read_rest()
    finally:
        process.wait()
    status = process.returncode
    return Ending(status=status if status >= 0 else 128 - status, detail=output.detail)


def _started(
    words: Sequence[str], folder: Path, limits: ProcessLimits, mark: str
) -> "subprocess.Popen[bytes]":
    launch = [sys.executable, "-I", "-S", launcher.__file__, str(limits.memory_bytes or 0)]
    return subprocess.Popen(
        [*launch, *words],
        cwd=folder,
        env={name: v for name, v in os.environ.items() if name not in _SECRETS}
        | {_MARK: mark}
        | ({"TMPDIR": str(limits.scratch)} if limits.scratch else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )


class _Pipes:
    """Reads standard output and standard error of a process, without waiting for complete lines or for the end of the
    process.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", output: ProcessOutput) -> None:
        self._open: list[IO[bytes]] = []
        self._selector = selectors.DefaultSelector()
        for pipe, handle in ((process.stdout, output.message), (process.stderr, output.text)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, handle)
                self._open.append(pipe)

    def __enter__(self) -> "_Pipes":
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for pipe in self._open:
            pipe.close()

    def read(self, within_s: float) -> bool:
        """Wait up to ``within_s`` seconds for output, and read a piece of each pipe.  False if there was none."""
        if not self._selector.get_map():
            time.sleep(within_s)  # both pipes are closed, but the process runs
            return False
        found = self._selector.select(within_s)
        for key, _ in found:
            data = self._piece(key.fd)
            if data == b"":
                self._selector.unregister(key.fileobj)
            elif data:
                key.data(data)
        return bool(found)

    @staticmethod
    def _piece(fd: int) -> bytes | None:
        with suppress(BlockingIOError):
            return os.read(fd, PIECE_BYTES)
        return None

    def read_rest(self) -> None:
        for _ in range(MOST_LEFT_PIECES):
            if not self._selector.get_map() or not self.read(0):
                return


def _wait(
    process: "subprocess.Popen[bytes]",
    pipes: _Pipes,
    time_s: float | None,
    ended: threading.Event,
) -> None:
    end_s = time.monotonic() + (time_s or float("inf"))
    while process.poll() is None:
        pipes.read(POLL_S)
        if ended.is_set():
            raise Withdrawn
        if time.monotonic() > end_s:
            raise AlgorithmFailed(f"The algorithm took longer than the {time_s:g} s that it may.")


def _end(process: "subprocess.Popen[bytes]", pipes: _Pipes, mark: str) -> None:
    """Terminate the process if it still runs, and wait up to GRACE_S.  Then kill it and all its children."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        end_s = time.monotonic() + GRACE_S
        while process.poll() is None and time.monotonic() < end_s:
            pipes.read(POLL_S)
    _signal(process, signal.SIGKILL)
    _end_marked(mark)


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _end_marked(mark: str) -> None:
    """Kill the children that have left the process group, such as daemons.  Works only where there is /proc."""
    wanted = f"{_MARK}={mark}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError, ValueError):
            if wanted in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)
