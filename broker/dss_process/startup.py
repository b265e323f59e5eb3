"""The first steps of each program's process.  The module imports little, so that they are done quickly."""

import getpass
import os
import signal
import sys
from collections.abc import Mapping, MutableMapping

from dss_process.old_settings import SUCCESSORS, Successor, refuse_old_settings
from dss_process.secret_files import read_secret_files

UMASK = 0o007
"""The umask of each program: user and group may read and write its files, because the programs of a site share a group
but not always a user.
"""

_PREFIXES = ("DSS_", "ALFABIS_", "ITK_SNAP_SERVER_", "POSTGRES_PORT_", "SERVER_URL")

INIT = 1
"""Process id of the first process of a container."""


def prepare_process(
    environment: MutableMapping[str, str], old: Mapping[str, Successor] = SUCCESSORS
) -> None:
    """Set the umask and a user name, read secrets, refuse settings that are old or no text, and let SIGTERM end the
    program.

    Call it before the program's own modules are imported, which takes a second or more.
    Exits with a sentence if a secret's file cannot be read, if a setting is not UTF-8, or if an ``old`` setting is set
    without its replacement.
    """
    os.umask(UMASK)
    environment.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # it would read all of pip's metadata
    exit_on_signal(signal.SIGTERM)
    name_user(environment)
    refuse_undecodable(environment)
    read_secret_files(environment)
    refuse_old_settings(environment, old)


def exit_on_signal(number: signal.Signals) -> None:
    """Make the signal end the program at once, without cleaning up.

    A program in a container is process 1, for which Linux ignores signals without a handler; there it gets a handler.
    """
    signal.signal(number, _end if os.getpid() == INIT else signal.SIG_DFL)


def refuse_undecodable(environment: Mapping[str, str]) -> None:
    """Exit with a sentence for each variable of ours that is not UTF-8, such as a password in a Latin-1 file: Python
    reads it as text that cannot be encoded again.
    """
    wrong = [name for name, value in environment.items() if _is_ours(name) and not _is_text(value)]
    if wrong:
        sys.exit("\n".join(f"{name}: its value is not UTF-8." for name in sorted(wrong)))


def _is_ours(name: str) -> bool:
    return name.startswith(_PREFIXES) or name.endswith("_SERVICE_URL")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


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
