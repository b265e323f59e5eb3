"""PostgreSQL refuses to run as root.  What to put before its commands so that it runs all the same."""

import os
import subprocess
from dataclasses import dataclass

_NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class Disguise:
    """``prefix`` goes before a command, which then sees itself as somebody else than root.

    ``owner`` is the user id that must own its files, seen from here.
    """

    prefix: tuple[str, ...]
    owner: int


def disguise() -> Disguise:
    """None needed for an ordinary user; a user namespace if the machine allows it; else ``nobody``.

    ``nobody`` keeps the right to pass through folders that only root may enter, such as /root.
    """
    if os.geteuid() != 0:
        return Disguise(prefix=(), owner=os.geteuid())
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if _works(namespace):
        return Disguise(prefix=namespace, owner=0)
    passing = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    user = (f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    return Disguise(prefix=("setpriv", *user, *passing), owner=_NOBODY)


def _works(prefix: tuple[str, ...]) -> bool:
    return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
