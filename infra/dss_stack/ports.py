"""Free ports on loopback."""

import random
import socket
from collections.abc import Sequence

_RANGE = range(20_000, 32_000)
"""Below the ports that the kernel hands out for outgoing connections, which come and go."""

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
    """True if somebody accepts connections on ``port`` of loopback now."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def choose_ports(names: Sequence[str], *favourites: int) -> dict[str, int]:
    """A different free port for each of ``names``, from ``favourites`` where they are free.

    One that was chosen before may not be in use yet; it is not chosen twice.
    """
    others = [port for port in random.sample(_RANGE, k=len(_RANGE)) if port not in _chosen]
    found = dict(zip(names, filter(is_free, [*favourites, *others]), strict=False))
    _chosen.update(found.values())
    return found
