"""``python3 infra/bootstrap.py [EXTRA ...]``: installs what the stack needs and this machine lacks."""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from dss_stack.bootstrap import debian
from dss_stack.bootstrap.command_runner import CommandRunner
from dss_stack.bootstrap.environment import Environment
from dss_stack.errors import ServerMissing, StackError
from dss_stack.servers import find_postgres, find_prometheus, find_rabbitmq

CHECKOUT = Path(__file__).resolve().parents[3]
STATE = Path(os.environ.get("DSS_STATE", CHECKOUT / ".dss")).absolute()
SYSROOT = STATE / "sysroot"

WITHOUT_PROMETHEUS = STATE / "without-prometheus"
"""File that is written when Prometheus cannot be installed, with the reason.  While it exists, no later run tries
again.
"""

PROGRAMS = {"portal", "client", "images", "dispatch", "inference", "stack"}
"""Extras of pyproject.toml that are always installed: those of the programs, and the client's for reading image files.
"""


def main() -> int:
    extras = PROGRAMS | set(_arguments().extra)
    environment = Environment(CHECKOUT, extras)
    if environment.complete() and not _missing_servers() and not _prometheus_is_wanted():
        return 0
    try:
        _bootstrap(environment)
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "extra", nargs="*", help="extras of pyproject.toml besides the programs' own"
    )
    return parser.parse_args()


def _bootstrap(environment: Environment) -> None:
    log = STATE / "log" / "bootstrap.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with _alone(STATE / "bootstrap.lock") as lock:
        runner = CommandRunner(CHECKOUT, log, lock)
        runner.say(f"Installing what is missing; details in {log}")
        environment.create(runner, STATE / "wheels")
        with ThreadPoolExecutor() as threads:
            servers = threads.submit(_install_servers, runner)
            if not environment.complete():
                environment.fill(runner)
            servers.result()


def _install_servers(runner: CommandRunner) -> None:
    """Install the servers that are missing: as root with apt-get, otherwise by unpacking packages into the state
    folder.
    """
    if packages := _missing_servers():
        _install(runner, packages)
    if _prometheus_is_wanted():
        _try_prometheus(runner)


def _try_prometheus(runner: CommandRunner) -> None:
    """Install Prometheus if possible; otherwise note the reason in WITHOUT_PROMETHEUS and go on, since nothing depends
    on it.
    """
    try:
        _install(runner, ["prometheus"])
    except StackError as error:
        WITHOUT_PROMETHEUS.write_text(str(error), encoding="utf-8")
        runner.say(f"prometheus: not installed, going on without; why is in {WITHOUT_PROMETHEUS}")


def _install(runner: CommandRunner, packages: Sequence[str]) -> None:
    runner.say(f"{' and '.join(packages)}: installing")
    if os.geteuid() == 0:
        debian.install(runner, packages)
    else:
        debian.unpack(runner, packages, SYSROOT)
    runner.say(f"{' and '.join(packages)}: done")


def _missing_servers() -> list[str]:
    """Names of the Debian packages of the servers that the stack must start and that are not installed."""
    packages = []
    for package, find, address in (
        ("rabbitmq-server", find_rabbitmq, "DSS_AMQP_URL"),
        ("postgresql", find_postgres, "DSS_DATABASE_URL"),
    ):
        try:
            if not os.environ.get(address):
                find(SYSROOT)
        except ServerMissing:
            packages.append(package)
    return packages


def _prometheus_is_wanted() -> bool:
    """True if Prometheus should be installed: it is missing, not disabled, and no earlier attempt has failed."""
    refused = os.environ.get("DSS_PROMETHEUS", "true").lower() in {"false", "0", "no", "off"}
    if refused or WITHOUT_PROMETHEUS.exists():
        return False
    try:
        find_prometheus(SYSROOT)
    except ServerMissing:
        return True
    return False


@contextmanager
def _alone(path: Path) -> Iterator[TextIO]:
    """A context that locks the file ``path``.  It first waits until another bootstrap, and the commands that a killed
    one has left running, have ended.
    """
    with path.open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another installation in this checkout to end ...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


if __name__ == "__main__":
    sys.exit(main())
