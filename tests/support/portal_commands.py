"""Commands of ``dss-portal``, each in a process of its own that is forked from one that has imported it."""

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

_PROGRAM = Path(__file__).with_name("ready_portal.py")


class PortalCommands:
    """One process for all commands of a test run; commands run one after another."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process = subprocess.Popen(
            [sys.executable, _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONUTF8": "1"},
            encoding="utf-8",
        )
        atexit.register(self.close)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
        """What the command printed.  Raises CalledProcessError."""
        with self._lock, TemporaryDirectory() as folder:
            output = Path(folder) / "command"
            status = self._ask(arguments, environment, output)
            said, complained = (output.with_suffix(s).read_text("utf-8") for s in (".out", ".err"))
        if status != 0:
            raise subprocess.CalledProcessError(
                status, ["dss-portal", *arguments], said, complained
            )
        return said

    def _ask(self, arguments: Sequence[str], environment: Mapping[str, str], output: Path) -> int:
        request = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "output": str(output),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """The process ends when it has nothing more to read."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@cache
def portal_commands() -> PortalCommands:
    """Those of this test run, started when they are first asked for."""
    return PortalCommands()
