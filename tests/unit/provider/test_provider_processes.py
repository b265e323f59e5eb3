"""A process is never trusted to end, to be quiet, or to keep to its limits; nothing of it is left."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from dss_provider import process_output
from dss_provider.errors import AlgorithmFailed, Withdrawn
from dss_provider.processes import Ending, ProcessLimits, run_process
from support.waiting import wait_until

TIME = ProcessLimits(time_s=200)


class Runs:
    """Shell scripts, what they told, and how much memory hearing them took."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[tuple[float, str]] = []

    def __call__(self, script: str, limits: ProcessLimits = TIME) -> Ending:
        told = lambda fraction, text: self.told.append((fraction, text))  # noqa: E731  (one line, read where it is used)
        return run_process(["sh", "-c", script], self.folder, limits, told, threading.Event())

    def until_told(self, script: str) -> Ending:
        """Withdraw the ticket as soon as the script has told its progress."""
        ended = threading.Event()
        told = lambda *_: ended.set()  # noqa: E731  (one line, read where it is used)
        return run_process(["sh", "-c", script], self.folder, TIME, told, ended)

    def pid(self, name: str = "pid") -> int:
        file = self.folder / name
        wait_until(lambda: file.exists() and file.stat().st_size > 0, 60)
        return int(file.read_text(encoding="utf-8"))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def is_running(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("output", [1, 2])
def test_endless_output_without_a_line_is_kept_short(runs: Runs, output: int) -> None:
    started = own_memory_kb()

    with pytest.raises(AlgorithmFailed, match=r"took longer than the 0\.3 s") as caught:
        runs(f"exec cat /dev/zero >&{output}", ProcessLimits(time_s=0.3))

    assert len(caught.value.detail) <= 4000
    assert own_memory_kb() < started + 50_000


def own_memory_kb() -> int:
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(text.partition("VmRSS:")[2].split()[0])


def test_lines_that_are_no_objects_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that wrote millions of short lines waited for its publisher until its time was over."""
    told: list[float] = []
    parsed: list[bytes] = []

    def parse(line: bytes) -> tuple[float, str]:
        parsed.append(line)
        return 0.5, ""

    monkeypatch.setattr(process_output, "_message", parse)
    heard = process_output.ProcessOutput(lambda fraction, _: told.append(fraction))

    heard.message(b"y\n" * 100_000 + b' {"fraction": 0.5}\n')

    assert (told, parsed) == ([0.5], [b' {"fraction": 0.5}'])
    assert heard.detail == "y\n" * 2000


def test_megabytes_of_lines_do_no_harm_and_their_end_is_kept(runs: Runs) -> None:
    ending = runs("yes 'a line' | head -n 500000 >&2; echo last >&2")

    assert ending.status == 0
    assert ending.detail.endswith("a line\nlast\n")


def test_a_program_in_a_pipe_ends_silently_with_its_reader(runs: Runs) -> None:
    """Python ignores SIGPIPE; a program that inherited that would complain instead of ending."""
    ending = runs("yes | head -n 1 >&2; grep SigIgn /proc/self/status >&2")

    written, ignored = ending.detail.splitlines()
    assert written == "y"
    assert not int(ignored.split()[1], 16) & 1 << signal.SIGPIPE - 1


def test_a_child_that_keeps_the_outputs_open_holds_nobody_up(runs: Runs) -> None:
    begun = time.monotonic()

    ending = runs("sleep 300 & echo $! > pid; exit 3")

    assert ending.status == 3
    assert time.monotonic() - begun < 60
    wait_until(lambda: not is_running(runs.pid()))


def test_a_daemon_that_left_the_group_is_ended_too(runs: Runs) -> None:
    daemon = "import os, time\nos.setsid()\nopen('pid.new', 'w').write(str(os.getpid()))\nos.rename('pid.new', 'pid')\ntime.sleep(300)\n"
    (runs.folder / "daemon.py").write_text(daemon, encoding="utf-8")

    ending = runs(f"{sys.executable} daemon.py & while [ ! -e pid ]; do sleep 0.05; done")

    assert ending.status == 0
    wait_until(lambda: not is_running(runs.pid()), 60)


READY = """echo '{"fraction": 0.5}';"""


def test_a_program_that_ignores_sigterm_is_killed(runs: Runs) -> None:
    with pytest.raises(Withdrawn):
        runs.until_told(f"trap '' TERM; echo $$ > pid; {READY} while :; do sleep 0.1; done")

    wait_until(lambda: not is_running(runs.pid()))


def test_a_program_may_tidy_up_when_it_has_to_end(runs: Runs) -> None:
    with pytest.raises(Withdrawn):
        runs.until_told(f"trap 'touch tidied; exit' TERM; {READY} while :; do sleep 0.05; done")

    assert (runs.folder / "tidied").exists()


def test_memory_is_limited_from_the_first_instruction(runs: Runs) -> None:
    assert runs("ulimit -d > limit", ProcessLimits(memory_bytes=2**30)).status == 0

    assert (runs.folder / "limit").read_text(encoding="utf-8").strip() == str(2**20)


def test_the_program_does_not_get_the_provider_s_token(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSS_TOKEN", "of-the-provider")

    runs("env > environment")

    assert "of-the-provider" not in (runs.folder / "environment").read_text(encoding="utf-8")


def test_a_program_ends_with_its_publisher(runs: Runs) -> None:
    code = (
        "import threading\nfrom pathlib import Path\nfrom dss_provider.processes import *\n"
        f"run_process(['sh', '-c', 'echo $$ > pid; exec sleep 300'], Path({str(runs.folder)!r}), ProcessLimits(), print, threading.Event())\n"
    )
    publisher = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", code])
    pid = runs.pid()

    os.kill(publisher, 9)
    os.waitpid(publisher, 0)

    wait_until(lambda: not is_running(pid), 60)


def test_progress_is_a_line_of_json_and_everything_else_is_text(runs: Runs) -> None:
    lines = [
        '{"fraction": 0.25, "text": "two\\nlines"}',
        '{"fraction": NaN}',
        '{"fraction": 1e999, "text": "\\ud800 end"}',
        '{"fraction": -3}',
        '{"fraction": "half"}',
        "[1, 2]",
        "17",
        "plain",
    ]
    (runs.folder / "lines").write_text("\n".join(lines) + "\n", encoding="utf-8")

    ending = runs("cat lines")

    assert runs.told == [(0.25, "two lines"), (0.0, ""), (1.0, "end"), (0.0, "")]
    assert ending.detail == '{"fraction": "half"}\n[1, 2]\n17\nplain\n'


def test_a_signal_ends_with_the_shell_s_status(runs: Runs) -> None:
    assert runs("kill -KILL $$").status == 137
