"""``dss-dispatch serve`` as an operator runs it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dss_broker.broker import Delivery
from dss_broker.messages import RunInference, ServiceAnnounced
from dss_broker.rabbit import RabbitBroker
from dss_stack.rabbitmq import RabbitNode
from support.builders import submit
from support.dispatchers import WAIT_S, FakePortal, FakeWorker, ready, writes

pytestmark = pytest.mark.stack

SERVE = [sys.executable, "-m", "dss_dispatch", "serve", "lung-segmentation"]


@pytest.fixture
def broker(rabbit: RabbitNode) -> Iterator[RabbitBroker]:
    opened = RabbitBroker(rabbit.amqp_url, "test", f"test-{os.getpid()}")
    yield opened
    opened.stop_consuming(0)
    opened.close()


@pytest.fixture
def program(rabbit: RabbitNode, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {
        **os.environ,
        "DSS_AMQP_URL": rabbit.amqp_url,
        "DSS_DATASTORE": str(tmp_path),
        "DSS_INSTANCE": "node1",
        "DSS_STOP_S": "0.2",
    }
    started = subprocess.Popen(SERVE, env=environment)
    yield started
    started.kill()
    started.wait()


def test_it_serves_until_it_is_told_to_stop_and_leaves_the_rest_to_others(
    broker: RabbitBroker, program: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    portal = FakePortal(broker)
    answer = writes(tmp_path)
    silent = threading.Event()

    def answers_at_first(delivery: Delivery, request: RunInference) -> None:
        if not silent.is_set():
            answer(delivery, request)

    worker = FakeWorker(broker, answers_at_first)
    portal.wait_until(lambda: any(isinstance(e, ServiceAnnounced) for e in portal.events))
    submit(tmp_path, 42)
    broker.publish(ready(42))
    assert len(portal.succeeded(42).files) == 3

    silent.set()
    submit(tmp_path, 43)
    broker.publish(ready(43))
    assert worker.asked.acquire(timeout=WAIT_S)
    assert worker.asked.acquire(timeout=WAIT_S)
    program.send_signal(signal.SIGTERM)

    assert program.wait(timeout=20) == 0
    portal.wait_until(
        lambda: any(line.startswith("Asking for inference") for line in portal.logged(43))
    )


def test_it_says_which_setting_is_missing() -> None:
    bare = {k: v for k, v in os.environ.items() if not k.startswith("DSS_")}

    ended = subprocess.run(SERVE, env=bare, capture_output=True, encoding="utf-8", check=False)

    assert ended.returncode == 2
    assert "DSS_AMQP_URL: this setting is needed and is not set" in ended.stderr
