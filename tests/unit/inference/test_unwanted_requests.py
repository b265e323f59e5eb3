"""Requests that are withdrawn, abandoned or no longer waited for."""

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dss_broker.broker import Conversation
from dss_broker.memory import MemoryBroker
from dss_broker.messages import (
    InferenceFailed,
    InferenceFinished,
    InferenceProgressed,
    Message,
    TicketWithdrawn,
    WorkerAnnounced,
)
from dss_broker.topology import PORTAL_EVENTS
from dss_inference.worker import server as worker_server
from dss_inference.worker.request_handler import WITHDRAWN
from dss_inference.worker.server import QueueServer
from support.copy_worker import (
    REQUEST,
    TIMEOUT_S,
    CopyBundle,
    ended,
    replies,
)
from support.waiting import wait_until
from support.worker_failures import failure


@pytest.mark.usefixtures("server")
def test_a_withdrawn_ticket_stops_between_two_stages(
    broker: MemoryBroker, bundle: CopyBundle, server: QueueServer
) -> None:
    bundle.go_on.clear()
    conversation = broker.request(REQUEST)
    assert bundle.started.wait(TIMEOUT_S)

    broker.publish(TicketWithdrawn(ticket_id=7, service="lungs"))
    wait_until(lambda: server._withdrawals.is_deleted(7))
    bundle.go_on.set()

    heard: Message = conversation.next(TIMEOUT_S)
    while isinstance(heard, InferenceProgressed):
        heard = conversation.next(TIMEOUT_S)
    assert isinstance(heard, InferenceFailed)
    assert heard.reason == WITHDRAWN


def test_a_stopping_worker_finishes_what_is_in_hand(
    broker: MemoryBroker, bundle: CopyBundle, server: QueueServer
) -> None:
    bundle.go_on.clear()
    conversation = broker.request(REQUEST)
    assert bundle.started.wait(TIMEOUT_S)
    threading.Timer(0.2, bundle.go_on.set).start()

    assert server.stop(TIMEOUT_S)

    heard: Message = conversation.next(TIMEOUT_S)
    while isinstance(heard, InferenceProgressed):
        heard = conversation.next(TIMEOUT_S)
    assert isinstance(heard, InferenceFinished)


def test_a_worker_that_cannot_finish_in_time_says_so(
    broker: MemoryBroker, bundle: CopyBundle, server: QueueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_server, "ABANDON_S", 0.05)
    bundle.go_on.clear()
    broker.request(REQUEST)
    assert bundle.started.wait(TIMEOUT_S)

    assert not server.stop(0.05)


def test_what_is_not_finished_in_time_goes_to_another_worker(
    broker: MemoryBroker, bundle: CopyBundle, server: QueueServer, datastore: Path
) -> None:
    """It ends between two stages, and its requester hears of nothing but a longer wait."""
    bundle.go_on.clear()
    requester = MemoryBroker(broker.server)
    conversation = requester.request(REQUEST)
    assert bundle.started.wait(TIMEOUT_S)
    threading.Timer(0.2, bundle.go_on.set).start()

    assert not server.stop(0.05)
    broker.close()

    other = MemoryBroker(broker.server)
    successor = QueueServer(
        broker=other, bundles=[CopyBundle(go_on=bundle.go_on)], datastore=datastore, instance="two"
    )
    successor.start()
    heard: Message = conversation.next(TIMEOUT_S)
    while isinstance(heard, InferenceProgressed):
        heard = conversation.next(TIMEOUT_S)
    assert isinstance(heard, InferenceFinished)
    assert broker.parked == []
    successor.stop(TIMEOUT_S)
    for opened in (other, requester):
        opened.close()


def test_a_worker_announces_its_bundle_and_device(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    heard: list[Message] = []
    broker.consume(PORTAL_EVENTS, lambda delivery: heard.append(delivery.message))

    server = QueueServer(broker=broker, bundles=[bundle], datastore=datastore, instance="node1")
    server.start()

    wait_until(lambda: heard)
    assert heard == [WorkerAnnounced(bundle="copy", instance="node1", device="cpu")]
    server.stop(TIMEOUT_S)


def test_a_request_whose_claim_was_taken_away_before_is_not_begun(
    broker: MemoryBroker, bundle: CopyBundle, server: QueueServer
) -> None:
    broker.publish(TicketWithdrawn(ticket_id=7, service="lungs", claim_id="c1"))
    wait_until(lambda: server._withdrawals.lost_s(7, "c1") is not None)

    assert failure(broker, REQUEST) == WITHDRAWN
    assert bundle.runs == 0
    assert isinstance(replies(broker, replace(REQUEST, claim_id="c2"))[-1], InferenceFinished)


def test_a_request_that_nobody_waits_for_any_more_is_not_begun(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    """No worker was there while its requester waited."""
    earlier = MemoryBroker(broker.server)
    QueueServer(broker=earlier, bundles=[bundle], datastore=datastore, instance="node0").start()
    earlier.close()
    late = broker.request(replace(REQUEST, silence_s=0.1))
    young = broker.request(replace(REQUEST, claim_id="c2", silence_s=60.0, output_dir="young"))
    (datastore / "kept").mkdir()
    kept = broker.request(replace(REQUEST, claim_id="c3", silence_s=0.1, output_dir="kept"))
    time.sleep(0.2)

    made = QueueServer(broker=broker, bundles=[bundle], datastore=datastore, instance="node1")
    made.start()

    assert isinstance(ended(late), InferenceFailed)
    assert isinstance(ended(young), InferenceFinished)
    assert isinstance(ended(kept), InferenceFinished)  # its requester still has its folder
    assert bundle.runs == 2


def test_a_request_that_comes_again_after_it_was_answered_is_not_begun(
    broker: MemoryBroker, bundle: CopyBundle, datastore: Path
) -> None:
    """The first worker answered, and lost its connection before it could acknowledge."""
    request = replace(REQUEST, silence_s=60.0)
    (datastore / request.output_dir).mkdir(parents=True)
    bundle.go_on.clear()
    requester, first = MemoryBroker(broker.server), MemoryBroker(broker.server)
    QueueServer(broker=first, bundles=[bundle], datastore=datastore, instance="node1").start()
    conversation = requester.request(request)
    assert bundle.started.wait(TIMEOUT_S)
    shutil.rmtree(datastore / request.output_dir)
    first.close()

    QueueServer(broker=broker, bundles=[bundle], datastore=datastore, instance="node2").start()

    assert failed(conversation).reason == WITHDRAWN
    assert bundle.runs == 1
    bundle.go_on.set()
    requester.close()


def test_a_request_whose_folder_goes_away_meanwhile_is_given_up(
    broker: MemoryBroker, bundle: CopyBundle, server: QueueServer, datastore: Path
) -> None:
    """What cannot be written then is no sign of a full disk, for which it would be tried again."""
    request = replace(REQUEST, silence_s=60.0)
    (datastore / request.output_dir).mkdir(parents=True)
    bundle.go_on.clear()
    conversation = broker.request(request)
    assert bundle.started.wait(TIMEOUT_S)

    shutil.rmtree(datastore / request.output_dir)
    bundle.go_on.set()

    assert failed(conversation).reason == WITHDRAWN
    assert broker.parked == []


def failed(conversation: Conversation) -> InferenceFailed:
    heard = ended(conversation)
    assert isinstance(heard, InferenceFailed)
    return heard
