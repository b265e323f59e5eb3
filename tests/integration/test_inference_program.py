# mypy: allow-untyped-calls
"""``dss-inference serve`` as an operator runs it, over a real RabbitMQ."""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813  (the name that its own manual uses)

from dss_broker.messages import (
    InferenceFinished,
    InferenceProgressed,
    Message,
    RunInference,
)
from dss_broker.rabbit import RabbitBroker
from dss_broker.topology import PORTAL_EVENTS
from dss_inference.device.runner import runner_for
from dss_phantom.chest import PhantomSpec, make_phantom
from dss_phantom.files import write_phantom
from dss_stack.rabbitmq import RabbitNode
from support.workers import START_S, worker

pytestmark = pytest.mark.stack

READING = "reading the image"
REQUEST = RunInference(
    ticket_id=41,
    claim_id="c1",
    bundle="lung-segmentation",
    image_path="chest/ct.nii.gz",
    output_dir="tickets/00000041/work/c1/layer-1",
    parameters={},
)


@pytest.fixture
def datastore(tmp_path: Path) -> Path:
    spec = PhantomSpec(size=(96, 72, 78), spacing_mm=(4.0, 4.0, 4.0))
    write_phantom(make_phantom(spec, runner_for("cpu", threads=2)), tmp_path / "chest")
    return tmp_path


@pytest.fixture
def broker(rabbit: RabbitNode) -> Iterator[RabbitBroker]:
    opened = RabbitBroker(rabbit.amqp_url, "test", f"test-{os.getpid()}")
    yield opened
    opened.stop_consuming(0)
    opened.close()


@pytest.fixture
def heard(broker: RabbitBroker) -> list[Message]:
    """What a portal would hear."""
    messages: list[Message] = []
    broker.consume(PORTAL_EVENTS, lambda delivery: messages.append(delivery.message))
    return messages


@pytest.fixture
def program(
    rabbit: RabbitNode, datastore: Path, heard: list[Message]
) -> Iterator["subprocess.Popen[bytes]"]:
    with worker(rabbit.amqp_url, datastore, heard) as started:
        yield started


def test_it_segments_what_a_dispatcher_asks_for_and_stops_when_told(
    broker: RabbitBroker, program: "subprocess.Popen[bytes]", datastore: Path
) -> None:
    conversation = broker.request(REQUEST)

    reply: Message = conversation.next(START_S)
    assert isinstance(reply, InferenceProgressed)
    while isinstance(reply, InferenceProgressed):
        reply = conversation.next(START_S)
    assert isinstance(reply, InferenceFinished)
    assert [label.name for label in reply.labels] == ["left lung", "right lung"]
    assert 1e8 < reply.peak_memory_bytes < 2.5e9
    assert sitk.ReadImage(datastore / reply.segmentation_path).GetSize() == (96, 72, 78)
    program.send_signal(signal.SIGTERM)
    assert program.wait(START_S) == 0


def test_what_a_stopping_worker_cannot_finish_is_done_by_the_next(
    rabbit: RabbitNode, broker: RabbitBroker, datastore: Path, heard: list[Message]
) -> None:
    spec = PhantomSpec(size=(256, 192, 208), spacing_mm=(1.5, 1.5, 1.5))
    write_phantom(make_phantom(spec, runner_for("cpu", threads=2)), datastore / "large")
    request = replace(REQUEST, image_path="large/ct.nii.gz")
    with worker(rabbit.amqp_url, datastore, heard, stop_s="0") as first:
        conversation = broker.request(request)
        reply: Message = conversation.next(START_S)
        while isinstance(reply, InferenceProgressed) and reply.stage in {"starting", READING}:
            reply = conversation.next(START_S)
        assert isinstance(reply, InferenceProgressed)
        first.send_signal(signal.SIGTERM)
        assert first.wait(START_S) == 0

    with worker(rabbit.amqp_url, datastore, heard, instance="node2"):
        while isinstance(reply, InferenceProgressed):
            reply = conversation.next(START_S)

    assert isinstance(reply, InferenceFinished)
    assert (datastore / reply.segmentation_path).is_file()


@pytest.mark.usefixtures("program")
def test_a_redelivered_request_gets_the_same_answer(broker: RabbitBroker) -> None:
    answers = [ending(broker), ending(broker)]

    assert isinstance(answers[0], InferenceFinished)
    assert answers[0] == answers[1]


def ending(broker: RabbitBroker) -> Message:
    conversation = broker.request(REQUEST)
    reply: Message = conversation.next(START_S)
    while isinstance(reply, InferenceProgressed):
        reply = conversation.next(START_S)
    return reply
