"""Handles signals: the first SIGTERM or Ctrl-C asks a program to stop, the second ends it; SIGUSR1 prints the stack of
each thread.
"""

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
from _thread import start_new_thread
from typing import NoReturn

from dss_process.startup import exit_on_signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)

POLL_S = 1.0


def stop_signal() -> threading.Event:
    """Install the handlers and return an event that the first signal sets; the second signal ends the program.

    SIGUSR1 prints the stack of each thread.
    """
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    stop = threading.Event()

    def first(*_: object) -> None:
        for number in SIGNALS:
            exit_on_signal(number)
        start_new_thread(
            stop.set, ()
        )  # the main thread, which runs this, may hold the lock of the event

    for number in SIGNALS:
        signal.signal(number, first)
    return stop


def wait_for_stop(stop: threading.Event) -> None:
    """Wait in the main thread until ``stop`` is set.  It polls, because a signal that the kernel delivers to another
    thread does not wake it.
    """
    while not stop.wait(POLL_S):
        pass


def stop_event() -> asyncio.Event:
    """Install the handlers and return an asyncio event of the running loop that the first signal sets.

    The second signal ends the program; SIGUSR1 prints the stack of each thread.
    """
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def first() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            exit_on_signal(number)
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, first)
    return stop


def exit_immediately() -> NoReturn:
    """End the process with status 0 at once, even if handlers of messages still run; RabbitMQ requeues their messages.

    An ordinary exit destroys the interpreter first, and running threads of torch and ITK then abort or hang.
    """
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
