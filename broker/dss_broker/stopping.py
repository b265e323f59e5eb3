"""Signals: the first SIGTERM or Ctrl-C asks a program to stop, the second ends it; SIGUSR1 asks where it is."""

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)

LOOK_S = 1.0


def on_stop(stop: Callable[[], object]) -> None:
    """From now on the first signal calls ``stop``, in the main thread.  Before, it ends the program.

    SIGUSR1 prints what every thread is doing, for those who wonder why a program does not go on.
    """
    faulthandler.register(signal.SIGUSR1, all_threads=True)

    def first(*_: object) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        stop()

    for number in SIGNALS:
        signal.signal(number, first)


def stop_signal() -> threading.Event:
    """Set when the program is asked to stop."""
    stop = threading.Event()
    on_stop(stop.set)
    return stop


def wait_for(stop: threading.Event) -> None:
    """In the main thread, which a signal does not wake that the kernel gave to another thread."""
    while not stop.wait(LOOK_S):
        pass


def leave_at_once() -> NoReturn:
    """End with status 0.  Handlers may still run: their messages have gone back.

    Otherwise Python would take itself apart first, under threads of torch and ITK that abort or hang then.
    """
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
