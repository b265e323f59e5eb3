"""Two living programs of one name: the second takes nothing and says why; none of the tickets suffers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest

from dss_broker import instance, topology
from dss_broker import messages as m
from dss_broker.rabbit import RabbitBroker, instance_lock
from support import brokers, loopback
from support.brokers import Node, fresh_vhost
from support.builders import submit
from support.dispatchers import FakePortal, FakeWorker, ready, writes
from support.stacks import free_port
from support.waiting import wait_until
from support.wire import Wire

pytestmark = [pytest.mark.stack]

TAKEN = "Another dispatch program with the name 'node1' is at work"

url = brokers.url


class Dispatcher:
    """``dss-dispatch serve`` as a process."""

    def __init__(self, url: str, datastore: Path, **settings: str) -> None:
        self.port = free_port()
        self.log = datastore / f"{self.port}.log"
        environment = {
            **os.environ,
            "DSS_AMQP_URL": url,
            "DSS_DATASTORE": str(datastore),
            "DSS_STOP_S": "0.2",
            "DSS_METRICS_BIND": f"127.0.0.1:{self.port}",
            **settings,
        }
        command = [sys.executable, "-m", "dss_dispatch", "serve", "lung-segmentation"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    @property
    def readiness(self) -> str:
        try:
            return loopback.get(f"http://127.0.0.1:{self.port}/readyz").text
        except httpx.TransportError:
            return ""

    def is_ready(self) -> bool:
        return self.readiness.splitlines()[:1] == ["ok"]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def dispatchers(url: str, datastore: Path, *settings: dict[str, str]) -> Iterator[list[Dispatcher]]:
    (datastore / "tickets").mkdir()
    with ExitStack() as ending:
        started = []
        for own in settings:
            started.append(Dispatcher(url, datastore, **own))
            ending.callback(started[-1].kill)
        yield started


def test_two_dispatchers_of_one_configured_name(url: str, tmp_path: Path) -> None:
    with (
        dispatchers(url, tmp_path, {"DSS_INSTANCE": "node1"}) as (first,),
        closing(RabbitBroker(url, "portal", "1")) as broker,
    ):
        portal = FakePortal(broker)
        FakeWorker(broker, writes(tmp_path))
        wait_until(first.is_ready, 60)
        second = Dispatcher(url, tmp_path, DSS_INSTANCE="node1")
        try:
            wait_until(lambda: TAKEN in second.readiness, 60)
            assert TAKEN in second.log.read_text(encoding="utf-8")
            for number in range(1, 5):
                submit(tmp_path, number)
                broker.publish(ready(number)).result(60)
            for number in range(1, 5):
                assert portal.succeeded(number)

            first.kill()

            wait_until(second.is_ready, 20)  # which goes on by itself
            submit(tmp_path, 5)
            broker.publish(ready(5)).result(60)
            assert portal.succeeded(5)
        finally:
            second.kill()


def test_two_dispatchers_without_a_configured_name_share_the_work(url: str, tmp_path: Path) -> None:
    with (
        dispatchers(url, tmp_path, {"DSS_INSTANCE": ""}, {}) as both,
        closing(RabbitBroker(url, "portal", "1")) as broker,
    ):
        portal = FakePortal(broker)
        FakeWorker(broker, writes(tmp_path))
        for dispatcher in both:
            wait_until(dispatcher.is_ready, 60)
        for number in range(1, 5):
            submit(tmp_path, number)
            broker.publish(ready(number)).result(60)

        for number in range(1, 5):
            assert portal.succeeded(number)
        assert len({claim.instance for claim in portal.claims}) == 2


def test_a_killed_program_of_a_configured_name_is_back_at_once(url: str, tmp_path: Path) -> None:
    with dispatchers(url, tmp_path, {"DSS_INSTANCE": "node1"}) as (first,):
        wait_until(first.is_ready, 60)
        first.kill()
        again = Dispatcher(url, tmp_path, DSS_INSTANCE="node1")
        try:
            wait_until(again.is_ready, 30)
            assert TAKEN not in again.log.read_text(encoding="utf-8")
        finally:
            again.kill()


def test_a_program_whose_own_dead_connection_has_its_name_goes_on(rabbit: Node) -> None:
    heard: list[m.Message] = []
    with fresh_vhost(rabbit) as url, closing(Wire(url)) as wire:
        program = RabbitBroker(wire.url, "dispatch", "node1")
        program.consume(topology.dispatch("lung"), lambda d: heard.append(d.message))
        ghost = RabbitBroker(url, "dispatch", "other")
        wire.cut()
        wait_until(lambda: not program.connected)
        ghost._instance_lock._queue = program._instance_lock._queue
        ghost.consume(topology.dispatch("heart"), lambda _: None)

        wire.mend()

        with closing(RabbitBroker(url, "portal", "1")) as portal:
            message = m.TicketReady(ticket_id=1, service="lung", service_hash="h")
            portal.publish(message).result(15)
            wait_until(lambda: heard == [message])
        assert program.problem == ""
        program.close()
        ghost.close()


def test_a_process_has_one_name_that_no_other_has() -> None:
    code = "from dss_broker.instance import instance_name as n; print(n(), n() == n())"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8"
        ).stdout
        for _ in range(2)
    }

    assert len(found) == 2
    assert all(line.endswith(" True\n") for line in found)
    assert instance.valid_instance_name("") == instance.instance_name()
    with pytest.raises(ValueError, match="a name without line breaks"):
        instance.valid_instance_name("a\nb")


def test_a_living_other_is_told_even_of_a_name_that_was_ours(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_lock, "STALE_CONNECTION_S", 0.5)
    monkeypatch.setattr(instance_lock, "RETRY_S", 0.2)
    with closing(Wire(url)) as wire:
        program = RabbitBroker(wire.url, "dispatch", "node1")
        program.consume(topology.dispatch("lung"), lambda _: None)
        wire.cut()
        wait_until(lambda: not program.connected)
        with closing(RabbitBroker(url, "dispatch", "node1")) as other:
            other.consume(topology.dispatch("lung"), lambda _: None)
            wire.mend()
            wait_until(lambda: TAKEN in program.problem)
        wait_until(lambda: program.problem == "")
        program.close()
