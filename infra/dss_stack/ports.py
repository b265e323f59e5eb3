"""Finds free TCP ports on loopback."""

import os
import random
import socket
from collections.abc import Sequence

from dss_stack.errors import StackError

SETTING = "DSS_PORTS"
_DEFAULT = "20000-31999"
"""Default range; it is below the ports that the kernel uses for outgoing connections."""

LOOPBACK = "127.0.0.1"

_chosen: set[int] = set()


def is_free(port: int) -> bool:
    """True if a server could listen on ``port`` of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_open(port: int) -> bool:
    """True if a server accepts connections on ``port`` of loopback now."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def choose_ports(names: Sequence[str], /, **favourites: int) -> dict[str, int]:
    """A free port for each of ``names``, by name, all different: the port that ``favourites`` gives for the name, if it
    is free; otherwise a random port of the range DSS_PORTS that was not chosen before in this process.

    A favourite may be a port that was chosen before and is still free.  Raises StackError if there are too few free
    ports, or DSS_PORTS is no range.
    """
    among = _range()
    wanted = {name: favourites[name] for name in names if name in favourites}
    found = {name: port for name, port in wanted.items() if is_free(port)}
    taken = _chosen | set(found.values())
    others = (port for port in random.sample(among, k=len(among)) if port not in taken)
    missing = [name for name in names if name not in found]
    found |= zip(missing, filter(is_free, others), strict=False)
    if len(found) < len(names):
        raise StackError(f"{SETTING} has too few free ports for {', '.join(names)}.")
    _chosen.update(found.values())
    return found


def _range() -> range:
    text = os.environ.get(SETTING) or _DEFAULT
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= 65535):
        raise StackError(f"{SETTING} is '{text}'; a range such as {_DEFAULT} is needed.")
    return range(int(first), int(last) + 1)
