"""Programs that are started before what they need: they wait, say so in a sentence, and go on by themselves."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from dss_portal.database.schema import NOT_MIGRATED
from dss_stack.postgres import PostgresCluster
from support import loopback
from support.brokers import Node, fresh_vhost
from support.databases import execute, make_database
from support.stacks import Stack, free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]


@pytest.fixture
def empty(postgres: PostgresCluster) -> str:
    return make_database(postgres.database_url, "empty")


@pytest.fixture
def stack(rabbit: Node, empty: str, tmp_path: Path) -> Iterator[Stack]:
    """Nothing of it runs, and nothing is migrated."""
    with fresh_vhost(rabbit) as amqp_url:
        stack = Stack(folder=tmp_path, amqp_url=amqp_url, database_url=empty)
        stack.datastore.mkdir()
        yield stack
        stack.stop()


def said(url: str) -> str:
    with suppress(httpx.TransportError):
        return loopback.get(url).text
    return ""


def test_a_portal_before_its_migrations_waits_without_noise_and_goes_on(stack: Stack) -> None:
    stack.start_one("portal")
    stack.start_one("dispatch")
    readyz = f"{stack.url}/readyz"
    wait_until(lambda: said(readyz).splitlines()[:1] == [NOT_MIGRATED], 60, stack.logs)
    refused = loopback.post(f"{stack.url}/api/login", data={"token": "x"})
    assert (refused.status_code, refused.headers.get("Retry-After")) == (503, "10")
    assert refused.text == "This service is being set up; please try again in a minute."
    wait_until(lambda: "waiting for the database" in stack.logs(), 10, stack.logs)
    log = (stack.folder / "portal.log").read_text(encoding="utf-8")
    assert log.count("waiting for the database") == 1
    assert "Traceback" not in log
    assert " ERROR " not in log

    stack.command("migrate")

    wait_until(lambda: said(readyz).splitlines()[:1] == ["ok"], 30, stack.logs)
    wait_until(lambda: "lung-segmentation" in stack.announced(), 30, stack.logs)


def test_a_database_restored_empty_under_a_running_portal_makes_no_noise(
    stack: Stack, empty: str
) -> None:
    stack.command("migrate")
    stack.start_one("portal")
    readyz = f"{stack.url}/readyz"
    wait_until(lambda: said(readyz).splitlines()[:1] == ["ok"], 60, stack.logs)
    stack.start_one("dispatch")
    wait_until(lambda: "lung-segmentation" in stack.announced(), 30, stack.logs)

    asyncio.run(execute(empty, "DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    wait_until(lambda: "waiting for the database" in stack.logs(), 30, stack.logs)
    assert said(readyz).splitlines()[:1] == [NOT_MIGRATED]
    stack.command("migrate")

    wait_until(lambda: said(readyz).splitlines()[:1] == ["ok"], 30, stack.logs)
    wait_until(lambda: "lung-segmentation" in stack.announced(), 40, stack.logs)
    log = (stack.folder / "portal.log").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert "message parked" not in log
    assert "task ended unforeseen" not in log


def migrate(url: str, **settings: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "DSS_DATABASE_URL": url, **settings}
    command = [sys.executable, "-m", "dss_portal", "migrate"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )


def test_migrate_waits_for_postgresql_and_says_so(empty: str) -> None:
    port = free_port()
    with migrate(empty.replace(f":{_port(empty)}/", f":{port}/")) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("Waiting up to 60 s for PostgreSQL: ")

        command = [sys.executable, "-c", FORWARD, str(port), str(_port(empty))]
        with subprocess.Popen(command) as forwarding:  # it is there now
            try:
                steps, errors = running.communicate(timeout=60)
            finally:
                forwarding.kill()

    assert (running.returncode, errors) == (0, "")
    assert "0001_initial" in steps


FORWARD = """
import asyncio, sys
async def pipe(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def join(reader, writer):
    far = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(pipe(reader, far[1]), pipe(far[0], writer), return_exceptions=True)
async def main():
    await (await asyncio.start_server(join, "127.0.0.1", int(sys.argv[1]))).serve_forever()
asyncio.run(main())
"""


def _port(url: str) -> int:
    return int(url.rpartition("/")[0].rpartition(":")[2])


def test_migrate_gives_up_after_its_time_in_one_sentence() -> None:
    url = f"postgres://nobody@127.0.0.1:{free_port()}/none"

    running = migrate(url, DSS_DATABASE_WAIT_S="1")

    _, said = running.communicate(timeout=30)
    assert running.returncode == 2
    first, last = said.splitlines()
    assert first.startswith("Waiting up to 1 s for PostgreSQL: ")
    assert last.startswith("No PostgreSQL answers at DSS_DATABASE_URL: ")


def test_migrate_does_not_wait_for_what_no_waiting_mends(empty: str) -> None:
    running = migrate(f"{empty}_absent")

    _, said = running.communicate(timeout=30)
    assert running.returncode == 2
    assert len(said.splitlines()) == 1
    assert "does not exist" in said
