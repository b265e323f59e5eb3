"""Processes that outlive us: found again, ended, and never confused with others."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dss_stack import processes
from dss_stack.errors import StartFailed

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A working folder whose processes end with the test."""
    yield tmp_path
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(tmp_path):
            processes.end(process, signal=signal.SIGKILL, timeout_s=10)


def launch(folder: Path, code: str) -> psutil.Process:
    return processes.launch(
        [sys.executable, "-c", code],
        folder=folder,
        log=folder / "log",
        environment=dict(os.environ),
    )


def launch_ready(folder: Path, code: str) -> psutil.Process:
    """Returns when it has written something."""
    process = launch(folder, code)
    processes.wait_until_ready(
        "test",
        lambda: bool((folder / "log").read_text(encoding="utf-8")),
        process=process,
        log=folder / "log",
        timeout_s=20,
    )
    return process


def test_a_process_has_a_session_of_its_own(folder: Path) -> None:
    process = launch_ready(folder, "import time; print('ready', flush=True); time.sleep(600)")

    assert os.getsid(process.pid) == process.pid


def test_a_process_is_found_by_its_working_folder(folder: Path) -> None:
    process = launch_ready(folder, "import time; print('ready', flush=True); time.sleep(600)")

    assert processes.working_in(folder, process.name()) == [process]


def test_another_program_in_the_same_folder_is_not_taken_for_ours(folder: Path) -> None:
    launch_ready(folder, "import time; print('ready', flush=True); time.sleep(600)")

    assert processes.working_in(folder, "dss_portal") == []


def test_a_process_that_ends_while_it_is_looked_at_is_not_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = launch_ready(folder, "import time; print('ready', flush=True); time.sleep(600)")
    ending = psutil.Process(process.pid)
    ending.info = {"name": ending.name(), "cwd": str(folder), "cmdline": None}
    monkeypatch.setattr(psutil, "process_iter", lambda _: [ending])

    assert processes.working_in(folder, "dss_portal") == []
    assert processes.working_in(folder, process.name()) == [process]
    monkeypatch.undo()


def test_a_process_that_ignores_the_polite_signal_is_killed(folder: Path) -> None:
    process = launch_ready(folder, DEAF)

    processes.end(process, signal=signal.SIGTERM, timeout_s=0.2)

    assert not processes.alive(process)


def test_what_has_ended_but_was_not_taken_notice_of_is_not_alive(folder: Path) -> None:
    process = launch(folder, "print('bye')")

    left = processes.wait_for_end([process], timeout_s=20)

    assert left == []


def test_the_last_words_of_a_process_that_died_early_are_told(folder: Path) -> None:
    process = launch(folder, "raise SystemExit('There is no disk.')")

    with pytest.raises(StartFailed, match="There is no disk"):
        processes.wait_until_ready(
            "test", lambda: False, process=process, log=folder / "log", timeout_s=20
        )


def test_a_process_that_is_too_slow_is_told_so(folder: Path) -> None:
    process = launch(folder, "import time; time.sleep(600)")

    with pytest.raises(StartFailed, match=r"not ready after 0 s\. .* run the command again"):
        processes.wait_until_ready(
            "test", lambda: False, process=process, log=folder / "log", timeout_s=0.1
        )


def test_only_the_owner_may_read_a_log(folder: Path) -> None:
    launch_ready(folder, "print('ready')")

    assert (folder / "log").stat().st_mode & 0o077 == 0
