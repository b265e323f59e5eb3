"""The name of one process, for operators.  No two running processes have the same."""

import os
import secrets
import socket
from functools import cache

MAX_CHARACTERS = 100


@cache
def instance_name() -> str:
    """Host, process id and six random digits: ``node7-4711-3fa9c1``.

    Containers on the network of their host all have its name and the process id 1.
    """
    return f"{socket.gethostname()[:60]}-{os.getpid()}-{secrets.token_hex(3)}"


def valid_instance_name(name: str) -> str:
    """``name``, or the default if it is blank.  Raises ValueError if it is too long or not printable."""
    if not name:
        return instance_name()
    if not name.isprintable():
        raise ValueError("a name without line breaks and other control characters is needed")
    if len(name) > MAX_CHARACTERS:
        raise ValueError(f"a name of at most {MAX_CHARACTERS} characters is needed")
    return name
