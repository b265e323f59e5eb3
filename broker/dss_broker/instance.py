"""The name under which one process is known to operators."""

import os
import socket


def instance_name() -> str:
    """Host and process id: ``node7-4711``."""
    return f"{socket.gethostname()}-{os.getpid()}"
