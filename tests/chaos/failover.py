"""Three RabbitMQ nodes: kill the one that leads the queue while tickets are published and handled.

``python -m chaos.failover`` (with ``tests`` on the path): exit status 1 if a confirmed message was lost.
"""

import itertools
import logging
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx
import typer

from conftest import SYSROOT
from dss_broker import topology
from dss_broker.broker import Delivery
from dss_broker.messages import TicketReady
from dss_broker.rabbit import RabbitBroker
from dss_observability.logs import configure_logging
from dss_stack.rabbitmq_cluster import RabbitCluster
from support import commands
from support.brokers import let_queues_settle
from support.stacks import leave_nothing_running
from support.waiting import wait_until

SERVICE = "failover"
QUEUE = topology.dispatch(SERVICE).queue
IN_FLIGHT = 64
LEADER_TIMEOUT_S = 90.0


class Publisher:
    """Sends tickets one after the other, IN_FLIGHT of them unconfirmed; knows when each was confirmed."""

    def __init__(self, url: str) -> None:
        self._broker = RabbitBroker(url, "portal", "failover")
        self._room = threading.Semaphore(IN_FLIGHT)
        self._stopping = threading.Event()
        self.confirmed: dict[int, float] = {}
        self.sent = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for number in itertools.count():
            while not self._room.acquire(timeout=0.1):
                if self._stopping.is_set():
                    return
            if self._stopping.is_set():
                return
            self.sent = number + 1
            ticket = TicketReady(ticket_id=number, service=SERVICE, service_hash="h")
            future = self._broker.publish(ticket, message_id=str(number))
            future.add_done_callback(partial(self._note, number))

    def _note(self, number: int, done: "Future[None]") -> None:
        if done.exception() is None:
            self.confirmed[number] = time.monotonic()
        self._room.release()

    def stop(self) -> None:
        """Returns when all that was sent is confirmed."""
        self._stopping.set()
        self._thread.join()
        expect(lambda: len(self.confirmed) == self.sent, "not everything was confirmed")
        self._broker.close()


class Reader:
    """A dispatcher that notes what it gets, and when."""

    def __init__(self, url: str, instance: str) -> None:
        self.got: list[tuple[int, float]] = []
        self._broker = RabbitBroker(url, "dispatch", instance)
        self._broker.consume(topology.dispatch(SERVICE, prefetch=32), self._note)

    def _note(self, delivery: Delivery) -> None:
        assert isinstance(delivery.message, TicketReady)
        self.got.append((delivery.message.ticket_id, time.monotonic()))

    def stop(self) -> None:
        self._broker.stop_consuming(10)
        self._broker.close()


@dataclass(frozen=True, kw_only=True)
class Kill:
    """How long after a kill nothing was confirmed, and nothing handled; when all members were back."""

    node: str
    publishing_s: float
    handling_s: float
    complete_s: float


def expect(fact: Callable[[], bool], otherwise: str) -> None:
    """Return once ``fact``; end the program with a sentence if it takes too long."""
    try:
        wait_until(fact, LEADER_TIMEOUT_S)
    except AssertionError as error:
        raise SystemExit(f"After {LEADER_TIMEOUT_S:g} s: {otherwise}.") from error


def kill_leader(cluster: RabbitCluster, publisher: Publisher, readers: list[Reader]) -> Kill:
    """As if its machine had lost its power; afterwards it comes back."""
    leader, _ = cluster.queue(QUEUE)
    node = cluster.nodes[leader]
    killed = time.monotonic()
    node.kill()
    dead = time.monotonic()
    expect(
        lambda: (
            any(at > dead for at in list(publisher.confirmed.values())[-IN_FLIGHT:])
            and any(at > dead for reader in readers for _, at in reader.got[-IN_FLIGHT:])
        ),
        "publisher and readers did not go on",
    )
    time.sleep(3)
    node.start()
    expect(lambda: is_complete(cluster), "the node did not come back")
    complete_s = time.monotonic() - killed
    handled = [at for reader in readers for _, at in reader.got]
    return Kill(
        node=leader,
        publishing_s=longest_gap(list(publisher.confirmed.values()), killed, dead + 3),
        handling_s=longest_gap(handled, killed, dead + 3),
        complete_s=complete_s,
    )


def is_complete(cluster: RabbitCluster) -> bool:
    try:
        return len(cluster.queue(QUEUE)[1]) == len(cluster.nodes)
    except (httpx.HTTPError, StopIteration):
        return False


def longest_gap(moments: list[float], begin: float, end: float) -> float:
    """The longest time without a moment that overlaps with ``begin`` to ``end``."""
    ordered = sorted(moments)
    gaps = [b - a for a, b in itertools.pairwise(ordered) if b >= begin and a <= end]
    return max(gaps, default=0.0)


def main(
    *,
    kills: Annotated[int, typer.Option(help="How often the leader's node is killed.")] = 3,
) -> None:
    """Exit status 1 if a confirmed message was lost."""
    configure_logging("failover", json_lines=False)
    leave_nothing_running()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each question is too much
    with tempfile.TemporaryDirectory(prefix="dss-failover-") as folder:
        cluster = RabbitCluster(Path(folder) / "cluster", sysroot=SYSROOT)
        began = time.monotonic()
        try:
            cluster.start()
            typer.echo(f"Three nodes are up after {time.monotonic() - began:.0f} s.")
            raise typer.Exit(fail_over(cluster, kills))
        finally:
            cluster.stop()


def fail_over(cluster: RabbitCluster, kills: int) -> int:
    """The exit status."""
    readers = [Reader(cluster.amqp_url, "one"), Reader(cluster.amqp_url, "two")]
    expect(lambda: is_complete(cluster), "the queue has not a member on each node")
    let_queues_settle()
    publisher = Publisher(cluster.amqp_url)
    expect(lambda: len(publisher.confirmed) > 200, "nothing is confirmed")
    for _ in range(kills):
        kill = kill_leader(cluster, publisher, readers)
        typer.echo(
            f"killed {kill.node}, the leader: nothing confirmed for {kill.publishing_s:.2f} s, "
            f"nothing handled for {kill.handling_s:.2f} s, three members again after "
            f"{kill.complete_s:.1f} s"
        )
    publisher.stop()
    return judge(publisher, readers)


def judge(publisher: Publisher, readers: list[Reader]) -> int:
    def handled() -> Counter[int]:
        return Counter(number for reader in readers for number, _ in reader.got)

    wait_for_rest = time.monotonic() + LEADER_TIMEOUT_S
    while set(publisher.confirmed) - set(handled()) and time.monotonic() < wait_for_rest:
        time.sleep(0.1)
    for reader in readers:
        reader.stop()
    counts = handled()
    lost = set(publisher.confirmed) - set(counts)
    twice = sum(count > 1 for count in counts.values())
    typer.echo(
        f"{len(publisher.confirmed)} confirmed, {len(counts)} handled, {len(lost)} lost, "
        f"{twice} delivered more than once"
    )
    return 1 if lost else 0


if __name__ == "__main__":
    commands.run(main)
