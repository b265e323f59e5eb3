"""SIGTERM and Ctrl-C: the first asks a program to stop, the second ends it at once."""

import signal
from collections.abc import Callable

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def on_stop(stop: Callable[[], object]) -> None:
    """From now on the first signal calls ``stop``, in the main thread.  Before, it ends the program."""

    def first(*_: object) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        stop()

    for number in SIGNALS:
        signal.signal(number, first)
