"""Alerts fire for their reasons in the real stack, under a real Prometheus, and clear with them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pika  # no py.typed
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from dss_broker.topology import DEAD_QUEUE, EXCHANGE
from dss_client.itksnap import ItkSnap
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_stack.rabbitmq import RabbitNode
from support import loopback
from support.builders import image, write_image
from support.own_services import ended, submit
from support.rabbitmq_tools import run_tool
from support.stacks import Stack
from support.waiting import wait_until
from support.watching import DISPATCH_QUEUE, LUNGS, Questions, Sending, Watched, clears, fires

pytestmark = [pytest.mark.stack]

DONE_S = 300
"""A ticket that was put off again and again waits up to two minutes for its next turn, on a slow machine for more."""


def test_a_stack_without_worker_is_told_and_the_alerts_clear_when_it_comes(
    own_stack: Stack, watch: Questions, sending: Sending, scan: Path
) -> None:
    fires(watch, "NoWorker", LUNGS)
    fires(watch, "TargetDown", "inference")
    ticket = sending(scan)
    fires(watch, "NoInferenceAnswers", LUNGS)
    fires(watch, "ManyRetries", DISPATCH_QUEUE)

    own_stack.start_one("inference")

    clears(watch, "NoWorker", LUNGS)
    clears(watch, "TargetDown", "inference")
    clears(watch, "NoInferenceAnswers", LUNGS)
    ticket.join(DONE_S)
    assert not ticket.is_alive()
    clears(watch, "ManyRetries", DISPATCH_QUEUE)


@pytest.mark.usefixtures("work")
def test_a_stack_at_work_raises_no_alert(watch: Questions) -> None:
    def is_quiet() -> bool:
        seen = watch.samples('queue:consumers:sum{queue=~"dss.dispatch.name.+"}')
        return bool(seen) and not watch.firing()

    wait_until(is_quiet, 90, lambda: f"{watch.firing()}")


@pytest.mark.usefixtures("work")
def test_tickets_that_fail_are_told(
    watch: Questions, user: ItkSnap, scan: Path, tmp_path: Path
) -> None:
    series = write_image(tmp_path / "series.nii.gz", image((6, 6, 6, 3)))

    assert ended(user, submit(user, LUNGS, tmp_path, series, "CT")) == "failed"

    fires(watch, "TicketsFail", LUNGS)
    clears(watch, "TicketsFail", LUNGS)


@pytest.mark.usefixtures("work")
def test_a_message_that_nobody_understands_is_told_until_it_is_taken_out(
    own_stack: Stack, watch: Questions
) -> None:
    with _channel(own_stack) as channel:
        properties = pika.BasicProperties(type="TicketReady", message_id="x")
        channel.basic_publish(EXCHANGE, f"ticket.ready.{LUNGS}", b"no JSON", properties)
    fires(watch, "DeadLetters", DEAD_QUEUE)

    with _channel(own_stack) as channel:
        channel.queue_purge(DEAD_QUEUE)

    clears(watch, "DeadLetters", DEAD_QUEUE)


@pytest.mark.usefixtures("work")
def test_a_dispatcher_that_dies_is_told_and_so_is_what_its_tickets_suffer(
    own_stack: Stack, watch: Questions, sending: Sending, scan: Path
) -> None:
    own_stack.kill("dispatch")
    ticket = sending(scan)
    fires(watch, "TargetDown", "dispatch")
    fires(watch, "NoConsumer", DISPATCH_QUEUE)
    fires(watch, "StuckQueue", LUNGS)
    fires(watch, "ServiceSilent", LUNGS)

    own_stack.start_one("dispatch")

    # RabbitMQ counts consumers every 5 s; how long a program takes to start is no matter of alerts.
    wait_until(lambda: own_stack.ready("dispatch"), 120, own_stack.logs)
    for alert, about in (
        ("TargetDown", "dispatch"),
        ("NoConsumer", DISPATCH_QUEUE),
        ("StuckQueue", LUNGS),
        ("ServiceSilent", LUNGS),
    ):
        clears(watch, alert, about)
    ticket.join(DONE_S)
    assert not ticket.is_alive()


@pytest.mark.usefixtures("work")
def test_a_program_that_starts_again_is_told(own_stack: Stack, watch: Questions) -> None:
    own_stack.kill("dispatch")
    own_stack.start_one("dispatch")

    fires(watch, "RestartsOften", "dispatch")
    clears(watch, "RestartsOften", "dispatch", within_s=90)


@pytest.mark.usefixtures("work")
def test_a_claim_that_lapses_and_a_message_whose_reader_died_are_told(
    own_stack: Stack, watch: Questions, sending: Sending, tmp_path: Path
) -> None:
    spec = PhantomSpec(size=(200, 200, 160), spacing_mm=(2, 2, 2))
    large = write_image(tmp_path / "large.nii.gz", make_phantom(spec, Runner("cpu")).ct)
    ticket = sending(large)
    wait_until(
        lambda: watch.number(f'sum(dss_dispatch_tickets_in_hand{{service="{LUNGS}"}})') == 1, 60
    )

    own_stack.kill("dispatch")
    fires(watch, "LeasesLapse", LUNGS)
    own_stack.start_one("dispatch")

    fires(watch, "ReadersDie", "")
    clears(watch, "LeasesLapse", LUNGS)
    clears(watch, "ReadersDie", "")
    ticket.join(DONE_S)
    assert not ticket.is_alive()


@pytest.mark.usefixtures("work")
def test_programs_that_miss_the_datastore_are_told(own_stack: Stack, watch: Questions) -> None:
    away = own_stack.datastore.with_name("unmounted")
    own_stack.datastore.rename(away)
    fires(watch, "PortalNotReady", "portal")
    fires(watch, "ProgramNotReady", "dispatch")
    fires(watch, "ProgramNotReady", "inference")

    away.rename(own_stack.datastore)

    clears(watch, "PortalNotReady", "portal")
    clears(watch, "ProgramNotReady", "dispatch")
    clears(watch, "ProgramNotReady", "inference")


@pytest.mark.usefixtures("work")
def test_a_broker_that_lets_nobody_in_is_told_and_the_outbox_waits(
    own_stack: Stack, rabbit: RabbitNode, watch: Questions, sending: Sending, scan: Path
) -> None:
    vhost = own_stack.amqp_url.rpartition("/")[2]
    login = (rabbit.user, rabbit.password)
    with loopback.client(base_url=rabbit.console_url, auth=login, timeout=30) as console:
        console.put(f"/api/vhost-limits/{vhost}/max-connections", json={"value": 0})
        for connection in console.get(f"/api/vhosts/{vhost}/connections").json():
            console.delete(f"/api/connections/{connection['name']}")
        ticket = sending(scan)
        fires(watch, "OutboxOld", "")
        fires(watch, "PortalNotReady", "portal")

        console.delete(f"/api/vhost-limits/{vhost}/max-connections")

    clears(watch, "OutboxOld", "")
    clears(watch, "PortalNotReady", "portal")
    ticket.join(DONE_S)
    assert not ticket.is_alive()


@pytest.mark.usefixtures("work")
def test_wrong_tokens_are_told(own_stack: Stack, watch: Questions) -> None:
    for _ in range(40):
        loopback.post(f"{own_stack.url}/api/login", data={"token": "guessed"})

    fires(watch, "SignInsRefused", "")
    clears(watch, "SignInsRefused", "")


@pytest.mark.usefixtures("work")
def test_a_kind_of_program_that_nobody_watches_is_told(watched: Watched, watch: Questions) -> None:
    watched.server.start({**watched.targets, "inference": []})
    fires(watch, "JobMissing", "inference")

    watched.server.start(watched.targets)

    clears(watch, "JobMissing", "inference")


@pytest.mark.usefixtures("work")
def test_a_database_that_lets_nobody_in_is_told(own_stack: Stack, watch: Questions) -> None:
    _admit(own_stack, admitted=False)
    try:
        for _ in range(30):
            loopback.post(f"{own_stack.url}/api/login", data={"token": "anything"}, timeout=30)
        fires(watch, "PortalErrors", "")
        fires(watch, "PortalNotReady", "portal")
    finally:
        _admit(own_stack, admitted=True)

    clears(watch, "PortalErrors", "")
    clears(watch, "PortalNotReady", "portal")


@pytest.mark.usefixtures("work")
def test_a_broker_that_is_short_of_disk_is_told(rabbit: RabbitNode, watch: Questions) -> None:
    run_tool(rabbit, "rabbitmqctl", "set_disk_free_limit", "1000000GB")
    try:
        fires(watch, "BrokerAlarm", "")
        fires(watch, "BrokerShortOfDisk", "rabbitmq")
    finally:
        run_tool(rabbit, "rabbitmqctl", "set_disk_free_limit", "500MB")

    clears(watch, "BrokerAlarm", "")
    clears(watch, "BrokerShortOfDisk", "rabbitmq")


def _admit(stack: Stack, *, admitted: bool) -> None:
    """Open the stack's database, or close it and end every connection."""
    server, _, name = stack.database_url.rpartition("/")

    async def change() -> None:
        connection = await asyncpg.connect(f"{server}/postgres")
        allowed = "true" if admitted else "false"
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {allowed}')
        if not admitted:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
            await connection.execute(ended, name)
        await connection.close()

    asyncio.run(change())


@contextmanager
def _channel(stack: Stack) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(stack.amqp_url))
    try:
        yield connection.channel()
    finally:
        connection.close()
