"""The command by which a container is asked whether it can do its work."""

import subprocess
import sys

import pytest

from dss_observability.health import problem
from dss_observability.serving import serve_health
from support.stacks import free_port, two_free_ports


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::1]", "[::]"])
def test_a_program_that_is_ready_ends_the_command_with_0(host: str) -> None:
    bind = f"{host}:{free_port()}"
    end = serve_health(bind, list)
    try:
        assert asked(bind) == (0, "")
    finally:
        end()


def test_the_reason_is_told_of_one_that_is_not() -> None:
    bind = f"127.0.0.1:{free_port()}"
    end = serve_health(bind, lambda: ["The broker is away."])
    try:
        assert asked(bind) == (1, "The broker is away.\n")
    finally:
        end()


def test_one_that_does_not_listen_is_not_ready() -> None:
    bind = f"127.0.0.1:{free_port()}"

    assert problem(bind).startswith(f"The program does not answer at {bind} (")


@pytest.mark.parametrize("bind", ["", "9100", "localhost", ":9100", "localhost:http"])
def test_an_address_that_is_none_gets_a_sentence(bind: str) -> None:
    assert (
        problem(bind) == f"DSS_METRICS_BIND must be host:port, such as 0.0.0.0:9100, not '{bind}'."
    )


def test_each_process_of_a_portal_is_asked() -> None:
    first = two_free_ports()
    ends = [
        serve_health(f"127.0.0.1:{first}", list),
        serve_health(f"127.0.0.1:{first + 1}", lambda: ["The broker is away."]),
    ]
    bind, processes = f"127.0.0.1:{first}", {"DSS_PORTAL_PROCESSES": "2"}
    try:
        assert asked(bind) == (0, "")
        assert asked(bind, **processes) == (1, "The broker is away.\n")
        assert asked(bind, "--alive", **processes) == (0, "")
    finally:
        for end in ends:
            end()


def asked(bind: str, *words: str, **settings: str) -> tuple[int, str]:
    """As a container's engine asks: by the variable that the program listens at."""
    done = subprocess.run(
        [sys.executable, "-m", "dss_observability.health", *words],
        check=False,
        env={"DSS_METRICS_BIND": bind, **settings},
        capture_output=True,
        encoding="utf-8",
    )
    return done.returncode, done.stderr
