"""What counts as a death: only what a message did to the program that handled it.

Orderly stops and lost connections give it back for nothing; each queue of the product keeps to that.
"""

import threading
from collections.abc import Callable

import pytest

from dss_broker.broker import Delivery
from support import brokers, mortals
from support.brokers import RabbitBench
from support.mortals import (
    DEATHS,
    LUNG,
    QUEUES,
    SOON_S,
    die,
    every_queue,
    in_queue,
    letters,
    ticket,
)
from support.waiting import wait_until
from support.wire import Wire

pytestmark = [pytest.mark.stack]

no_patience = mortals.no_patience
url = brokers.url
bench = brokers.bench


class Long:
    """Handlers of one message in several programs, which end when they are let."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._let = threading.Event()

    def of(self, program: str) -> Callable[[Delivery], None]:
        def handle(_: Delivery) -> None:
            self.begun.append(program)
            assert self._let.wait(120)
            self.ended.append(program)

        return handle

    def let_end(self) -> None:
        self._let.set()


@every_queue
def test_ten_connections_lost_by_the_one_program_that_has_it_cost_nothing(
    url: str, bench: RabbitBench, queue: str
) -> None:
    subscription, message = QUEUES[queue]
    wire, work = Wire(url), Long()
    near = RabbitBench(wire.url)
    program = near.program("one")
    program.consume(subscription, work.of("one"))
    program.publish(message, message_id="long").result(SOON_S)
    wait_until(lambda: work.begun)

    for _ in range(10):
        wire.cut()
        wait_until(lambda: not program.connected)
        wire.mend()
        wait_until(lambda: program.connected)
    work.let_end()

    assert program.stop_consuming(SOON_S)
    assert (work.begun, work.ended, letters(bench)) == (["one"], ["one"], [])
    near.close()
    wire.close()


def test_ten_connections_lost_by_whichever_program_has_it_cost_nothing(
    url: str, bench: RabbitBench
) -> None:
    """Six of them: each time another gets it, until all have; and they compute on."""
    work, wires = Long(), [Wire(url) for _ in range(6)]
    benches = [RabbitBench(wire.url) for wire in wires]
    programs = [near.program("worker") for near in benches]
    programs[0].consume(LUNG, work.of("0"))
    programs[0].publish(ticket(), message_id="long").result(SOON_S)
    wait_until(lambda: work.begun == ["0"])
    for number, program in enumerate(programs[1:], 1):
        program.consume(LUNG, work.of(str(number)))

    for number in range(10):
        holder = number % len(programs)
        wires[holder].cut()
        wait_until(lambda held=holder: not programs[held].connected)  # type: ignore[misc]  # bound now
        if number < len(programs) - 1:
            wait_until(lambda count=number + 2: len(work.begun) == count)  # type: ignore[misc]  # bound now
        wires[holder].mend()
        wait_until(lambda held=holder: programs[held].connected)  # type: ignore[misc]  # bound now
    work.let_end()

    wait_until(lambda: len(work.ended) == len(work.begun))
    assert len(set(work.begun)) == len(work.begun)
    assert letters(bench) == []
    for near, wire in zip(benches, wires, strict=True):
        near.close()
        wire.close()


def test_orderly_stops_and_lost_connections_between_the_deaths_change_nothing(
    url: str, bench: RabbitBench
) -> None:
    in_queue(bench, "dispatch", ticket())

    for _ in range(DEATHS):
        assert die(url, LUNG) == ["killer"]
        if letters(bench):
            break
        work = Long()
        calm = bench.program("calm")
        calm.consume(LUNG, work.of("calm"))
        wait_until(lambda work=work: work.begun or letters(bench))  # type: ignore[misc]  # bound now
        calm.stop_consuming(0)
        calm.close()
        work.let_end()

    wait_until(lambda: letters(bench))
