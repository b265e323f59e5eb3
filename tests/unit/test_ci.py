"""What ``.ci/run`` prints last, and with which status it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import CHECKOUT

pytestmark = pytest.mark.slow

OTHERS = ("apt-get", "chromium", "npm", "git", "nginx", "pgbouncer")
MAKE = """#!/bin/sh
echo "made $1"
case $1 in
  test) exec {python} -m pytest -p no:cacheprovider --durations 30 -vv {tests} ;;
  {fails}) exit 3 ;;
esac
"""
TEST = "import time\n\n\ndef test_that_sleeps():\n    time.sleep(0.1)\n"


def ci_run(folder: Path, fails: str) -> "subprocess.CompletedProcess[str]":
    """Run ``.ci/run`` with a ``make`` whose ``test`` runs one test by pytest, and whose target ``fails`` fails."""
    (folder / "test_one.py").write_text(TEST, "utf-8")
    make = MAKE.format(python=sys.executable, tests=folder / "test_one.py", fails=fails)
    for name in ("make", *OTHERS):
        program = folder / name
        program.write_text(make if name == "make" else "#!/bin/sh\n", "utf-8")
        program.chmod(0o755)
    return subprocess.run(
        [CHECKOUT / ".ci/run"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder)},
        check=False,
        capture_output=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    ("fails", "status"), [("nothing", 0), ("test-deploy", 3)], ids=["good", "bad"]
)
def test_the_slowest_tests_are_printed_at_the_end(tmp_path: Path, fails: str, status: int) -> None:
    done = ci_run(tmp_path, fails)

    last = done.stdout.partition("made test-deploy\n")[2]
    assert done.returncode == status
    assert "slowest 30 durations" in last.splitlines()[0]
    assert "test_one.py::test_that_sleeps" in last
    assert "passed" not in last
    assert list(tmp_path.glob("tmp.*")) == []


def test_a_failed_test_fails_the_whole(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("raise ZeroDivisionError\n", "utf-8")

    done = ci_run(tmp_path, "nothing")

    assert done.returncode != 0
    assert "made test-deploy" not in done.stdout
