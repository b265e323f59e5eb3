"""SIGTERM and Ctrl-C: the first asks a program to stop, the second ends it at once."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def on_stop(stop: Callable[[], object]) -> None:
    """From now on the first signal calls ``stop``, in the main thread.  Before, it ends the program."""

    def first(*_: object) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        stop()

    for number in SIGNALS:
        signal.signal(number, first)


def leave_at_once() -> NoReturn:
    """End with status 0 while handlers still run: their messages have gone back.

    Python would take itself apart under them first, and native code (torch, ITK) aborts then.
    """
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
