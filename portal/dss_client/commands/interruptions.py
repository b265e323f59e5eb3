"""Handles Ctrl-C, and the signals at the end of the terminal or machine, in a command that sends images."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click

from dss_client.command_group import INTERRUPTED
from dss_client.errors import ClientError
from dss_client.output import say
from dss_client.screen import Screen

ENDS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible(screen: Screen, server: str) -> Iterator[None]:
    """A context for sending one image.  Ctrl-C, SIGTERM and SIGHUP print how the user can follow, download or delete
    the ticket, and exit with status 130.

    A ClientError or OSError prints how to delete a ticket that was not submitted, and is raised again.
    """
    try:
        with ends_as_interrupts():
            yield
    except KeyboardInterrupt:
        if screen.ended:
            say(f"Ticket {screen.ticket} has ended. To fetch its results:", error=True)
            say(f"  dss download {screen.ticket} FOLDER --server {server}", error=True)
        elif screen.running:
            say(f"Ticket {screen.ticket} goes on. To watch it again:", error=True)
            say(f"  dss watch {screen.ticket} --server {server}", error=True)
            say(f"  dss download {screen.ticket} FOLDER --server {server}", error=True)
        _tell_what_is_left(screen, server)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except (ClientError, OSError):
        _tell_what_is_left(screen, server)
        raise


@contextmanager
def ends_as_interrupts() -> Iterator[None]:
    """A context in which SIGTERM and SIGHUP, the end of the machine or of the terminal, have the same effect as Ctrl-C."""
    earlier = {number: signal.signal(number, _interrupt) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _tell_what_is_left(screen: Screen, server: str) -> None:
    """If a ticket was created but neither submitted nor deleted, print how to delete it."""
    if screen.ticket and not screen.running:
        say(f"Ticket {screen.ticket} was not submitted. To remove it:", error=True)
        say(f"  dss delete {screen.ticket} --server {server}", error=True)
