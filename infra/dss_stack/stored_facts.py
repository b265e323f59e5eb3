"""Stores what is chosen once for the folder of a server or of the stack, and must stay the same: ports and a password."""

import hashlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from dss_datastore.writing import write
from dss_stack.ports import choose_ports


class Facts(TypedDict):
    """The ports of a server or stack, by name, and its secret: a password or key."""

    ports: dict[str, int]
    secret: str


def write_private(file: Path, text: str) -> None:
    """Replace ``file`` atomically; only its owner may read it."""
    write(file, text.encode(), mode=0o600)


def stored_facts(file: Path, ports: Sequence[str], /, **favourites: int) -> Facts:
    """The facts stored in ``file``.  If it is missing or damaged, a secret is chosen; if its ports are not exactly
    those named in ``ports``, all are chosen anew.  What is chosen is stored.

    ``favourites`` are the ports, by name, that are preferred if they are free.  Raises StackError if there are too few
    free ports, or the setting DSS_PORTS is no range.
    """
    try:
        known: Facts = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {"ports": {}, "secret": secrets.token_urlsafe(18)}
    if set(known["ports"]) != set(ports):
        known["ports"] = choose_ports(ports, **favourites)
        file.parent.mkdir(parents=True, exist_ok=True)
        store_facts(file, known)
    return known


def store_facts(file: Path, facts: Facts) -> None:
    """Store the facts in ``file``."""
    write_private(file, json.dumps(facts, indent=1))


def signing_key(facts: Facts) -> str:
    """The portal's DSS_SECRET_KEY, 64 characters that follow from the secret.  The secret itself has 24, fewer than the
    portal takes.
    """
    return hashlib.sha256(f"signs cookies: {facts['secret']}".encode()).hexdigest()
