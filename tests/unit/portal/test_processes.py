"""A portal of several processes: their ports for operators, and its end if one of them cannot start."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from dss_portal.processes import of_process
from dss_portal.settings import Settings

PROGRAM = """
import sys, time, typer
from dss_portal.processes import serve_in_many
from dss_portal.settings import Settings
settings = Settings(database_url="postgres://u@h/d", amqp_url="amqp://h", datastore="/d", secret_key="k" * 32,
    instance="p", portal_processes=2)

def serve(own):
    if own.instance == "p-2":
        raise typer.Exit(3)
    time.sleep(60)

sys.exit(serve_in_many(settings, serve, 10))
"""

SIGNALLED = """
import os, signal, sys, time
from dss_portal.processes import serve_in_many
from dss_portal.settings import Settings
settings = Settings(database_url="postgres://u@h/d", amqp_url="amqp://h", datastore="/d", secret_key="k" * 32,
    instance="p", portal_processes=1)
fork, forks = os.fork, []

def fork_and_signal():
    pid = fork()
    forks.append(pid)
    if len(forks) == 2 and pid:
        os.kill(os.getpid(), signal.SIGTERM)
    elif len(forks) == 2:  # the restarted process gets SIGTERM in its first moment
        time.sleep(1)
    return pid

def serve(own):
    if len(forks) == 1:
        raise RuntimeError("it must be begun again")
    time.sleep(60)

os.fork = fork_and_signal
sys.exit(serve_in_many(settings, serve, 50))
"""


def ended(program: str) -> int:
    return subprocess.run([sys.executable, "-c", program], check=False, timeout=40).returncode


def test_a_process_that_cannot_start_ends_the_portal_with_its_status() -> None:
    assert ended(PROGRAM) == 3


def test_a_process_that_is_told_to_end_in_its_first_moment_ends() -> None:
    assert ended(SIGNALLED) == 0


def settings(metrics_bind: str) -> Settings:
    return Settings.model_validate(
        {
            "database_url": "postgres://u@h/d",
            "amqp_url": "amqp://h",
            "datastore": "/d",
            "secret_key": "k" * 32,
            "metrics_bind": metrics_bind,
            "portal_processes": 3,
        }
    )


@pytest.mark.parametrize(
    ("first", "third"),
    [("127.0.0.1:9100", "127.0.0.1:9102"), ("127.0.0.1:0", "127.0.0.1:0"), ("", "")],
)
def test_each_process_has_a_port_for_operators(first: str, third: str) -> None:
    assert of_process(settings(first), 2).metrics_bind == third


def test_processes_that_no_ports_are_left_for_are_refused_in_a_sentence() -> None:
    with pytest.raises(ValidationError, match="the last port is 65535"):
        settings("127.0.0.1:65534")
