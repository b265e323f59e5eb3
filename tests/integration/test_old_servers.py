"""A PostgreSQL or RabbitMQ that is too old: programs say its version and the one that is needed, and touch nothing.

The servers are real ones; on the way, their answers get another version of the same length.
"""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest

from dss_broker.errors import BrokerRefuses
from dss_broker.rabbit import RabbitBroker
from dss_stack.postgres import PostgresCluster
from support import brokers, loopback
from support.brokers import Node
from support.databases import make_database, value
from support.stacks import Stack
from support.waiting import wait_until
from support.wire import Rewrite, Wire

pytestmark = [pytest.mark.stack]

url = brokers.url

POSTGRES_12 = r"DSS_DATABASE_URL leads to PostgreSQL 12\.\d+, which is too old: PostgreSQL 13 or newer is needed\."
RABBITMQ_3_9 = r"DSS_AMQP_URL leads to RabbitMQ 3\.9\.?\d*, which is too old: RabbitMQ 3\.10 or newer is needed\."


def _as_postgres_12(major: bytes, answer: bytes) -> bytes:
    """The answer with the number of a server_version_num changed: ``150014`` to ``120014``."""
    return re.sub(rb"(?<!\d)%s(\d{4})(?!\d)" % major, rb"12\1", answer)


def _as_rabbitmq_3_9(answer: bytes) -> bytes:
    """The answer with another version in ``connection.start``: S, length, text."""
    return re.sub(
        rb"(\x07versionS\x00\x00\x00.)([\d.]+)",
        lambda found: found[1] + b"3.9.".ljust(len(found[2]), b"9")[: len(found[2])],
        answer,
    )


@contextmanager
def _behind(address: str, rewrite: Rewrite) -> Iterator[str]:
    with closing(Wire(address, rewrite)) as wire:
        yield wire.url


@pytest.fixture
def empty(postgres: PostgresCluster) -> str:
    return make_database(postgres.database_url, "old")


@pytest.fixture
def postgres_12(empty: str) -> Iterator[str]:
    major = asyncio.run(value(empty, "SELECT current_setting('server_version_num')::int / 10000"))
    with _behind(empty, partial(_as_postgres_12, b"%d" % major)) as address:
        yield address


@pytest.fixture
def rabbitmq_3_9(url: str) -> Iterator[str]:
    with _behind(url, _as_rabbitmq_3_9) as address:
        yield address


def test_an_old_postgresql_is_not_migrated(url: str, postgres_12: str, tmp_path: Path) -> None:
    stack = Stack(folder=tmp_path, amqp_url=url, database_url=postgres_12)

    with pytest.raises(subprocess.CalledProcessError) as ended:
        stack.command("migrate")

    assert ended.value.returncode == 2
    assert re.fullmatch(POSTGRES_12, ended.value.stderr.strip())
    assert (
        asyncio.run(
            value(postgres_12, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        )
        == 0
    )


def test_a_portal_waits_for_a_newer_postgresql(
    url: str, postgres_12: str, empty: str, tmp_path: Path
) -> None:
    Stack(folder=tmp_path, amqp_url=url, database_url=empty).command("migrate")
    stack = Stack(folder=tmp_path, amqp_url=url, database_url=postgres_12)
    stack.datastore.mkdir()
    try:
        stack.start_one("portal")

        wait_until(lambda: re.fullmatch(POSTGRES_12, _said(stack)), 60, stack.logs)
        wait_until(lambda: re.search(POSTGRES_12, stack.logs()), 10, stack.logs)
        assert "Traceback" not in stack.logs()
    finally:
        stack.stop()


def test_a_program_waits_for_a_newer_rabbitmq(
    rabbit: Node, rabbitmq_3_9: str, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(RabbitBroker(rabbitmq_3_9, "portal", "1")) as portal:
        wait_until(lambda: re.fullmatch(RABBITMQ_3_9, portal.problem), 20, lambda: portal.problem)

        assert not portal.connected

    refused = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.message for record in refused] == ["RabbitMQ is too old, trying again"]
    assert _queues(rabbit, rabbitmq_3_9) == []


def test_dead_letters_of_an_old_rabbitmq_are_left_alone(rabbitmq_3_9: str) -> None:
    with (
        closing(RabbitBroker(rabbitmq_3_9, "portal", "1")) as portal,
        pytest.raises(BrokerRefuses, match=RABBITMQ_3_9),
        portal.dead_letters(),
    ):
        pass


def _said(stack: Stack) -> str:
    with suppress(httpx.TransportError):
        return loopback.get(f"{stack.url}/readyz").text
    return ""


def _queues(rabbit: Node, address: str) -> list[object]:
    vhost = address.rpartition("/")[2]
    with loopback.client(
        base_url=rabbit.console_url, auth=(rabbit.user, rabbit.password)
    ) as console:
        return list(console.get(f"/api/queues/{vhost}").raise_for_status().json())
