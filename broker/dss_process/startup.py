"""The first steps of each program's process.  The module imports little, so that they are done quickly."""

import getpass
import os
import signal
from collections.abc import Mapping, MutableMapping

from dss_process.old_settings import SUCCESSORS, Successor, refuse_old_settings
from dss_process.secret_files import read_secret_files

UMASK = 0o007
"""The umask of each program: user and group may read and write its files, because the programs of a site share a group
but not always a user.
"""

INIT = 1
"""Process id of the first process of a container."""


def prepare_process(
    environment: MutableMapping[str, str], old: Mapping[str, Successor] = SUCCESSORS
) -> None:
    """Set the umask and a user name, read secrets, refuse old settings, and let SIGTERM end the program.

    Call it before the program's own modules are imported, which takes a second or more.
    Exits with a sentence if a secret's file cannot be read, or if an ``old`` setting is set without its replacement.
    """
    os.umask(UMASK)
    environment.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # it would read all of pip's metadata
    exit_on_signal(signal.SIGTERM)
    name_user(environment)
    read_secret_files(environment)
    refuse_old_settings(environment, old)


def exit_on_signal(number: signal.Signals) -> None:
    """Make the signal end the program at once, without cleaning up.

    A program in a container is process 1, for which Linux ignores signals without a handler; there it gets a handler.
    """
    signal.signal(number, _end if os.getpid() == INIT else signal.SIG_DFL)


def name_user(environment: MutableMapping[str, str]) -> None:
    """Set the variable USER to ``uid-<id>`` if the process's user id has no name, because MONAI and torch need one.

    OpenShift, for example, assigns an arbitrary user id that is not in the list of users.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        environment["USER"] = f"uid-{os.getuid()}"


def _end(number: int, _frame: object) -> None:
    os._exit(128 + number)
