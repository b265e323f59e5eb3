"""The name of a process, shown to operators.  No two running processes have the same name."""

import os
import secrets
import socket
from functools import cache

MAX_CHARACTERS = 100


@cache
def instance_name() -> str:
    """The default name of this process: host, process id and six random hexadecimal digits (``node7-4711-3fa9c1``).

    The digits are needed because containers that use the host's network all have its name and the process id 1.
    """
    return f"{socket.gethostname()[:60]}-{os.getpid()}-{secrets.token_hex(3)}"


def valid_instance_name(name: str) -> str:
    """``name``, or ``instance_name()`` if it is blank.  Raises ValueError if it is too long or not printable."""
    if not name:
        return instance_name()
    if not name.isprintable():
        raise ValueError("a name without line breaks and other control characters is needed")
    if len(name) > MAX_CHARACTERS:
        raise ValueError(f"a name of at most {MAX_CHARACTERS} characters is needed")
    return name
