"""``/readyz`` of real programs, for the reasons that are no outage of a server (those: test_outages.py)."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from dss_datastore.folder import AWAY
from dss_stack.postgres import PostgresCluster
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.databases import value
from support.sites import whole_stack
from support.stacks import PROGRAMS, Stack
from support.waiting import wait_until

pytestmark = [pytest.mark.stack]

LAST = "SELECT name FROM tortoise_migrations WHERE app = 'portal' ORDER BY name DESC LIMIT 1"


@pytest.fixture(scope="module")
def running(
    rabbit: RabbitNode, postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    with whole_stack(rabbit, postgres, tmp_path_factory.mktemp("ready")) as stack:
        yield stack


def readiness(stack: Stack) -> dict[str, tuple[int, str]]:
    """What each program says on its operators' port, and the portal on its own too."""
    urls = {name: f"http://127.0.0.1:{port}" for name, port in stack.health_ports.items()}
    return {name: _answer(f"{url}/readyz") for name, url in {**urls, "users": stack.url}.items()}


def _answer(url: str) -> tuple[int, str]:
    """Zero of a program that does not listen yet."""
    try:
        answer = loopback.get(url)
    except httpx.ConnectError as error:
        return (0, str(error))
    return (answer.status_code, answer.text)


def test_no_program_is_ready_while_its_datastore_is_gone(running: Stack) -> None:
    everybody = {*PROGRAMS, "users"}
    wait_until(
        lambda: readiness(running) == dict.fromkeys(everybody, (200, "ok")), 60, running.logs
    )
    away = running.datastore.rename(running.folder / "away")

    try:
        found = readiness(running)
    finally:
        away.rename(running.datastore)

    assert found == dict.fromkeys(everybody, (503, AWAY))
    assert readiness(running) == dict.fromkeys(everybody, (200, "ok"))


def test_a_portal_is_not_ready_on_an_older_schema(running: Stack) -> None:
    name = asyncio.run(value(running.database_url, LAST))
    rename = "UPDATE tortoise_migrations SET name = $2 WHERE app = 'portal' AND name = $1"
    asyncio.run(value(running.database_url, rename, name, "not yet"))

    try:
        found = readiness(running)
    finally:
        asyncio.run(value(running.database_url, rename, "not yet", name))

    behind = (503, "The database's schema is not up to date: run dss-portal migrate.")
    assert (found["portal"], found["users"]) == (behind, behind)
    assert (found["dispatch"], found["inference"]) == ((200, "ok"), (200, "ok"))
    assert readiness(running)["portal"] == (200, "ok")
