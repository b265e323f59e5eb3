"""What programs need where containers start them: as process 1, as a user without a name, in a group that shares files."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from conftest import missing
from dss_process.startup import name_user, refuse_undecodable
from support.waiting import wait_until

AS_PROCESS_1 = ["unshare", "--pid", "--fork", "--kill-child"]
ARBITRARY = 1000660000
"""A user id of OpenShift's kind, which is in no list of users."""

STUCK = """
import threading
from dss_process.signals import stop_signal
stop = stop_signal()
print("waiting", flush=True)
while not stop.wait(0.1): pass
print("stopping", flush=True)
while True: threading.Event().wait(0.1)
"""
PROGRAMS = {
    "dss_portal": ["serve"],
    "dss_dispatch": ["serve", "lung-segmentation"],
    "dss_inference": ["serve"],
}


@contextmanager
def process_1(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator["tuple[subprocess.Popen[str], psutil.Process]"]:
    """Python as the first process of a namespace, as in a container: what waits for it, and it."""
    if os.geteuid() != 0:
        missing("A process namespace takes root.")
    command = [*AS_PROCESS_1, sys.executable, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", env=environment
    ) as parent:
        try:
            wait_until(lambda: bool(psutil.Process(parent.pid).children()), 10)
            (child,) = psutil.Process(parent.pid).children()
            yield parent, child
        finally:
            parent.kill()


def handles_sigterm(process: psutil.Process) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(mask, 16) & 1 << (signal.SIGTERM - 1))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_signal_ends_a_container_that_is_just_starting(program: str, tmp_path: Path) -> None:
    closed = {
        "DSS_AMQP_URL": "amqp://u:p@127.0.0.1:9/",
        "DSS_DATABASE_URL": "postgres://u:p@127.0.0.1:9/d",
        "DSS_DATASTORE": str(tmp_path),
        "DSS_SECRET_KEY": "k" * 32,
    }
    arguments = ["-m", f"{program}.start", *PROGRAMS[program]]
    with process_1(*arguments, environment={**os.environ, **closed}) as (parent, process):
        wait_until(lambda: handles_sigterm(process), 20)

        process.send_signal(signal.SIGTERM)

        assert parent.wait(20) == 128 + signal.SIGTERM  # 0 is that of an orderly stop


def test_a_second_signal_ends_a_container_that_does_not_stop() -> None:
    with process_1("-c", STUCK) as (parent, process):
        assert parent.stdout is not None
        assert parent.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGTERM)
        assert parent.stdout.readline() == "stopping\n"

        process.send_signal(signal.SIGTERM)

        assert parent.wait(20) == 128 + signal.SIGTERM


@pytest.mark.slow
def test_monai_is_imported_as_a_user_without_a_name() -> None:
    code = "import os; from dss_process.startup import prepare_process; prepare_process(os.environ); import monai"
    nameless = {k: v for k, v in os.environ.items() if k not in {"USER", "LOGNAME"}}
    as_arbitrary = ["unshare", "--user", f"--map-user={ARBITRARY}", "--map-group=0"]

    done = subprocess.run(
        [*as_arbitrary, sys.executable, "-c", code],
        check=False,
        env=nameless,
        capture_output=True,
        encoding="utf-8",
    )

    assert done.returncode == 0, done.stderr


def test_a_user_keeps_a_name() -> None:
    environment: dict[str, str] = {}

    name_user(environment)

    assert environment == {}


def test_settings_that_are_no_text_end_the_program_with_their_names() -> None:
    """As Python reads a file of settings in Latin-1."""
    latin = "w\udcf6rter"
    found = {
        "DSS_AMQP_URL": latin,
        "LUNG_SERVICE_URL": latin,
        "DSS_PROVIDER": "wörter",
        "LS_COLORS": latin,
    }

    with pytest.raises(SystemExit) as ended:
        refuse_undecodable(found)

    assert ended.value.code == (
        "DSS_AMQP_URL: its value is not UTF-8.\nLUNG_SERVICE_URL: its value is not UTF-8."
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_calls_no_setting_that_is_no_text_an_error_of_its_own(program: str) -> None:
    environment = {**os.environ, "DSS_AMQP_URL": "amqp://dss:w\udcf6rt@rabbit/"}
    done = subprocess.run(
        [sys.executable, "-m", program, *PROGRAMS[program]],
        env=environment,
        check=False,
        capture_output=True,
        encoding="utf-8",
    )

    assert (done.returncode, done.stderr) == (1, "DSS_AMQP_URL: its value is not UTF-8.\n")
