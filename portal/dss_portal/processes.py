"""Runs a portal in several processes that share the port for clients.

The first process serves no requests.  It starts the others, restarts those that end unexpectedly, and passes SIGTERM
on.  Each of the others works like a portal on another machine: with a name, connections, a feed of changes and a port
for operators of its own.
"""

import ctypes
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable

import typer

from dss_portal.settings import Settings
from dss_process.signals import SIGNALS, stop_signal
from dss_process.startup import exit_on_signal
from dss_process.supervision import Health

log = logging.getLogger(__name__)

EX_SOFTWARE = 70
"""Exit status of a process that ended with an error of the program, as in ``sysexits.h``."""
POLL_S = 0.1
_PR_SET_PDEATHSIG = 1


class ProcessEnded(RuntimeError):
    """A process has ended although it was not told to."""


def of_process(settings: Settings, number: int) -> Settings:
    """The settings of process number ``number``, counted from 0.  Number 0 has the settings unchanged.

    Process n has the suffix ``-{n + 1}`` in its name and a port for operators that is higher by n.  Port 0, which
    stands for any free port, stays.
    """
    if number == 0:
        return settings
    changes = {"instance": f"{settings.instance}-{number + 1}"}
    host, _, port = settings.metrics_bind.rpartition(":")
    if port and int(port):
        changes["metrics_bind"] = f"{host}:{int(port) + number}"
    return settings.model_copy(update=changes)


def serve_in_many(
    settings: Settings, serve: Callable[[Settings], None], stop_timeout_s: float
) -> int:
    """Run ``serve`` in ``settings.portal_processes`` processes until SIGTERM, and return 0; if one of them cannot start,
    end the others and return its exit status.  It must be called before this process starts a thread.

    A process that does not end within ``stop_timeout_s`` seconds after SIGTERM is killed.
    """
    children = [_Child(of_process(settings, n), serve) for n in range(settings.portal_processes)]
    stop = stop_signal()
    for child in children:
        child.start()
    status = _watch(children, stop)
    _end(children, stop_timeout_s)
    return status


class _Child:
    """One of the processes that serve requests.  ``pid`` is 0 while it does not run."""

    def __init__(self, settings: Settings, serve: Callable[[Settings], None]) -> None:
        self._settings = settings
        self._serve = serve
        self._health = Health(name=settings.instance)
        self._again_s = 0.0
        self._starts = 0
        self.pid = 0

    def start(self) -> None:
        """Fork.  A signal for the new process waits until that process has installed its own handlers: the handlers
        that it inherits would swallow the signal.
        """
        self._starts += 1
        self._health.started()
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.pid = os.fork()
        if self.pid == 0:
            _serve_in_child(parent, lambda: self._serve(self._settings))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def restart_if_ended(self) -> int | None:
        """Start the process again, after a backoff, if it has ended; returns None.  If it reported at its first start
        why it cannot start, it is not started again, and its exit status is returned.
        """
        if not self.pid:
            if time.monotonic() >= self._again_s:
                self.start()
            return None
        status = self.ended()
        if status is None:
            return None
        if self._starts == 1 and status > 0 and status != EX_SOFTWARE:
            return status
        error = ProcessEnded(f"status {status}")
        self._again_s = time.monotonic() + self._health.failed(error)
        return None

    def ended(self) -> int | None:
        """The exit status, which is negative if a signal ended the process; None while the process runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def send(self, number: signal.Signals) -> None:
        if self.pid:
            os.kill(self.pid, number)


def _serve_in_child(parent: int, serve: Callable[[], None]) -> None:
    """Serve in this process until ``serve`` returns, then end the process.  The process also gets SIGTERM if the first
    process dies; a Ctrl-C of the terminal does not reach it.
    """
    status = EX_SOFTWARE
    try:
        for number in SIGNALS:
            exit_on_signal(number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent has died already
            return
        random.seed()
        serve()
        status = 0
    except typer.Exit as error:
        status = error.exit_code
    except Exception:
        log.exception("process of the portal ended unforeseen")
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _watch(children: list[_Child], stop: threading.Event) -> int:
    """Restart processes that end, until ``stop`` is set; then return 0.  If a process cannot start, return its exit
    status at once.
    """
    while not stop.wait(POLL_S):
        for child in children:
            if status := child.restart_if_ended():
                return status
    return 0


def _end(children: list[_Child], stop_timeout_s: float) -> None:
    deadline_s = time.monotonic() + stop_timeout_s
    for child in children:
        child.send(signal.SIGTERM)
    while any(child.pid and child.ended() is None for child in children):
        if time.monotonic() > deadline_s:
            for child in children:
                child.send(signal.SIGKILL)
        time.sleep(POLL_S)
