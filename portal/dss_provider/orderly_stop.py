"""Handles the signals that end ``dss service publish``."""

import os
import signal
from _thread import start_new_thread
from collections.abc import Callable

from dss_client.command_group import INTERRUPTED


class OrderlyStop:
    """A signal handler.  After the first signal no more tickets are claimed and the current ones finish.  After the
    second one the process ends at once; a later publisher continues the tickets.

    A closed terminal (SIGHUP) counts once, because shell and kernel both send the signal then.  ``tidy`` removes the
    files and containers of the current tickets before the process ends.
    """

    def __init__(
        self, stop: Callable[[], None], say: Callable[[str], None], tidy: Callable[[], None]
    ) -> None:
        self._stop = stop
        self._say = say
        self._tidy = tidy
        self._told = False

    def listen(self) -> None:
        """Become the handler of SIGINT, SIGTERM and SIGHUP.  SIGHUP stays ignored if the process ignores it already, as
        under nohup.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self)

    def __call__(self, number: int, _frame: object) -> None:
        if self._told and number == signal.SIGHUP:
            return
        if self._told:
            self._tidy()
            os._exit(INTERRUPTED)
        self._told = True
        self._say(
            "No more tickets are claimed; the current ones are finished.  A second Ctrl-C ends at once; a restart continues them."
        )
        # In a thread, because the main thread runs this handler and may hold a lock that `_stop` needs.
        start_new_thread(self._stop, ())
