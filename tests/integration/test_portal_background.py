"""A task of the portal that dies is logged, told by /readyz and begun again; all of them."""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from quart import Quart

from dss_broker.broker import Broker
from dss_broker.memory import MemoryBroker
from dss_portal import consuming, database
from dss_portal.app import create_app
from dss_portal.database.schema import NOT_MIGRATED
from dss_portal.datastore import Datastore
from dss_portal.readiness import NOT_LISTENING
from dss_portal.settings import Settings
from dss_portal.tickets import cleanup
from dss_portal.tickets.listener import Listener
from dss_portal.web.context import components_of
from dss_process import supervision
from dss_stack.postgres import PostgresCluster
from support.databases import create_database
from support.portals import Portal, eventually, text

pytestmark = [pytest.mark.stack]

ENDLESS = 13
"""Tasks that run until the portal stops, in the least."""
WORKING_S = 1.5
"""So long, most tasks begin a second round after they are begun again."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_DELAY_S", 0.1)
    monkeypatch.setattr(supervision, "LONGEST_DELAY_S", 0.5)
    monkeypatch.setattr(supervision, "STABLE_S", 0.5)


@pytest.fixture
async def unmigrated(postgres: PostgresCluster, tmp_path: Path) -> AsyncIterator[Quart]:
    """A portal that was started before ``dss-portal migrate``."""
    name = f"unmigrated_{id(tmp_path)}"
    settings = Settings(
        database_url=await create_database(postgres.database_url, name),
        amqp_url="amqp://memory",
        datastore=tmp_path / "datastore",
        secret_key="k" * 32,
    )
    broker = MemoryBroker()
    app = create_app(settings, broker)
    async with app.test_app():
        yield app
    broker.close()


async def test_a_portal_that_was_started_before_its_database_was_migrated_goes_on_by_itself(
    unmigrated: Quart,
) -> None:
    client = unmigrated.test_client()
    assert await text(client, "/readyz") == NOT_MIGRATED  # not: the datastore is missing
    settings = components_of(unmigrated).settings

    await asyncio.to_thread(_migrate, settings.database_url.get_secret_value())

    await eventually(lambda: text(client, "/readyz"), lambda said: said == "ok")


def _migrate(url: str) -> None:
    """In a loop of its own, as a program of its own would."""
    asyncio.run(database.migrate_to_latest(url))


async def test_every_task_that_is_killed_is_told_and_begun_again(
    portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    client = portal.app.test_client()
    await eventually(lambda: text(client, "/readyz"), lambda said: said == "ok")
    begun = components_of(portal.app).background._tasks
    for_ever = [task for task in begun if not task.done()]
    names = {task.get_name() for task in for_ever}
    assert len(names) == len(for_ever) >= ENDLESS
    before = {name: failures(name) for name in names}

    for task in for_ever:
        task.cancel()

    def tells_of_all(said: str) -> bool:
        return all(f"'{name}'" in said for name in names)

    await eventually(lambda: text(client, "/readyz"), tells_of_all)
    await eventually(lambda: text(client, "/readyz"), lambda said: said == "ok")
    await asyncio.sleep(WORKING_S)
    assert not any(task.done() for task in for_ever)
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == []
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert {getattr(record, "task") for record in errors} == names  # noqa: B009 - not of LogRecord
    assert {name: failures(name) - before[name] for name in names} == dict.fromkeys(names, 1)


async def test_a_task_that_dies_is_logged_with_its_cause_and_begun_again_later_each_time(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_s: list[float] = []

    async def dies_twice(_datastore: Datastore, _every_s: float) -> None:
        begun_s.append(time.monotonic())
        if len(begun_s) <= 2:
            raise ZeroDivisionError("no files to divide by")
        await asyncio.Event().wait()

    monkeypatch.setattr(cleanup, "run", dies_twice)
    before = failures("cleanup")
    broker = MemoryBroker()
    app = create_app(settings, broker)
    async with app.test_app():
        client = app.test_client()
        said = await eventually(lambda: text(client, "/readyz"), lambda said: "cleanup" in said)
        await eventually(lambda: text(client, "/readyz"), lambda said: said == "ok")
    broker.close()

    assert said.splitlines()[0] == (
        "The task 'cleanup' ended with ZeroDivisionError and is begun again; its log says why."
    )
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no files to divide by"
    assert failures("cleanup") - before == 2
    first_s, second_s = (later - earlier for earlier, later in itertools.pairwise(begun_s))
    assert 0.1 <= first_s < second_s


async def test_a_portal_is_not_ready_before_it_takes_the_messages_of_dispatchers(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribes = asyncio.Event()
    listen = consuming.listen

    async def late(broker: Broker, listener: Listener) -> None:
        await subscribes.wait()
        await listen(broker, listener)

    monkeypatch.setattr(consuming, "listen", late)
    broker = MemoryBroker()
    app = create_app(settings, broker)
    async with app.test_app():
        client = app.test_client()
        await eventually(lambda: text(client, "/readyz"), lambda said: said == NOT_LISTENING)

        subscribes.set()

        await eventually(lambda: text(client, "/readyz"), lambda said: said == "ok")
    broker.close()


def failures(task: str) -> float:
    return REGISTRY.get_sample_value("dss_portal_task_failures_total", {"task": task}) or 0.0
