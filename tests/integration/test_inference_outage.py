"""A worker whose broker goes away while it computes: what it has found is told when the broker is back."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dss_broker.messages import InferenceFinished, InferenceProgressed
from dss_broker.rabbit import RabbitBroker
from dss_inference.worker import request_handler
from dss_inference.worker.server import QueueServer
from support.brokers import Node, fresh_vhost
from support.copy_worker import REQUEST, CopyBundle
from support.waiting import wait_until
from support.wire import Wire

pytestmark = [pytest.mark.stack]

SOON_S = 30.0


@pytest.fixture
def datastore(tmp_path: Path) -> Path:
    image = tmp_path / REQUEST.image_path
    image.parent.mkdir(parents=True)
    image.write_bytes(b"voxels")
    return tmp_path


@pytest.fixture
def dispatcher(vhost: str) -> Iterator[RabbitBroker]:
    with closing(RabbitBroker(vhost, "dispatch", "d1")) as broker:
        yield broker


@pytest.fixture
def vhost(rabbit: Node) -> Iterator[str]:
    with fresh_vhost(rabbit) as url:
        yield url


def test_an_answer_that_no_broker_takes_is_told_later_and_fails_no_ticket(
    vhost: str, dispatcher: RabbitBroker, datastore: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_handler, "CONFIRM_S", 0.5)
    bundle, wire = CopyBundle(), Wire(vhost)
    with closing(wire), closing(RabbitBroker(wire.url, "inference", "w1")) as broker:
        worker = QueueServer(broker=broker, bundles=[bundle], datastore=datastore, instance="w1")
        worker.start()
        conversation = dispatcher.request(REQUEST)
        assert bundle.started.wait(SOON_S)

        wire.cut()
        bundle.go_on.set()
        time.sleep(3)  # far longer than it waits for the broker to have the answer
        wire.mend()

        answer = conversation.next(SOON_S)
        while isinstance(answer, InferenceProgressed):
            answer = conversation.next(SOON_S)
        assert isinstance(answer, InferenceFinished)
        wait_until(lambda: broker.connected)
        assert worker.stop(SOON_S)
    assert bundle.runs == 1
    with dispatcher.dead_letters() as session:
        assert session.letters == []
