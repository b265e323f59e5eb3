"""``make test-defences``: take one defence after the other out of a copy of the programs, and see that a test fails.

Ends with an error if the tests of a defence pass without it.  Some minutes; ``python -m defences WORD`` tries those
whose name contains the word.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from conftest import CHECKOUT
from defences.sabotage import SABOTAGES, Sabotage

PROGRAMS = ("broker", "portal", "dispatch-consumers", "gpu-inference", "observability", "infra")
FAILED, PASSED = 1, 0
"""Exit codes of pytest; others say that it could not run the tests."""


def main(word: str) -> int:
    chosen = [one for one in SABOTAGES if word in one.name]
    ends = {one.name: _end_without(one) for one in chosen}
    for name, end in ends.items():
        told = {FAILED: "noticed", PASSED: "NOT NOTICED"}.get(end, f"pytest ended with {end}")
        print(f"{told:12} {name}")
    return int(any(end != FAILED for end in ends.values()))


def _end_without(one: Sabotage) -> int:
    """The exit code of the defence's tests, run with programs that lack it."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for folder in PROGRAMS:
            shutil.copytree(CHECKOUT / folder, copy / folder)
        weaken(copy / one.file, one)
        path = os.pathsep.join(str(copy / folder) for folder in PROGRAMS)
        command = [sys.executable, "-m", "pytest", "--exitfirst", "--quiet", *one.tests]
        print(f"--- {one.name}", flush=True)
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode


def weaken(file: Path, one: Sabotage) -> None:
    """Raises ValueError unless the line stands there once."""
    text = file.read_text("utf-8")
    if text.count(one.line) != 1:
        raise ValueError(f"{one.file} has {text.count(one.line)} times: {one.line}")
    file.write_text(text.replace(one.line, one.instead), "utf-8")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or [""]))
