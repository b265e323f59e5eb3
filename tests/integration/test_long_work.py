"""Work that takes longer than heartbeats and RabbitMQ's patience: done once, by a broker set up as we say."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from conftest import RABBIT_ROOT, SYSROOT, missing, rabbit_folder
from dss_broker import messages as m
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.rabbit import declare as rabbit_declare
from dss_broker.rabbit import link as rabbit_link
from dss_stack.errors import ServerMissing
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.brokers import RabbitBench, fresh_vhost
from support.waiting import wait_until
from support.wire import Wire

pytestmark = [pytest.mark.stack]

LUNG = topology.dispatch("lung")
CONSUMER_TIMEOUT_MS = 4000
IMPATIENT = f"[{{rabbit, [{{consumer_timeout, {CONSUMER_TIMEOUT_MS}}}, {{channel_tick_interval, 500}}]}}].\n"
"""30 minutes as four seconds, looked at twice a second."""
SOON_S = 60.0


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A node that takes back what is not acknowledged within CONSUMER_TIMEOUT_MS."""
    folder = rabbit_folder(tmp_path_factory.mktemp("impatient"))
    (folder / "etc").mkdir()
    (folder / "etc/advanced.config").write_text(IMPATIENT, encoding="utf-8")
    node = RabbitNode(folder, sysroot=SYSROOT, chroot=RABBIT_ROOT)
    try:
        node.start()
        yield node
    except ServerMissing as error:
        missing(str(error))
    finally:
        node.kill()
        node.stop()


@pytest.fixture
def wire(impatient: RabbitNode, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """To the node; a peer that is silent for two seconds is given up."""
    monkeypatch.setattr(rabbit_link, "HEARTBEAT_S", 1)
    with fresh_vhost(impatient) as url:
        wire = Wire(url)
        yield wire
        wire.close()


@pytest.fixture
def bench(wire: Wire) -> Iterator[RabbitBench]:
    bench = RabbitBench(wire.url)
    yield bench
    bench.close()


class Work:
    """Handlers of several programs that take ``seconds`` for each message; who began and who ended."""

    def __init__(self, seconds: float) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._seconds = seconds
        self.enough = threading.Event()

    def of(self, program: str) -> Callable[[Delivery], None]:
        def handle(_: Delivery) -> None:
            self.begun.append(program)
            self.enough.wait(self._seconds)
            self.ended.append(program)

        return handle


def ticket() -> m.TicketReady:
    return m.TicketReady(ticket_id=1, service="lung", service_hash="h")


def left_over(bench: RabbitBench) -> list[m.Message]:
    """What is still in the queue, beside a message of our own."""
    got: list[m.Message] = []
    broker = bench.program("last")
    broker.consume(LUNG, lambda delivery: got.append(delivery.message))
    marker = m.TicketReady(ticket_id=999, service="lung", service_hash="h")
    broker.publish(marker).result(SOON_S)
    wait_until(lambda: marker in got)
    return [message for message in got if message != marker]


def test_work_within_the_brokers_patience_is_done_once_through_many_heartbeats(
    bench: RabbitBench, wire: Wire
) -> None:
    work = Work(CONSUMER_TIMEOUT_MS / 1000 - 1)
    first, second = bench.program("one"), bench.program("two")
    first.consume(LUNG, work.of("one"))
    second.consume(LUNG, work.of("two"))
    first.publish(ticket()).result(SOON_S)

    wait_until(lambda: work.ended)

    assert first.stop_consuming(SOON_S)
    assert second.stop_consuming(SOON_S)
    assert len(work.begun) == 1
    assert wire.made == 2  # no connection was lost
    assert left_over(bench) == []


def test_work_beyond_it_is_still_done_once_by_a_program_that_is_alone(
    bench: RabbitBench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ takes the message back and delivers it again, to the one who has it in hand."""
    monkeypatch.setattr(rabbit_declare, "LONGEST_WORK_S", CONSUMER_TIMEOUT_MS // 1000)
    caplog.set_level(logging.INFO)
    work = Work(60.0)
    broker = bench.program("one")
    broker.consume(LUNG, work.of("one"))
    broker.publish(ticket()).result(SOON_S)

    # It ends with the message in hand: stopped while that is on its way back, it would come once more.
    wait_until(lambda: caplog.text.count("message came again while it is being handled") > 1, 40)
    work.enough.set()
    wait_until(lambda: work.ended)

    assert broker.stop_consuming(SOON_S)
    assert work.begun == ["one"]
    assert "subscription lost, renewing it" in caplog.text
    assert left_over(bench) == []


def test_work_beyond_it_goes_to_another_program_too_so_operators_must_set_the_timeout(
    bench: RabbitBench, impatient: RabbitNode
) -> None:
    """Why ``consumer_timeout`` belongs into rabbitmq.conf; newer brokers heed what a queue asks for."""
    work = Work(9.0)
    first, second = bench.program("one"), bench.program("two")
    first.consume(LUNG, work.of("one"))
    first.publish(ticket()).result(SOON_S)
    wait_until(lambda: work.begun)
    second.consume(LUNG, work.of("two"))
    began = time.monotonic()

    wait_until(lambda: work.ended, 20)

    expected = ["one", "two"] if version(impatient) < (3, 11, 15) else ["one"]
    assert sorted(set(work.begun)) == expected
    assert time.monotonic() - began > CONSUMER_TIMEOUT_MS / 1000


def version(node: RabbitNode) -> tuple[int, ...]:
    answer = loopback.get(f"{node.console_url}/api/overview", auth=(node.user, node.password))
    numbers = answer.raise_for_status().json()["rabbitmq_version"].split(".")
    return tuple(int(number) for number in numbers[:3])
