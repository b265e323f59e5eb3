"""Runs modules of this project as processes, and waits for their end."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dss_stack.errors import StackError

_TIMEOUT_S = 300


def run_module(
    module: str, *arguments: str, environment: Mapping[str, str], folder: Path, purpose: str
) -> str:
    """Run ``python -m module arguments`` in ``folder`` and return its standard output.

    ``environment`` is its complete environment.  Raises StackError, which names the ``purpose``, if it fails,
    subprocess.TimeoutExpired after _TIMEOUT_S.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=_TIMEOUT_S,
    )
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        raise StackError(f"{purpose} failed. The last that was said:\n{last}")
    return done.stdout
