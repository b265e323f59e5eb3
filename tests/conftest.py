"""Fixtures that every test may ask for.  What is missing is skipped here, and fails in CI."""

import gc
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from dss_stack.errors import ServerMissing
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support.failures import name_failures
from support.lanes import longest_first
from support.s3_servers import KEYS, S3Server, s3_server

_LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_LANE_PORTS = 3000
os.environ["DSS_PORTS"] = f"{20_000 + _LANE * _LANE_PORTS}-{20_000 + (_LANE + 1) * _LANE_PORTS - 1}"
"""Lanes of the suite run side by side, so each takes its ports from a range of its own."""

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Tests and programs under test are compiled once, not by each lane and at each start."""

os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
"""Programs under test keep no token in the keyring of the developer's desktop."""

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "busy")  # both wait for a slow machine


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell gives it so to what runs behind it
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs under test get Ctrl-C


@pytest.hookimpl(trylast=True)  # after that of the terminal's reporter
def pytest_configure(config: pytest.Config) -> None:
    name_failures(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A lane takes the next file when it is through with one, so the longest must not be the last."""
    items[:] = longest_first(items)


def pytest_collection_finish() -> None:
    """Leave imported modules out of later garbage collections, of which each took 0.3 s longer with torch in memory."""
    gc.collect()
    gc.freeze()


CHECKOUT = Path(__file__).parents[1]
STATE = Path(os.environ.get("DSS_STATE", CHECKOUT / ".dss"))
SYSROOT = STATE / "sysroot"
"""Where ``make`` unpacks the servers on a machine that has none and where we are not root."""


_ROOT = os.environ.get("DSS_TEST_RABBITMQ_ROOT")
RABBIT_ROOT = Path(_ROOT).absolute() if _ROOT else None
"""Another Debian, whose RabbitMQ is to be tested: ``make test-brokers``."""


def rabbit_folder(folder: Path) -> Path:
    """Where a node may live that the test would put into ``folder``."""
    if RABBIT_ROOT is None:
        return folder
    within = RABBIT_ROOT / "tmp" / f"{folder.name}-{os.getpid()}"
    within.mkdir()
    return within


def missing(what: str) -> NoReturn:
    """Skip the test; in CI, fail it."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A RabbitMQ node that all tests share: use names of your own, or clean up."""
    folder = rabbit_folder(tmp_path_factory.mktemp("rabbit"))
    node = RabbitNode(folder, sysroot=SYSROOT, chroot=RABBIT_ROOT)
    try:
        node.start()
        yield node
    except ServerMissing as error:
        missing(str(error))
    finally:
        node.kill()  # a clean stop takes 6 s longer
        node.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresCluster]:
    """A PostgreSQL cluster that all tests share: make a database of your own, or clean up."""
    folder = tmp_path_factory.mktemp("postgres")
    cluster = PostgresCluster(
        folder, sysroot=SYSROOT, durable=False
    )  # it is dropped from hundreds of times
    try:
        cluster.start()
        yield cluster
    except ServerMissing as error:
        missing(str(error))
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of the S3 protocol that all tests share, with a bucket for each; this process has its keys."""
    with (
        pytest.MonkeyPatch.context() as patch,
        s3_server(tmp_path_factory.mktemp("s3")) as server,
    ):
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real volumes, ``DSS_SHARED_DATA`` or ``../shared/data`` beside the checkout."""
    folder = Path(os.environ.get("DSS_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        missing(f"The real volumes are not in {folder}; set DSS_SHARED_DATA.")
    return folder
