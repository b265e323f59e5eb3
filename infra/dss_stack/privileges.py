"""Lets root run PostgreSQL, which refuses to run as root: gives a prefix for its commands."""

import os
import subprocess
from dataclasses import dataclass

_NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class Disguise:
    """Another user for a command: ``prefix`` goes before the command.

    ``owner`` is the user id that must own its files, as seen from here.
    """

    prefix: tuple[str, ...]
    owner: int


def disguise() -> Disguise:
    """No prefix for an ordinary user; for root a user namespace if the machine allows it, otherwise the user
    ``nobody``.

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
