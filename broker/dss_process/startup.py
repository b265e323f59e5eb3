"""What each program does first.  Imports little, so that it takes no time."""

import getpass
import os
import signal
from collections.abc import Mapping, MutableMapping

from dss_process.old_settings import SUCCESSORS, Successor, refuse_old_settings
from dss_process.secret_files import read_secret_files

UMASK = 0o007
"""Files are readable and writable for user and group: the programs of a site share a group, not always a user."""

INIT = 1
"""Process id of the first process of a container."""


def prepare_process(
    environment: MutableMapping[str, str], old: Mapping[str, Successor] = SUCCESSORS
) -> None:
    """Call it before the program's own modules are imported, which takes a second or more.

    Exits with a sentence if a secret's file cannot be read, or if one of the ``old`` settings is
    there without the one that replaces it.
    """
    os.umask(UMASK)
    exit_on_signal(signal.SIGTERM)
    name_user(environment)
    read_secret_files(environment)
    refuse_old_settings(environment, old)


def exit_on_signal(number: signal.Signals) -> None:
    """Make the signal end the program at once.

    Linux ignores a signal without a handler if it is for process 1, as which a container runs its program.
    """
    signal.signal(number, _end if os.getpid() == INIT else signal.SIG_DFL)


def name_user(environment: MutableMapping[str, str]) -> None:
    """Set a name for a user without one: MONAI and torch need it.

    An arbitrary user id, as OpenShift assigns it, is in no list of users.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        environment["USER"] = f"uid-{os.getuid()}"


def _end(number: int, _frame: object) -> None:
    os._exit(128 + number)
