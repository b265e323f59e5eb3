"""Starts processes that continue after the starting program has ended, finds them again, and ends them."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from dss_stack.errors import StartFailed

_POLL_S = 0.05


def launch(
    command: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str]
) -> psutil.Process:
    """Start ``command`` in ``folder``, in a session of its own, so that it continues after the terminal is closed.
    Returns at once.

    The output is appended to ``log``, which only its owner may read.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    words = ["env", f"--chdir={folder}", "--", *command]
    pid = os.posix_spawnp("env", words, environment, file_actions=actions, setsid=True)
    return psutil.Process(pid)


def alive(process: psutil.Process) -> bool:
    """True if the process runs; False also for a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def working_in(folder: Path, program: str) -> list[psutil.Process]:
    """The live processes of ``program`` whose working folder is ``folder``.

    ``program`` is the name of an executable, or of a module that Python was told to run.
    """
    found = psutil.process_iter(["name", "cwd", "cmdline"])
    here = [process for process in found if process.info["cwd"] == str(folder)]
    return [p for p in here if program in _names(p) and alive(p)]


def _names(process: psutil.Process) -> tuple[str | None, ...]:
    """The names by which ``working_in`` knows a process: its name and the words of its command line.  psutil has no
    command line for a process that has just ended.
    """
    return (process.info["name"], *(process.info["cmdline"] or ()))


def wait_for_end(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait up to ``timeout_s`` for the end of ``processes``.  Returns those that still run."""
    until = time.monotonic() + timeout_s
    while (left := [p for p in processes if alive(p)]) and time.monotonic() < until:
        time.sleep(_POLL_S)
    return left


def end(process: psutil.Process, *, signal: int, timeout_s: float) -> None:
    """Send ``signal`` to ``process`` and wait for its end; kill it if it has not ended after ``timeout_s``."""
    try:
        process.send_signal(signal)
    except psutil.NoSuchProcess:
        return
    for stubborn in wait_for_end([process], timeout_s):
        stubborn.kill()
        wait_for_end([stubborn], timeout_s)


def wait_until_ready(
    name: str, ready: Callable[[], bool], *, process: psutil.Process, log: Path, timeout_s: float
) -> None:
    """Return as soon as ``ready`` returns True.

    Raises StartFailed with the last lines of ``log`` if ``process`` ends before that, or is not ready after
    ``timeout_s``.
    """
    until = time.monotonic() + timeout_s
    while not ready():
        if not alive(process):
            raise StartFailed(f"{name} ended while starting. Its last words:\n{last_lines(log)}")
        if time.monotonic() > until:
            raise StartFailed(
                f"{name} was not ready after {timeout_s:.0f} s. A busy machine takes longer: run the command again. "
                f"Its last words:\n{last_lines(log)}"
            )
        time.sleep(_POLL_S)


def last_lines(log: Path, count: int = 15) -> str:
    """The last ``count`` lines of ``log``, of its last 16 KiB at most, or a note that it does not exist."""
    if not log.exists():
        return "(it has written nothing)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16 * 1024))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
