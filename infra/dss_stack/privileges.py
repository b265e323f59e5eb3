"""Chooses the user that runs PostgreSQL, which refuses to run as root."""

import os
import subprocess
from dataclasses import dataclass

_NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class RunAs:
    """How to run a command as another user.  ``prefix`` are the words to put before the command; ``owner`` is the id of
    the user that must own the command's files, in this process's user namespace.
    """

    prefix: tuple[str, ...]
    owner: int


def postgres_run_as() -> RunAs:
    """How to run PostgreSQL: without a prefix for an ordinary user; for root in a user namespace if the machine allows
    it, otherwise as the user ``nobody``.

    With this prefix ``nobody`` may pass through folders that only root may enter, such as /root.
    """
    if os.geteuid() != 0:
        return RunAs(prefix=(), owner=os.geteuid())
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if _works(namespace):
        return RunAs(prefix=namespace, owner=0)
    passing = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    user = (f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    return RunAs(prefix=("setpriv", *user, *passing), owner=_NOBODY)


def _works(prefix: tuple[str, ...]) -> bool:
    return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
